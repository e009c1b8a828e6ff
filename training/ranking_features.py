"""What the re-ranker is told of subscribers and candidates, as it was just before each recommendation.

Two sources with one shape: the house's feature store, and an interaction log alone, for data that is in no store.

Legend: E recommendations, K candidates each, N contents, G genres, T interactions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import pandas as pd
from feast import FeatureStore

from feature_repo import historical
from feature_repo.columns import CONTENT_TYPES, ContentFeatures, SubscriberFeatures, content_features
from feature_repo.ranking_inputs import CONTEXT_WINDOW, Context
from training.dataset import DAY, UNKNOWN, Contents, Interactions, Split
from training.histories import SECOND, Floats, Histories, Ints

# in days, as ftr_content__popularity counts them; the last is ever
_WINDOWS = (1, 7, 28)
_TYPE_COUNT = len(CONTENT_TYPES)


class RankingFeatures(Protocol):
    """Features at each cut of a split; nothing in them is as late as the cut."""

    def subscribers(self, split: Split) -> list[SubscriberFeatures]:
        """Of the E subscribers, in the order of the split."""
        ...

    def candidates(self, split: Split, candidates: Ints) -> ContentFeatures:
        """Of (E, K) item numbers, as E * K rows; item 0 has none."""
        ...


def contexts(seen: Histories, cuts: Ints, contents: Contents) -> list[Context]:
    """The moment of each of E recommendations (nanoseconds), beside what its subscriber consumed before it."""
    newest = seen.newest(CONTEXT_WINDOW)
    types = contents.side[newest.items, -_TYPE_COUNT:]
    rows = [slice(*bounds) for bounds in pairwise(newest.bounds)]
    return [
        Context(int(cut) // SECOND, newest.moments[row] // SECOND, types[row])
        for row, cut in zip(rows, cuts, strict=True)
    ]


@dataclass(frozen=True)
class StoredFeatures:
    """From the feature store, by its point-in-time join."""

    store: FeatureStore
    contents: Contents

    def subscribers(self, split: Split) -> list[SubscriberFeatures]:
        ids = [split.train.subscriber_ids[user] for user in split.users]
        return historical.subscribers_before(self.store, ids, pd.to_datetime(split.cuts, utc=True))

    def candidates(self, split: Split, candidates: Ints) -> ContentFeatures:
        items = candidates.ravel()
        names = np.array(("", *self.contents.content_ids), dtype=object)
        moments = pd.to_datetime(split.cuts, utc=True).repeat(candidates.shape[1])
        pairs = historical.popularity_before(self.store, names[items].tolist(), moments)
        side = self.contents.side[items]
        types = np.array(CONTENT_TYPES, dtype=object)
        profile = pd.DataFrame(
            {
                "ftr_content__profile__content_type": types[side[:, -_TYPE_COUNT:].argmax(axis=1)],
                "ftr_content__profile__genre_vector": list(side[:, :-_TYPE_COUNT]),
            }
        )
        return content_features(pd.concat([pairs, profile], axis=1), side.shape[1] - _TYPE_COUNT)


class LoggedFeatures:
    """From a log of interactions: the same counts, where the store has no other word on a content than what it counts.

    A content of which nobody knows when it was published is as old as its first interaction, and nobody says how much
    of it was watched.

    Args:
        every: after how many nanoseconds counts are made anew; the store's are at midnight.
    """

    def __init__(self, log: Interactions, contents: Contents, every: int = DAY) -> None:
        self._log = log
        self._contents = contents
        self._every = every
        first = np.full(len(contents.content_ids) + 1, UNKNOWN)
        np.minimum.at(first, log.items, log.moments)
        self._first = np.where(contents.published == UNKNOWN, first, contents.published)

    @cached_property
    def _histories(self) -> Histories:
        return self._log.histories()

    def subscribers(self, split: Split) -> list[SubscriberFeatures]:
        genres = self._contents.side[:, :-_TYPE_COUNT]
        features = []
        for user, cut in zip(split.users, split.cuts, strict=True):
            known = self._histories.before(user, cut)
            if not len(known):
                features.append(SubscriberFeatures())
                continue
            affinity = genres[known].mean(axis=0, dtype=np.float64)
            features.append(
                SubscriberFeatures(interaction_count=float(len(known)), genre_affinity=tuple(affinity.tolist()))
            )
        return features

    def candidates(self, split: Split, candidates: Ints) -> ContentFeatures:
        counted = (split.cuts - 1_000) // self._every * self._every
        counts = np.zeros((*candidates.shape, len(_WINDOWS) + 1), dtype=np.float32)
        order = np.argsort(counted, kind="stable")
        moments, firsts = np.unique(counted[order], return_index=True)
        for before, rows in zip(self._counts_before(moments), np.split(order, firsts[1:]), strict=True):
            counts[rows] = before[:, candidates[rows]].transpose(1, 2, 0)
        items = candidates.ravel()
        ends = counted.repeat(candidates.shape[1])
        first = self._first[items]
        age = np.where(first < ends, (ends - np.minimum(first, ends)) / DAY, 0.0)
        side = self._contents.side[items]
        names = np.array(("", *self._contents.content_ids), dtype=object)
        return ContentFeatures(
            content_ids=tuple(names[items]),
            counts=counts.reshape(-1, counts.shape[-1]),
            mean_watched_fraction=np.full(len(items), 0.5, dtype=np.float32),
            days_since_published=age.astype(np.float32),
            genres=side[:, :-_TYPE_COUNT],
            types=side[:, -_TYPE_COUNT:],
        )

    def _counts_before(self, moments: Ints) -> Iterator[Floats]:
        """Of every content in every window, at one of `moments`, which rise, after another.  # (windows + 1, N + 1)"""
        items = self._log.items
        counts = np.zeros((len(_WINDOWS) + 1, len(self._contents.content_ids) + 1), dtype=np.float32)
        stops = np.searchsorted(self._log.moments, moments)
        starts = [np.searchsorted(self._log.moments, moments - days * DAY) for days in _WINDOWS]
        starts.append(np.zeros_like(stops))
        stop_before, starts_before = 0, np.zeros(len(starts), dtype=np.int64)
        for place, stop in enumerate(stops):
            for window, start in enumerate(starts):
                # what came since the moment before, and what is too old by now
                np.add.at(counts[window], items[stop_before:stop], 1.0)
                np.subtract.at(counts[window], items[starts_before[window] : start[place]], 1.0)
                starts_before[window] = start[place]
            stop_before = stop
            yield counts
