"""Online features for requests, read through Feast, and the ranker's view of every content, kept in memory.

In: feature_repo's online store. Out: a subscriber's `SubscriberFeatures`, and a `ContentTable` in the order of a
model's items. feature_repo.ranking_inputs makes the ranker's matrix, as it does in training.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import structlog
from feast import FeatureStore

from activation.serving.answers import History
from activation.serving.artefact import Artefact, Floats, Indices
from feature_repo.columns import ContentFeatures, SubscriberFeatures
from feature_repo.online import read_contents, read_subscriber
from feature_repo.ranking_inputs import CONTEXT_WINDOW, NAMES, NEIGHBOUR_WINDOW, Context, ranking_inputs
from feature_repo.store import close_store, open_store
from marquee.errors import MarqueeError
from marquee.settings import Settings

_log = structlog.get_logger()
# well inside the registry's cache time, so that no request ever pays for reading it
_REGISTRY_REFRESH_SECONDS = 240.0


class FeaturesUnavailableError(MarqueeError):
    """The online store does not answer, or has no such features."""


@dataclass(frozen=True, eq=False)
class ContentTable:
    """The ranking features of every item of one model; row i is item i, row 0 (padding) is empty."""

    features: ContentFeatures = field(repr=False)

    @property
    def sides(self) -> Floats:
        """Genres, then the type, as training has them.  # (N + 1, S)"""
        return np.concatenate([self.features.genres, self.features.types], axis=1)

    @property
    def week_counts(self) -> Floats:
        """How often each item was consumed in seven days.  # (N + 1,)"""
        return self.features.counts[:, 1]

    def ranking_matrix(
        self,
        artefact: Artefact,
        subscriber: SubscriberFeatures,
        consumed: frozenset[str],
        candidates: Indices,
        similarities: Floats,
        now: datetime,
    ) -> Floats:  # candidates, similarities: (K,) -> (K, F)
        """What the ranker judges the candidates by; `consumed` is all that the subscriber ever did."""
        nearby = neighbour_scores(artefact, subscriber.recent_content_ids, candidates)
        taste = taste_scores(artefact, consumed.union(subscriber.recent_content_ids), candidates)
        context = self._context(artefact, history_of(subscriber), now)
        matrix = ranking_inputs(subscriber, self.features.at(candidates), similarities, nearby, taste, context)
        if artefact.manifest.ranker_features == NAMES:
            return matrix
        columns = [NAMES.index(name) for name in artefact.manifest.ranker_features]
        return matrix[:, columns]

    def _context(self, artefact: Artefact, history: History, now: datetime) -> Context:
        pairs = zip(history.content_ids, history.consumed_seconds, strict=True)
        known = [(artefact.item_of[name], second) for name, second in pairs if name in artefact.item_of]
        items, seconds = np.array(known[-CONTEXT_WINDOW:], dtype=np.int64).reshape(-1, 2).T
        return Context(int(now.timestamp()), seconds, self.features.types[items])


def neighbour_scores(
    artefact: Artefact, recent_content_ids: Sequence[str], candidates: Indices
) -> Floats:  # candidates: (K,) -> (K,)
    """Item-kNN over the newest contents, as training scores its lists."""
    return artefact.neighbours.total_similarity(artefact.items(recent_content_ids)[-NEIGHBOUR_WINDOW:], candidates)


def taste_scores(
    artefact: Artefact, consumed: frozenset[str], candidates: Indices
) -> Floats:  # candidates: (K,) -> (K,)
    """EASE over everything that was consumed, as training scores its lists."""
    return artefact.taste.total_similarity(sorted(artefact.items(consumed)), candidates)


class FeatureReader(Protocol):
    """Where online features come from."""

    def subscriber(self, subscriber_id: str) -> SubscriberFeatures:
        """Raises FeaturesUnavailableError."""
        ...

    def contents(self, content_ids: Sequence[str]) -> ContentTable:
        """Rows in the order of `content_ids`, from row 1 on. Raises FeaturesUnavailableError."""
        ...

    def keep_ready(self) -> None:
        """Called every few seconds in the background: repair what broke, renew what ages."""
        ...

    def close(self) -> None:
        """Give connections back; no other call follows."""
        ...


class FeastFeatures:
    """Features from Feast's online store. After a failure it answers at once that it cannot, until it is repaired."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: FeatureStore | None = None
        self._broken: list[FeatureStore] = []
        self._refreshed_at = 0.0

    def subscriber(self, subscriber_id: str) -> SubscriberFeatures:
        store = self._ready_store()
        try:
            return read_subscriber(store, subscriber_id)
        except Exception as error:  # Feast lets every driver's errors through
            self._give_up(store)
            raise FeaturesUnavailableError(f"Feast did not answer for a subscriber: {error}") from error

    def contents(self, content_ids: Sequence[str]) -> ContentTable:
        store = self._ready_store()
        try:
            found = read_contents(store, content_ids)
        except Exception as error:
            self._give_up(store)
            raise FeaturesUnavailableError(f"Feast did not answer for the contents: {error}") from error
        return ContentTable(found.take(["", *content_ids]))

    def keep_ready(self) -> None:
        self._close_broken()
        try:
            if self._store is None:
                self._open()
            elif time.monotonic() - self._refreshed_at > _REGISTRY_REFRESH_SECONDS:
                self._store.refresh_registry()
                self._refreshed_at = time.monotonic()
        except Exception as error:
            self._give_up(self._store)
            raise FeaturesUnavailableError(f"the feature store does not open: {error}") from error

    def close(self) -> None:
        self._give_up(self._store)
        self._close_broken()

    def _open(self) -> None:
        store = open_store(self._settings)
        try:
            # the first read opens the connections and fills the registry's cache
            read_subscriber(store, "")
        except Exception:
            self._broken.append(store)
            raise
        self._store, self._refreshed_at = store, time.monotonic()

    def _ready_store(self) -> FeatureStore:
        store = self._store
        if store is None:
            raise FeaturesUnavailableError("the feature store is not open")
        return store

    def _give_up(self, store: FeatureStore | None) -> None:
        """Let go of a store whose connections may be broken: Feast 0.67 neither returns nor renews them."""
        with self._lock:
            if store is not None and self._store is store:
                self._store = None
                self._broken.append(store)

    def _close_broken(self) -> None:
        """In the background: closing waits for connections that a request must not wait for."""
        with self._lock:
            broken, self._broken = self._broken, []
        for store in broken:
            close_store(store)


def history_of(features: SubscriberFeatures) -> History:
    """The sequence, with a fraction and a moment for each content whatever the store holds."""
    contents, fractions = features.recent_content_ids, features.recent_watched_fractions
    seconds = features.recent_consumed_seconds
    if len(fractions) != len(contents):
        fractions = (1.0,) * len(contents)
    if len(seconds) != len(contents):
        seconds = (0,) * len(contents)
    known = tuple(1.0 if value is None or np.isnan(value) else float(value) for value in fractions)
    return History(contents, known, seconds)
