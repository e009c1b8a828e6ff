"""The re-ranker learns which input says what comes next, and orders by it."""

import numpy as np
import torch

from feature_repo.ranking_inputs import NAMES
from training import ranker
from training.ranker import CandidateLists


def _lists(seed: int, count: int = 120, k: int = 20) -> tuple[CandidateLists, list[np.ndarray]]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(count, k, len(NAMES))).astype(np.float32)
    items = np.tile(np.arange(1, k + 1), (count, 1))
    relevant = [items[row, [inputs[row, :, 3].argmax()]] for row in range(count)]
    return CandidateLists(items, inputs), relevant


def test_it_finds_the_input_that_matters() -> None:
    lists, relevant = _lists(1)
    model = ranker.fit(lists, relevant, seed=5)
    unseen, wanted = _lists(2)
    first = ranker.rerank(model, unseen, 5)[0][:, 0]
    share = np.mean([item == answer[0] for item, answer in zip(first, wanted, strict=True)])
    assert share > 0.7  # by chance 0.05


def test_lists_come_best_first_with_their_scores() -> None:
    lists, relevant = _lists(1)
    items, scores = ranker.rerank(ranker.fit(lists, relevant, seed=5), lists, 7)
    assert items.shape == scores.shape == (120, 7)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_without_a_label_to_learn_from_the_order_of_retrieval_stays() -> None:
    lists, _ = _lists(1)
    model = ranker.fit(lists, [np.array([99])] * 120, seed=5)
    assert (ranker.rerank(model, lists, 7)[0] == lists.items[:, :7]).all()


def test_places_without_a_candidate_come_last() -> None:
    lists, relevant = _lists(1)
    lists.items[:, 10:] = 0
    items, _ = ranker.rerank(ranker.fit(lists, relevant, seed=5), lists, 20)
    assert (items[:, :10] > 0).all()
    assert (items[:, 10:] == 0).all()


def test_the_same_seed_gives_the_same_ranker() -> None:
    lists, relevant = _lists(1)
    one, other = (ranker.fit(lists, relevant, seed=5) for _ in range(2))
    inputs = torch.from_numpy(lists.inputs)
    with torch.inference_mode():
        assert torch.equal(one(inputs), other(inputs))


def test_an_input_that_never_varied_in_training_counts_for_nothing_in_use() -> None:
    lists, relevant = _lists(1)
    lists.inputs[..., 7] = 3.0
    model = ranker.fit(lists, relevant, seed=5)
    before = ranker.rerank(model, lists, 7)[0]
    lists.inputs[:, ::2, 7] = 4.0
    assert (ranker.rerank(model, lists, 7)[0] == before).all()
