"""What teaches the re-ranker: candidates with their inputs, which of them were started, and what became of those.

In: what a retriever finds, or what was shown. Out: lists to learn the order from, and starts with their outcomes; what
another split must not know can be left out of both.

Legend: E lists, K candidates a list, F inputs, S starts, N contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from feature_repo.ranking_inputs import NAMES, Context, ranking_inputs
from training.dataset import Bools, Split, is_among
from training.histories import Floats, Ints
from training.outcomes import Outcomes
from training.ranked_lists import stacked
from training.ranking_features import RankingFeatures


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
    contexts: Sequence[Context],
) -> CandidateLists:
    """Inputs of each candidate, point-in-time at each cut of `split`.

    Args:
        candidates: (E, K) item numbers.
        retrieval_scores, neighbour_scores, taste_scores: (E, N + 1) of every content.
        contexts: of each of the E recommendations.
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
            contexts[row],
        )
    return CandidateLists(candidates, inputs)


@dataclass(frozen=True)
class Started:
    """Candidates that were started, and what became of each.

    Attributes:
        users, items: (S,)
        inputs: (S, F)
        finished, returned: (S,) 1 or 0, NaN where nobody knows.
    """

    users: Ints
    items: Ints
    inputs: Floats
    finished: Floats
    returned: Floats

    @classmethod
    def of(cls, lists: CandidateLists, users: Ints, outcomes: Outcomes) -> Self:
        """Those candidates of `lists`, which are those of `users`, of which something is known.  # users: (E,)"""
        finished, returned = outcomes.at(users, lists.items)
        rows, places = np.nonzero((lists.items > 0) & ~(np.isnan(finished) & np.isnan(returned)))
        return cls(
            users[rows],
            lists.items[rows, places],
            lists.inputs[rows, places],
            finished[rows, places],
            returned[rows, places],
        )

    @classmethod
    def none(cls) -> Self:
        numbers, shares = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        return cls(numbers, numbers, np.zeros((0, len(NAMES)), dtype=np.float32), shares, shares)

    def without(self, split: Split) -> Self:
        """All but what `split` holds back."""
        kept = ~_is_held_back(split, self.users, self.items)
        return type(self)(
            self.users[kept], self.items[kept], self.inputs[kept], self.finished[kept], self.returned[kept]
        )

    def with_more(self, others: Self) -> Self:
        """Both, one after the other."""
        return type(self)(
            np.concatenate([self.users, others.users]),
            np.concatenate([self.items, others.items]),
            np.concatenate([self.inputs, others.inputs]),
            np.concatenate([self.finished, others.finished]),
            np.concatenate([self.returned, others.returned]),
        )


@dataclass(frozen=True)
class Lesson:
    """Lists that teach the order of starts.

    Attributes:
        users: (E,) whose each list is; the folds of the calibration are of subscribers.
        target: (E, K) how much each candidate is to have of its list; 0 where it was not started.
    """

    lists: CandidateLists
    users: Ints
    target: Floats

    @classmethod
    def of(cls, lists: CandidateLists, users: Ints, relevant: list[Ints]) -> Self:
        """Of a retriever's candidates: those that are `relevant` (E arrays) share each list."""
        wanted = np.stack([np.isin(items, found) for items, found in zip(lists.items, relevant, strict=True)])
        target = wanted.astype(np.float32)
        return cls(lists, users, target / np.maximum(target.sum(axis=1, keepdims=True), np.float32(1.0)))

    def where(self, chosen: Bools) -> Self:
        lists = CandidateLists(self.lists.items[chosen], self.lists.inputs[chosen])
        return type(self)(lists, self.users[chosen], self.target[chosen])

    def without(self, split: Split) -> Self:
        """All lists but those of which something was started that `split` holds back."""
        rows, places = np.nonzero(self.target)
        is_held_back = _is_held_back(split, self.users[rows], self.lists.items[rows, places])
        kept = np.ones(len(self.users), dtype=bool)
        kept[rows[is_held_back]] = False
        return self.where(kept)

    def with_more(self, other: Self | None) -> Self:
        """Both, one after the other."""
        if other is None:
            return self
        return type(self)(
            joined([self.lists, other.lists]),
            np.concatenate([self.users, other.users]),
            stacked([self.target, other.target]),
        )


@dataclass(frozen=True)
class Taught:
    """What one split taught a ranker, for the ranker of another: starts with their outcomes, and lists as shown."""

    started: Started
    shown: Lesson | None

    @classmethod
    def nothing(cls) -> Self:
        return cls(Started.none(), None)

    def without(self, split: Split) -> Self:
        """What may be known beside what `split` holds back."""
        return type(self)(self.started.without(split), None if self.shown is None else self.shown.without(split))


def _is_held_back(split: Split, users: Ints, items: Ints) -> Bools:
    """Whether each pair is among those that have to be found.  # (S,), (S,) -> (S,)"""
    return is_among(users, items, *split.wanted())
