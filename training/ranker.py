"""The re-ranker: a small network over `feature_repo.ranking_inputs`, trained to put what came next on top.

Labels are the interactions that a retriever has not seen; their features are as they were before
the label.

Legend: E lists, K candidates a list, F inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from feature_repo.ranking_inputs import NAMES, ranking_inputs
from training.dataset import Split
from training.histories import Floats, Ints
from training.ranked_lists import stacked
from training.ranking_features import RankingFeatures

CANDIDATE_COUNT = 100
_EPOCHS = 60
_STANDS_STILL = 1e-4


class Ranker(nn.Module):
    """Inputs standardised by the training lists, then one hidden layer, and a straight path beside it.

    An input that never varied in training taught nothing, so it counts for nothing in use, whatever value comes then.
    """

    def __init__(self, mean: Tensor, spread: Tensor) -> None:  # (F,), (F,)
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(spread > _STANDS_STILL, 1.0 / spread, 0.0))
        self.straight = nn.Linear(len(mean), 1)
        self.bent = nn.Sequential(nn.Linear(len(mean), 24), nn.GELU(), nn.Dropout(0.2), nn.Linear(24, 1))

    def forward(self, inputs: Tensor) -> Tensor:  # (..., F) -> (...,)
        scaled = (inputs - self.mean) * self.scale
        scores: Tensor = self.straight(scaled) + self.bent(scaled)
        return scores.squeeze(-1)


@dataclass(frozen=True)
class CandidateLists:
    """Candidates of E recommendations with their inputs.

    Attributes:
        items: (E, K) item numbers, best retrieved first; 0 where there were no more.
        inputs: (E, K, F)
    """

    items: Ints
    inputs: Floats


def joined(parts: Sequence[CandidateLists]) -> CandidateLists:
    """Lists of one recommendation after another; short ones are filled up with item 0."""
    return CandidateLists(stacked([part.items for part in parts]), stacked([part.inputs for part in parts]))


def candidate_lists(
    features: RankingFeatures,
    split: Split,
    candidates: Ints,
    retrieval_scores: Floats,
    neighbour_scores: Floats,
    taste_scores: Floats,
) -> CandidateLists:
    """Inputs of each candidate, point-in-time at each cut of `split`.

    Args:
        candidates: (E, K) item numbers.
        retrieval_scores, neighbour_scores, taste_scores: (E, N + 1) of every content.
    """
    k = candidates.shape[1]
    subscribers = features.subscribers(split)
    columns = features.candidates(split, candidates)
    inputs = np.zeros((*candidates.shape, len(NAMES)), dtype=np.float32)
    for row, (items, subscriber) in enumerate(zip(candidates, subscribers, strict=True)):
        # as in a request, which knows of no empty places
        there = np.flatnonzero(items)
        inputs[row, there] = ranking_inputs(
            subscriber,
            columns.at(row * k + there),
            retrieval_scores[row, items[there]],
            neighbour_scores[row, items[there]],
            taste_scores[row, items[there]],
        )
    return CandidateLists(candidates, inputs)


def fit(lists: CandidateLists, relevant: list[Ints], seed: int) -> Ranker:
    """Softmax over each list, mass shared by its relevant candidates; lists without one teach nothing."""
    torch.manual_seed(seed)
    wanted = np.stack([np.isin(items, found) for items, found in zip(lists.items, relevant, strict=True)])
    usable = wanted.any(axis=1)
    if not usable.any():
        return without_labels()
    inputs = torch.from_numpy(lists.inputs[usable])
    missing = torch.from_numpy(lists.items[usable] == 0)
    target = torch.from_numpy(wanted[usable].astype(np.float32))
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1.0)
    flat = inputs[~missing]
    model = Ranker(flat.mean(dim=0), flat.std(dim=0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    model.train()
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), 64):
            scores = model(inputs[rows]).masked_fill(missing[rows], -1e9)
            loss = -(target[rows] * scores.log_softmax(dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def without_labels() -> Ranker:
    """A ranker that nothing could be taught: it leaves candidates in the order of their retrieval."""
    return Ranker(torch.zeros(len(NAMES)), torch.zeros(len(NAMES))).eval()


def rerank(model: Ranker, lists: CandidateLists, k: int) -> tuple[Ints, Floats]:
    """The k best candidates of each list and their scores; item 0 where there were fewer.  # (E, k), (E, k)"""
    with torch.inference_mode():
        scores = model(torch.from_numpy(lists.inputs)).numpy()
    scores[lists.items == 0] = -np.inf
    return best(lists.items, scores, k)


def best(items: Ints, scores: Floats, k: int) -> tuple[Ints, Floats]:
    """The k of each list with the highest scores, the first of equal ones first.  # (E, K), (E, K) -> (E, k), (E, k)"""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
