"""The two-stage recommender: retrieve the nearest contents by embedding, rank them by features, explain the best.

In: a subscriber or anonymous id, a moment. Out: always a `Recommendation`: personal where profile, consent, features
and model allow it in time, else the popular contents with the reason.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from math import isnan

import numpy as np
import psycopg
import structlog

from activation.serving.answers import (
    Chances,
    FallbackReason,
    History,
    Recommendation,
    RecommendedItem,
    ServingStatus,
)
from activation.serving.artefact import Artefact, Floats, Indices
from activation.serving.catalogue import Content
from activation.serving.explaining import NEWEST_FIRST, POPULAR, reasons
from activation.serving.features import FeastFeatures, FeatureReader, FeaturesUnavailableError, history_of
from activation.serving.live_state import LiveState, Snapshot
from activation.serving.subscribers import Subscriber, find_subscriber
from activation.serving.warehouse import Warehouse
from feature_repo.candidates import find_candidates
from feature_repo.columns import SubscriberFeatures
from marquee.errors import MarqueeError
from marquee.settings import Settings

_log = structlog.get_logger()

MAX_COUNT = 100
_WORKERS = 4


@dataclass(frozen=True)
class Answer:
    """A recommendation with what it was made from, for pages that show more than the list."""

    recommendation: Recommendation
    snapshot: Snapshot
    subscriber: Subscriber | None
    history: History


class _NotPersonalError(MarqueeError):
    """A personal list cannot be made, for `reason`."""

    def __init__(
        self, reason: FallbackReason, subscriber: Subscriber | None = None, history: History = History()
    ) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.subscriber = subscriber
        self.history = history


class Recommender:
    """Answers requests from any number of threads; a background thread keeps model, catalogue and features current."""

    def __init__(self, warehouse: Warehouse, state: LiveState, deadline_seconds: float | None) -> None:
        self._warehouse = warehouse
        self._state = state
        self._deadline_seconds = deadline_seconds
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="recommend")

    def recommend(
        self,
        subscriber_id: str | None,
        count: int,
        surface: str,
        now: datetime,
        anonymous_id: str | None = None,
    ) -> Recommendation:
        """The best `count` contents for a subscriber on a `surface` (`homepage`, `email`, ...). Never raises."""
        return self.answer(subscriber_id, count, surface, now, anonymous_id).recommendation

    def answer(
        self, subscriber_id: str | None, count: int, surface: str, now: datetime, anonymous_id: str | None = None
    ) -> Answer:
        """`recommend`, with what the list was made from."""
        snapshot = self._state.snapshot

        def personal() -> Answer:
            return self._personal(snapshot, subscriber_id, count, now, anonymous_id)

        try:
            return self._in_time(personal)
        except _NotPersonalError as missing:
            return _fallback(snapshot, missing, count, now)
        except TimeoutError:
            _log.warning("a personal list was not ready in time", surface=surface)
            return _fallback(snapshot, _NotPersonalError(FallbackReason.DEADLINE), count, now)
        except (MarqueeError, psycopg.Error) as error:
            _log.warning("a personal list was not possible", surface=surface, reason=str(error))
            return _fallback(snapshot, _NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE), count, now)
        # a subscriber must not see a model's or a library's defect; the log has its trace
        except Exception:
            _log.exception("a personal list failed", surface=surface, model_version=_version(snapshot))
            return _fallback(snapshot, _NotPersonalError(FallbackReason.INTERNAL_ERROR), count, now)

    @property
    def snapshot(self) -> Snapshot:
        return self._state.snapshot

    @property
    def status(self) -> ServingStatus:
        return self._state.status

    def refresh(self) -> None:
        """Look now, rather than within seconds, for a newer champion, catalogue or features."""
        self._state.refresh()

    def close(self) -> None:
        self._state.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._warehouse.close()

    def _in_time(self, work: Callable[[], Answer]) -> Answer:
        if self._deadline_seconds is None:
            return work()
        future = self._workers.submit(work)
        try:
            return future.result(self._deadline_seconds)
        except TimeoutError:
            future.cancel()
            raise

    def _personal(
        self, snapshot: Snapshot, subscriber_id: str | None, count: int, now: datetime, anonymous_id: str | None
    ) -> Answer:
        subscriber = self._subscriber(subscriber_id, anonymous_id)
        if snapshot.artefact is None:
            raise _NotPersonalError(FallbackReason.MODEL_MISSING, subscriber)
        features = self._features(subscriber)
        history = history_of(features)
        if not any(content_id in snapshot.artefact.item_of for content_id in history.content_ids):
            raise _NotPersonalError(FallbackReason.NO_HISTORY, subscriber, history)
        if snapshot.contents is None:
            raise _NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE, subscriber, history)
        candidates, similarities = retrieve(snapshot, snapshot.artefact, subscriber.consumed_content_ids, history, now)
        if len(candidates) == 0:
            raise _NotPersonalError(FallbackReason.NO_HISTORY, subscriber, history)
        matrix = snapshot.contents.ranking_matrix(
            snapshot.artefact, features, subscriber.consumed_content_ids, candidates, similarities, now
        )
        scores, chances = snapshot.artefact.rank(matrix)  # (K,), (K, 3)
        best = _best_distinct(snapshot, snapshot.artefact, candidates, scores, count)
        chosen = candidates[best]
        explained = reasons(snapshot.artefact, snapshot.catalogue, history, chosen)
        items = tuple(
            _item(snapshot.catalogue.by_id[snapshot.artefact.content_ids[item - 1]], reason, score, _chances(row))
            for item, score, reason, row in zip(
                chosen.tolist(), scores[best].tolist(), explained, chances[best].tolist(), strict=True
            )
        )
        recommendation = Recommendation(
            items=items,
            model_version=snapshot.artefact.model_version,
            is_fallback=False,
            fallback_reason=None,
            request_id=uuid.uuid4(),
            made_at=now,
            subscriber_id=subscriber.subscriber_id,
        )
        return Answer(recommendation, snapshot, subscriber, history)

    def _subscriber(self, subscriber_id: str | None, anonymous_id: str | None) -> Subscriber:
        if subscriber_id is None and anonymous_id is None:
            raise _NotPersonalError(FallbackReason.UNKNOWN_SUBSCRIBER)
        with self._warehouse.connection() as connection:
            subscriber = find_subscriber(connection, subscriber_id, anonymous_id)
        if subscriber is None:
            raise _NotPersonalError(FallbackReason.UNKNOWN_SUBSCRIBER)
        if not subscriber.has_personalization_consent:
            raise _NotPersonalError(FallbackReason.NO_CONSENT, subscriber)
        return subscriber

    def _features(self, subscriber: Subscriber) -> SubscriberFeatures:
        try:
            return self._state.features.subscriber(subscriber.subscriber_id)
        except FeaturesUnavailableError as error:
            _log.warning("online features do not answer", reason=str(error))
            self._state.wake()
            raise _NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE, subscriber) from error


def open_recommender(
    settings: Settings, *, deadline_seconds: float | None = None, features: FeatureReader | None = None
) -> Recommender:
    """Load the champion, warm everything up and start the background refresh; works without a database or model, too.

    `deadline_seconds` is how long a personal list may take before the popular one is given instead; None, for batch
    work, waits for it.
    """
    warehouse = Warehouse(settings)
    state = LiveState(settings, warehouse, features or FeastFeatures(settings))
    recommender = Recommender(warehouse, state, deadline_seconds)
    state.start()
    return recommender


def retrieve(
    snapshot: Snapshot, artefact: Artefact, consumed: frozenset[str], history: History, now: datetime
) -> tuple[Indices, Floats]:
    """What the ranker looks at of what can be shown and was not consumed, nearest first, with its dot products."""
    known = [artefact.item_of[name] for name in consumed.union(history.content_ids) if name in artefact.item_of]
    gone = np.array(known, dtype=np.int64)
    # as many as in training: the ranker judges a candidate by its place among them
    count = artefact.manifest.candidate_count
    query = artefact.subscriber_embedding(history, now)
    return find_candidates(artefact.nearest, query, snapshot.shelf, gone, now.timestamp(), count)


def _version(snapshot: Snapshot) -> str | None:
    return snapshot.artefact.model_version if snapshot.artefact is not None else None


def title_key(title: str) -> str:
    """Two contents with the same key look like one to a reader."""
    return " ".join(title.casefold().split())


def _best_distinct(snapshot: Snapshot, artefact: Artefact, candidates: Indices, scores: Floats, count: int) -> Indices:
    """Places in `candidates` of the `count` best, leaving out a title that stands there already."""
    places: list[int] = []
    titles: set[str] = set()
    for place in np.argsort(-scores, kind="stable").tolist():
        key = title_key(snapshot.catalogue.by_id[artefact.content_ids[candidates[place] - 1]].title)
        if key not in titles:
            titles.add(key)
            places.append(place)
            if len(places) == count:
                break
    return np.array(places, dtype=np.int64)


def _fallback(snapshot: Snapshot, missing: _NotPersonalError, count: int, now: datetime) -> Answer:
    """The popular contents of the model's last week, else of the marts', else the editors' newest."""
    # without consent what somebody consumed must not shape the list, not even by its gaps
    is_history_usable = missing.subscriber is not None and missing.reason is not FallbackReason.NO_CONSENT
    consumed = missing.subscriber.consumed_content_ids if missing.subscriber and is_history_usable else frozenset()
    items: list[RecommendedItem] = []
    seen: set[str] = set()
    popular_ids = snapshot.catalogue.popular_ids.union(snapshot.artefact.popular_7d[:100] if snapshot.artefact else ())
    for content in _popular(snapshot):
        key = title_key(content.title)
        if key in seen or content.content_id in consumed:
            continue
        seen.add(key)
        reason = POPULAR if content.content_id in popular_ids else NEWEST_FIRST
        items.append(_item(content, reason, None))
        if len(items) == count:
            break
    recommendation = Recommendation(
        items=tuple(items),
        model_version=None,
        is_fallback=True,
        fallback_reason=missing.reason,
        request_id=uuid.uuid4(),
        made_at=now,
        subscriber_id=missing.subscriber.subscriber_id if missing.subscriber else None,
    )
    return Answer(recommendation, snapshot, missing.subscriber, missing.history)


def _popular(snapshot: Snapshot) -> Iterator[Content]:
    first = snapshot.artefact.popular_7d if snapshot.artefact is not None else ()
    for content_id in first:
        if content_id in snapshot.catalogue.by_id:
            yield snapshot.catalogue.by_id[content_id]
    already = frozenset(first)
    yield from (content for content in snapshot.catalogue.contents if content.content_id not in already)


def _chances(row: list[float]) -> Chances:
    return Chances(*(None if isnan(value) else value for value in row))


def _item(content: Content, reason: str, score: float | None, chances: Chances | None = None) -> RecommendedItem:
    return RecommendedItem(
        content_id=content.content_id,
        title=content.title,
        content_type=content.content_type,
        genres=content.genres,
        score=score,
        reason=reason,
        is_simulated=content.is_simulated,
        chances=chances,
    )
