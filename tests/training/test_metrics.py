"""Ranking metrics: known answers, and scikit-learn's NDCG as a second opinion."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from tests.training.columns import interactions, nowhere
from training import evaluation, metrics
from training.dataset import Split
from training.ranked_lists import RankedLists


def test_a_single_hit_counts_by_its_place() -> None:
    found = np.zeros((3, 10), dtype=bool)
    found[0, 0] = found[1, 2] = True
    counts = np.array([1, 1, 1])
    assert metrics.ndcg(found, counts) == pytest.approx([1.0, 0.5, 0.0])  # 1 / log2(4) is a half
    assert metrics.recall(found, counts) == pytest.approx([1.0, 1.0, 0.0])
    assert metrics.reciprocal_rank(found) == pytest.approx([1.0, 1 / 3, 0.0])


def test_all_hits_on_top_are_perfect_however_many_are_relevant() -> None:
    found = np.ones((1, 10), dtype=bool)
    assert metrics.ndcg(found, np.array([25])) == pytest.approx([1.0])


@given(st.lists(st.booleans(), min_size=10, max_size=10).filter(any))
def test_ndcg_agrees_with_scikit_learn_where_every_relevant_content_is_listed(hits: list[bool]) -> None:
    found = np.array([hits])
    ours = metrics.ndcg(found, np.array([sum(hits)]))[0]
    theirs = ndcg_score(found.astype(int), np.arange(10, 0, -1)[None, :])
    assert ours == pytest.approx(theirs)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_an_interval_holds_its_mean(values: list[float]) -> None:
    low, high = metrics.bootstrap_interval(np.array(values))
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_measures_look_at_ten_places_of_longer_lists() -> None:
    """Two lists of twenty: the first has its content on top, the second its own beyond the tenth place."""
    train = interactions([(0, 41, 0), (1, 41, 0), (1, 21, 0)])
    split = Split("loo", train, np.array([0, 1]), np.array([1, 1]), nowhere(2), [np.array([1]), np.array([36])])
    lists = RankedLists("marquee", np.arange(1, 41).reshape(2, 20), np.zeros((2, 20), dtype=np.float32))
    # two genres, one in the first list and one in the second, and no types
    side = np.zeros((101, 5), dtype=np.float32)
    side[1:21, 0] = side[21:, 1] = 1.0
    values = {row.metric: row for row in evaluation.measure(split, [lists], side, catalogue_size=100)}
    assert values["ndcg"].value == pytest.approx(0.5)
    assert values["recall"].value == pytest.approx(0.5)
    assert values["coverage"].value == pytest.approx(0.2)
    assert values["ndcg"].user_count == 2
    assert values["diversity"].value == pytest.approx(0.0)
    # both consumed the second genre alone, of which smoothing leaves the first list a hundredth
    assert values["miscalibration"].value == pytest.approx(np.log(100) / 2)
    # twenty of a hundred share the places evenly, the others have none
    assert values["gini"].value == pytest.approx(0.8)
    # nineteen that nobody consumed count as half a consumption of two subscribers, one as one
    assert values["novelty"].value == pytest.approx((19 * 2 + 1) / 20)


def test_a_list_is_as_diverse_as_its_pairs_are_unlike() -> None:
    side = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    assert metrics.intra_list_diversity(np.array([[1, 2]]), side) == pytest.approx(1.0)
    assert metrics.intra_list_diversity(np.array([[1, 3, 0]]), side) == pytest.approx(1 - 0.5**0.5)
    pairs = (1.0 + 2 * (1 - 0.5**0.5)) / 3
    assert metrics.intra_list_diversity(np.array([[1, 2, 3]]), side) == pytest.approx(pairs)
    # an empty list and one of a single content have no pairs
    assert metrics.intra_list_diversity(np.array([[0, 0, 0], [1, 0, 0]]), side) == 0.0


def test_a_list_is_miscalibrated_by_how_far_its_genres_are_from_those_of_the_history() -> None:
    shares = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5]])
    tastes = np.array([[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]])
    lists = np.array([[3, 0], [1, 2], [2, 2]])
    # calibrated; without a taste; all of the other genre, of which smoothing leaves a hundredth
    assert metrics.miscalibration(lists, shares, tastes) == pytest.approx((0 + np.log(100)) / 2)
    assert metrics.miscalibration(lists[1:2], shares, tastes[1:2]) == 0.0


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(any))
def test_gini_is_the_mean_difference_over_twice_the_mean(exposure: list[int]) -> None:
    values = np.array(exposure)
    expected = np.abs(values[:, None] - values[None, :]).mean() / (2 * values.mean())
    assert metrics.gini(values, len(values)) == pytest.approx(expected)


def test_what_is_paired_differs_less_by_chance_than_what_is_not() -> None:
    generator = np.random.default_rng(1)
    theirs = generator.random(300)
    mean, low, high = metrics.paired_interval(theirs + 0.02 + 0.01 * generator.random(300), theirs)
    assert low > 0.02 > 0.0
    assert low <= mean <= high
    assert high - low < 0.01 < np.subtract(*metrics.bootstrap_interval(theirs)[::-1])


def test_a_subscriber_without_a_list_counts_as_a_miss() -> None:
    lists = pd.DataFrame({"subscriber_id": ["a"], "content_id": ["c1"], "rank": [1]})
    relevant = pd.DataFrame({"subscriber_id": ["a", "b"], "content_id": ["c1", "c2"]})
    assert evaluation.per_subscriber(lists, relevant)["ndcg"].to_dict() == {"a": 1.0, "b": 0.0}
