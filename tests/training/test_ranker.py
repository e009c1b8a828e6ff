"""The re-ranker learns which input says what comes next, and orders by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from feature_repo.ranking_inputs import NAMES
from training import metrics, ranker
from training.ranker import Ranker
from training.ranker_config import RankerConfig
from training.ranking_lessons import CandidateLists, Lesson, Started

_CONFIG = RankerConfig()
# a head that reads this input must find it
_TELLING = NAMES.index("watched_fraction")


def _lists(seed: int, count: int = 120, k: int = 20) -> tuple[CandidateLists, list[np.ndarray]]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(count, k, len(NAMES))).astype(np.float32)
    items = np.tile(np.arange(1, k + 1), (count, 1))
    relevant = [items[row, [inputs[row, :, 3].argmax()]] for row in range(count)]
    return CandidateLists(items, inputs), relevant


def _fit(lists: CandidateLists, relevant: list[np.ndarray], started: Started | None = None) -> Ranker:
    lesson = Lesson.of(lists, np.arange(len(lists.items)), relevant)
    return ranker.fit(lesson, None, started or Started.none(), _CONFIG, seed=5)


def _starts(seed: int, count: int, slope: float = 2.0) -> Started:
    """Finished more often the higher one input is; who returns nothing tells: one in three do, and some are unknown."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(count, len(NAMES))).astype(np.float32)
    finished = generator.random(count) < 1 / (1 + np.exp(0.5 - slope * inputs[:, _TELLING]))
    returned = (generator.random(count) < 1 / 3).astype(np.float32)
    returned[::10] = np.nan
    numbers = np.arange(count)
    return Started(numbers // 2, numbers, inputs, finished.astype(np.float32), returned)


def _heads(model: Ranker, started: Started) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(started.inputs))[1].numpy()


def _top(model: Ranker, lists: CandidateLists, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each list and their scores."""
    return ranker.best(lists.items, ranker.judged(model, lists)[0], k)


def test_it_finds_the_input_that_matters() -> None:
    lists, relevant = _lists(1)
    model = _fit(lists, relevant)
    unseen, wanted = _lists(2)
    first = _top(model, unseen, 5)[0][:, 0]
    share = np.mean([item == answer[0] for item, answer in zip(first, wanted, strict=True)])
    assert share > 0.7  # by chance 0.05


def test_lists_come_best_first_with_their_scores() -> None:
    lists, relevant = _lists(1)
    items, scores = _top(_fit(lists, relevant), lists, 7)
    assert items.shape == scores.shape == (120, 7)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_without_a_label_to_learn_from_the_order_of_retrieval_stays() -> None:
    lists, _ = _lists(1)
    model = _fit(lists, [np.array([99])] * 120)
    assert (_top(model, lists, 7)[0] == lists.items[:, :7]).all()


def test_places_without_a_candidate_come_last() -> None:
    lists, relevant = _lists(1)
    lists.items[:, 10:] = 0
    items, _ = _top(_fit(lists, relevant), lists, 20)
    assert (items[:, :10] > 0).all()
    assert (items[:, 10:] == 0).all()


def test_the_same_seed_gives_the_same_ranker() -> None:
    lists, relevant = _lists(1)
    one, other = (_fit(lists, relevant) for _ in range(2))
    inputs = torch.from_numpy(lists.inputs)
    with torch.inference_mode():
        assert torch.equal(one(inputs)[0], other(inputs)[0])


def test_an_input_that_never_varied_in_training_counts_for_nothing_in_use() -> None:
    lists, relevant = _lists(1)
    lists.inputs[..., 7] = 3.0
    model = _fit(lists, relevant)
    before = _top(model, lists, 7)[0]
    lists.inputs[:, ::2, 7] = 4.0
    assert (_top(model, lists, 7)[0] == before).all()


def test_whether_a_start_is_finished_is_learnt_and_calibrated() -> None:
    lists, relevant = _lists(1)
    model = _fit(lists, relevant, _starts(3, 1_500))
    later = _starts(4, 4_000)
    chances = _heads(model, later)[:, 1]
    happened = later.finished == 1
    assert roc_auc_score(happened, chances) > 0.8  # whoever knew the true probabilities would have 0.84
    assert metrics.calibration_error(chances, happened) < 0.04
    share = happened.mean()
    assert metrics.brier(chances, happened) < 0.8 * share * (1 - share)


def test_of_what_nothing_foretells_the_base_rate_is_said() -> None:
    lists, relevant = _lists(1)
    model = _fit(lists, relevant, _starts(3, 1_500))
    later = _starts(4, 4_000)
    chances = _heads(model, later)[:, 2]
    known = ~np.isnan(later.returned)
    assert metrics.calibration_error(chances[known], later.returned[known] == 1) < 0.04
    assert np.abs(chances - 1 / 3).max() < 0.15


def test_starts_are_foreseen_as_often_as_they_come() -> None:
    lists, relevant = _lists(1, 600)
    unseen, wanted = _lists(2, 600)
    chances = ranker.judged(_fit(lists, relevant), unseen)[1][..., 0].ravel()
    happened = np.stack([np.isin(items, found) for items, found in zip(unseen.items, wanted, strict=True)]).ravel()
    assert metrics.calibration_error(chances, happened) < 0.01  # one in 20 is started
    assert metrics.brier(chances, happened) < 0.5 * 0.05 * 0.95


def test_of_too_few_outcomes_a_head_says_nothing_and_changes_nothing() -> None:
    lists, relevant = _lists(1)
    few = _starts(3, _CONFIG.least_outcomes - 1)
    one_sided = _starts(3, 400, slope=0.0)
    one_sided.finished[:] = 1
    without = _fit(lists, relevant)
    for started, absent in ((few, [1, 2]), (one_sided, [1])):
        model = _fit(lists, relevant, started)
        chances = ranker.judged(model, lists)[1]
        assert np.isnan(chances[..., absent]).all()
        assert not np.isnan(chances[..., 0]).any()
    assert (_top(_fit(lists, relevant, few), lists, 7)[0] == _top(without, lists, 7)[0]).all()
    # nothing but the network's own order, in which calibration turns nothing round
    with torch.inference_mode():
        plain = without.scores(torch.from_numpy(lists.inputs)).numpy()
    assert (ranker.best(lists.items, plain, 20)[0] == _top(without, lists, 20)[0]).all()


def test_the_order_is_the_start_raised_by_what_may_follow() -> None:
    lists, relevant = _lists(1)
    scores, chances = ranker.judged(_fit(lists, relevant, _starts(3, 1_500)), lists)
    gain = 1 + _CONFIG.finish_weight * chances[..., 1] + _CONFIG.return_weight * chances[..., 2]
    np.testing.assert_allclose(scores, np.log(chances[..., 0] * gain), atol=1e-4)


def test_a_map_that_was_fitted_on_a_network_of_the_same_lists_would_be_caught() -> None:
    """Labels of chance: a network learns them by heart, and only folds tell that it knows nothing."""
    generator = np.random.default_rng(8)
    lists, _ = _lists(1, 60)
    relevant = [generator.choice(items, 1) for items in lists.items]
    unseen, _ = _lists(2, 400)
    happened = np.zeros(unseen.items.shape, dtype=bool)
    happened[np.arange(400), generator.integers(0, 20, 400)] = True
    chances = ranker.judged(_fit(lists, relevant), unseen)[1][..., 0]
    assert metrics.calibration_error(chances.ravel(), happened.ravel()) < 0.02
    assert chances.max() < 0.25


@pytest.mark.parametrize("candidate_count", [1, 7])
def test_an_exported_ranker_says_what_it_said_before(candidate_count: int) -> None:
    lists, relevant = _lists(1)
    model = _fit(lists, relevant, _starts(3, 1_500))
    count = torch.export.Dim("count", min=1, max=100_000)
    program = torch.export.export(model, (torch.zeros(3, len(NAMES)),), dynamic_shapes=({0: count},)).module()
    inputs = torch.from_numpy(lists.inputs[0, :candidate_count])
    with torch.inference_mode():
        for ours, theirs in zip(model(inputs), program(inputs), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


def test_what_is_the_same_for_a_whole_request_moves_the_chance_of_a_return_and_no_order() -> None:
    lists, relevant = _lists(1)
    started = _starts(3, 1_500)
    last = NAMES.index("hours_since_last")
    chance = 1 / (1 + np.exp(2 * started.inputs[:, last]))
    returned = np.random.default_rng(6).random(1_500) < chance
    model = _fit(lists, relevant, replace(started, returned=returned.astype(np.float32)))
    inputs = torch.from_numpy(lists.inputs).clone()
    with torch.inference_mode():
        before = model.scores(inputs), model(inputs)[1][..., 2]
        inputs[..., last] += 2.0
        after = model.scores(inputs), model(inputs)[1][..., 2]
    assert torch.equal(before[0], after[0])
    assert (after[1] < before[1] - 0.05).float().mean() > 0.9


def test_a_habit_of_the_moment_is_learnt_where_there_is_one_and_changes_nothing_where_there_is_none() -> None:
    lists, _ = _lists(1, 400)
    habit = NAMES.index("daypart_type_match")
    relevant = [lists.items[row, [lists.inputs[row, :, habit].argmax()]] for row in range(400)]
    unseen, _ = _lists(2)
    first = _top(_fit(lists, relevant), unseen, 1)[0][:, 0] - 1
    assert np.mean(first == unseen.inputs[..., habit].argmax(axis=1)) > 0.7
    flat = CandidateLists(lists.items, lists.inputs.copy())
    flat.inputs[..., habit] = 0.0
    steady = CandidateLists(lists.items, lists.inputs.copy())
    steady.inputs[..., habit] = 5.0
    assert (_top(_fit(flat, relevant), flat, 20)[0] == _top(_fit(steady, relevant), flat, 20)[0]).all()
