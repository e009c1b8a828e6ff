"""Lists as they were shown: which of them may teach, what a start weighs, and that weights undo the bias of places."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from feature_repo.ranking_inputs import NAMES
from tests.training.columns import DAY, contents, interactions, nowhere
from training import ranker, shown_lists
from training.dataset import Interactions, Split
from training.ranker import Ranker
from training.ranker_config import RankerConfig
from training.ranking_lessons import CandidateLists, Lesson, Started
from training.shown_lists import ShownLists, examination, weights_of

_CONFIG = RankerConfig(least_impressions=1)
_CATALOGUE = contents(9)
# relevant by itself, and what the order of the list followed
_TASTE, _ORDER = NAMES.index("taste_score"), NAMES.index("retrieval_score")


def _shown(rows: list[tuple[int, float, list[int]]]) -> pd.DataFrame:
    """From (subscriber, day, contents)."""
    return pd.DataFrame(
        {
            "request_id": [str(row) for row in range(len(rows))],
            "surface": "homepage/for_you",
            "subscriber_id": [f"s{user}" for user, _, _ in rows],
            "shown_at": pd.to_datetime([int(day * DAY) for _, day, _ in rows], utc=True),
            "content_ids": [[f"c{item}" for item in items] for _, _, items in rows],
        }
    )


def _sides(log: Interactions, learnt: int, known: int) -> tuple[Split, Split]:
    """What the retriever learnt ends on day `learnt`, what may be known on day `known`, for everybody."""
    everybody = np.arange(len(log.subscriber_ids))

    def side(day: int) -> Split:
        cuts = np.full(len(everybody), day * DAY)
        return Split(
            "temporal",
            log.where(log.moments < day * DAY),
            everybody,
            cuts,
            nowhere(len(everybody)),
            [np.array([9])] * len(everybody),
        )

    return side(known), side(learnt)


def _lists(log: Interactions, shown: pd.DataFrame, config: RankerConfig = _CONFIG) -> ShownLists:
    return shown_lists.shown_lists(shown, *_sides(log, 10, 20), _CATALOGUE, config)


def test_a_start_counts_for_the_newest_list_of_the_day_before_it() -> None:
    log = interactions([(0, 1, 1), (0, 3, 12), (0, 4, 14)])
    shown = _shown([(0, 11.3, [2, 3]), (0, 11.6, [5, 1, 3]), (0, 12.5, [3, 4]), (0, 12.9, [4, 6])])
    found = _lists(log, shown)
    # of the third and fourth nothing was started within a day; what was consumed before is no choice any more
    assert found.items.tolist() == [[5, 0, 3]]
    assert found.split.cuts.tolist() == [int(11.6 * DAY)]
    assert [items.tolist() for items in found.split.relevant] == [[3]]
    assert found.weights.tolist() == [[0, 0, 1]]


def test_lists_of_what_the_retriever_learnt_or_nobody_may_know_teach_nothing() -> None:
    log = interactions([(0, 1, 1), (0, 2, 8), (0, 3, 12), (0, 4, 19), (1, 5, 15)])
    shown = _shown(
        [
            (0, 7.9, [2, 6]),  # the retriever has learnt that 2 came
            (0, 11.9, [3, 6]),
            (0, 19.5, [6, 7]),  # its day ends after the end
            (1, 14.9, [5, 6]),  # of whom the retriever knows nothing
            (2, 11.9, [3, 6]),  # of whom nobody does
        ]
    )
    assert _lists(log, shown).split.cuts.tolist() == [int(11.9 * DAY)]
    assert not len(_lists(log, shown, RankerConfig(least_impressions=2)).items)


def test_what_happens_after_the_cut_changes_nothing() -> None:
    """A leak that is planted: the same log with a future in which every list was followed."""
    rows = [(0, 1, 1), (0, 3, 12), (1, 2, 2), (1, 4, 15)]
    shown = _shown([(0, 11.5, [3, 6]), (1, 14.5, [4, 7]), (0, 19.6, [8, 2]), (1, 18.6, [5, 6])])
    alone, with_future = (_lists(interactions(log), shown) for log in (rows, [*rows, (0, 8, 20), (1, 5, 21)]))
    np.testing.assert_array_equal(alone.items, with_future.items)
    np.testing.assert_array_equal(alone.weights, with_future.weights)


def test_a_place_is_looked_at_as_the_discount_of_dcg_says() -> None:
    np.testing.assert_allclose(examination(np.array([1, 3, 7]), 1.0), [1, 1 / 2, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(examination(np.array([1, 3, 7]), 0.0), [1, 1, 1])


def test_a_start_weighs_one_over_the_chance_of_its_place_up_to_the_most() -> None:
    items = np.tile(np.arange(1, 8), (3, 1))
    started = [np.array([1]), np.array([3]), np.array([7])]
    weights = weights_of(items, started, replace_config(most_weight=10.0))
    assert weights.sum() == pytest.approx(3)
    assert weights[[0, 1, 2], [0, 2, 6]] == pytest.approx([0.5, 1.0, 1.5])
    clipped = weights_of(items, started, replace_config(most_weight=2.0))
    assert clipped[2, 6] == pytest.approx(clipped[1, 2])


def replace_config(**values: float) -> RankerConfig:
    return _CONFIG.model_copy(update=values)


def _biased(power: float, seed: int, count: int = 3_000, places: int = 12) -> Lesson:
    """Lists ordered by one input, started by another; what is low in the list is seldom looked at."""
    generator = np.random.default_rng(seed)
    inputs = np.zeros((count, places, len(NAMES)), dtype=np.float32)
    inputs[..., [_TASTE, _ORDER]] = generator.normal(size=(count, places, 2))
    inputs = np.take_along_axis(inputs, np.argsort(-inputs[..., [_ORDER]], axis=1), axis=1)
    is_wanted = generator.random((count, places)) < 0.5 / (1 + np.exp(1 - 2 * inputs[..., _TASTE]))
    is_started = is_wanted & (generator.random((count, places)) < examination(np.arange(1, places + 1), 2.0))
    kept = is_started.any(axis=1)
    items = np.tile(np.arange(1, places + 1), (int(kept.sum()), 1))
    config = replace_config(examination_power=power, most_weight=50.0)
    weights = weights_of(items, [np.flatnonzero(row) + 1 for row in is_started[kept]], config)
    return Lesson(CandidateLists(items, inputs[kept]), np.arange(len(items)), weights)


def _leaning(model: Ranker) -> float:
    """How much the score follows the order that was shown, as a share of how much it follows what was wanted."""
    inputs = np.random.default_rng(9).normal(size=(4_000, len(NAMES))).astype(np.float32)
    with torch.inference_mode():
        scores = model.scores(torch.from_numpy(inputs)).numpy()
    slopes = np.linalg.lstsq(inputs[:, [_TASTE, _ORDER]], scores - scores.mean(), rcond=None)[0]
    return float(slopes[1] / slopes[0])


def test_weights_undo_what_places_do_and_without_them_the_order_shown_is_learnt() -> None:
    nothing = Lesson(CandidateLists(np.zeros((1, 2), np.int64), np.zeros((1, 2, len(NAMES)), np.float32)),
                     np.zeros(1, np.int64), np.zeros((1, 2), np.float32))  # fmt: skip
    config = RankerConfig(epochs=15)
    weighted, unweighted = (
        ranker.fit(nothing, _biased(power, 3), Started.none(), config, seed=5) for power in (2.0, 0.0)
    )
    assert abs(_leaning(weighted)) < 0.2
    assert _leaning(unweighted) > 0.4


def test_lists_that_another_split_holds_back_from_do_not_teach_its_ranker() -> None:
    lists = CandidateLists(np.array([[1, 2], [3, 4]]), np.zeros((2, 2, len(NAMES)), dtype=np.float32))
    lesson = Lesson(lists, np.array([0, 1]), np.array([[0, 1], [1, 0]], dtype=np.float32))
    log = interactions([(0, 9, 0), (1, 9, 0)])
    split = Split("loo", log, np.array([0, 1]), np.array([DAY, DAY]), nowhere(2), [np.array([2]), np.array([4])])
    left = lesson.without(split)
    # the second list shows what is held back, and says nothing of it
    assert left.users.tolist() == [1]
    assert replace(left, users=lesson.users[1:]).target.tolist() == [[1, 0]]
