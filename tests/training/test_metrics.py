"""Ranking metrics: known answers, and scikit-learn's NDCG as a second opinion."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from training import evaluation, metrics


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
    topk = pd.DataFrame(
        {
            "protocol": "loo",
            "model": "marquee",
            "subscriber_id": ["a"] * 20 + ["b"] * 20,
            "content_id": [f"c{n}" for n in range(20)] + [f"c{n}" for n in range(20, 40)],
            "rank": list(range(1, 21)) * 2,
        }
    )
    relevant = pd.DataFrame({"protocol": "loo", "subscriber_id": ["a", "b"], "content_id": ["c0", "c35"]})
    values = {row.metric: row for row in evaluation.measure(topk, relevant, catalogue_size=100)}
    assert values["ndcg"].value == pytest.approx(0.5)
    assert values["recall"].value == pytest.approx(0.5)
    assert values["coverage"].value == pytest.approx(0.2)
    assert values["ndcg"].user_count == 2


def test_a_subscriber_without_a_list_counts_as_a_miss() -> None:
    lists = pd.DataFrame({"subscriber_id": ["a"], "content_id": ["c1"], "rank": [1]})
    relevant = pd.DataFrame({"subscriber_id": ["a", "b"], "content_id": ["c1", "c2"]})
    assert evaluation.per_subscriber(lists, relevant)["ndcg"].to_dict() == {"a": 1.0, "b": 0.0}
