"""The recommender: find out who asks, let the model that serves judge contents, compose the list, explain it.

In: a subscriber or anonymous id, a moment. Out: always a `Recommendation`: personal where profile, consent, features
and model allow it in time, else the popular contents with the reason.
"""

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isnan

import psycopg
import structlog

from activation.serving import composing
from activation.serving.answers import (
    Chances,
    FallbackReason,
    History,
    Recommendation,
    RecommendedItem,
    ServingStatus,
)
from activation.serving.catalogue import Content
from activation.serving.explaining import NEWEST_FIRST, POPULAR, reasons
from activation.serving.features import FeastFeatures, FeatureReader, FeaturesUnavailableError, history_of
from activation.serving.live_state import LiveState, Snapshot
from activation.serving.models import MODELS, NotPersonalError, Question
from activation.serving.shelf import Bools, Viewer
from activation.serving.subscribers import Subscriber, find_subscriber
from activation.serving.warehouse import Warehouse
from feature_repo.columns import SubscriberFeatures
from feature_repo.list_rules import ListRules
from marquee.errors import MarqueeError
from marquee.settings import Settings

_log = structlog.get_logger()

MAX_COUNT = 100
_WORKERS = 4


@dataclass(frozen=True)
class Answer:
    """A recommendation with what it was made from, for pages that show more than the list.

    Attributes:
        allowed: (C,) which contents of the shelf may be shown: no hard rule forbids them, and they were not consumed.
    """

    recommendation: Recommendation
    snapshot: Snapshot
    history: History
    allowed: Bools = field(repr=False)

    def may_show(self, content_id: str) -> bool:
        row = self.snapshot.shelf.row_of.get(content_id)
        return row is not None and bool(self.allowed[row])


@dataclass(frozen=True)
class Visitor:
    """Who asks, as the request has it.

    Attributes:
        subscriber_id: present or former.
        age_limit: the age up to which the profile in use may see ratings; None: it has no limit of its own.
        device: one of DEVICE_TYPES of `feature_repo.tower_inputs`; None: nobody knows.
    """

    subscriber_id: str | None = None
    anonymous_id: str | None = None
    age_limit: int | None = None
    device: str | None = None

    @property
    def is_nobody(self) -> bool:
        return self.subscriber_id is None and self.anonymous_id is None


@dataclass
class _Request:
    """One request, and what is found out about who asks while it is answered."""

    snapshot: Snapshot
    visitor: Visitor
    count: int
    surface: str
    now: datetime
    # until the profiles have answered, anybody may be asking
    is_read: bool = False
    subscriber: Subscriber | None = None
    history: History = field(default_factory=History)

    @property
    def rules(self) -> ListRules:
        return self.snapshot.rules

    @property
    def given_up_before(self) -> datetime | None:
        """What was given up until then may come back."""
        days = self.rules.consumed.given_up_returns_after_days
        return None if days is None else self.now - timedelta(days=days)

    @property
    def may_use_profile(self) -> bool:
        return self.subscriber is not None and self.subscriber.has_personalization_consent

    @property
    def segments(self) -> tuple[str, ...]:
        """By which a list may be told from others'."""
        return self.subscriber.segments if self.subscriber is not None and self.may_use_profile else ()

    def viewer(self) -> Viewer:
        """What hard rules ask of who looks. They protect whoever it is, with or without consent."""
        maturity, own_limit = self.rules.maturity, self.visitor.age_limit
        if self.subscriber is not None:
            limit = maturity.age_limit(self.subscriber.age_band, self.subscriber.segments, own_limit)
            return Viewer(self.subscriber.country, limit, maturity.shows_unrated)
        is_known_to_be_nobody = self.is_read or self.visitor.is_nobody
        limit = maturity.age_limit("unknown", (), own_limit) if is_known_to_be_nobody else (
            maturity.lowest_limit(own_limit)
        )  # fmt: skip
        return Viewer(None, limit, maturity.shows_unrated)

    def withheld(self) -> frozenset[str]:
        """What was consumed and is not shown again; without consent not even a gap may tell of it."""
        if self.subscriber is None or not self.may_use_profile:
            return frozenset()
        return self.subscriber.withheld(self.history, self.given_up_before)

    def allowed(self) -> Bools:
        """(C,)"""
        allowed = self.snapshot.shelf.allowed(self.viewer(), self.now)
        allowed[self.snapshot.shelf.rows(self.withheld())] = False
        return allowed


class Recommender:
    """Answers requests from any number of threads; a background thread keeps model, catalogue and features current."""

    def __init__(self, warehouse: Warehouse, state: LiveState, deadline_seconds: float | None) -> None:
        self._warehouse = warehouse
        self._state = state
        self._deadline_seconds = deadline_seconds
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="recommend")

    def recommend(self, visitor: Visitor, count: int, surface: str, now: datetime) -> Recommendation:
        """The best `count` contents for a visitor on a `surface` (`homepage`, `email`, ...). Never raises."""
        return self.answer(visitor, count, surface, now).recommendation

    def answer(self, visitor: Visitor, count: int, surface: str, now: datetime) -> Answer:
        """`recommend`, with what the list was made from."""
        request = _Request(self._state.snapshot, visitor, count, surface, now)
        try:
            return self._in_time(lambda: self._personal(request))
        except NotPersonalError as missing:
            return _fallback(request, missing.reason)
        except TimeoutError:
            _log.warning("a personal list was not ready in time", surface=surface)
            # who asks may be found while the list for everybody is made
            return _fallback(replace(request), FallbackReason.DEADLINE)
        except (MarqueeError, psycopg.Error) as error:
            _log.warning("a personal list was not possible", surface=surface, reason=str(error))
            return _fallback(request, FallbackReason.FEATURES_UNAVAILABLE)
        # a subscriber must not see a model's or a library's defect; the log has its trace
        except Exception:
            _log.exception("a personal list failed", surface=surface, model_version=_version(request.snapshot))
            return _fallback(request, FallbackReason.INTERNAL_ERROR)

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

    def _personal(self, request: _Request) -> Answer:
        snapshot, rules = request.snapshot, request.rules
        subscriber = self._subscriber(request)
        if snapshot.artefact is None:
            raise NotPersonalError(FallbackReason.MODEL_MISSING)
        features = self._features(subscriber)
        request.history = history = history_of(features)
        consumed = subscriber.consumed_content_ids.union(history.content_ids)
        allowed = request.allowed()
        question = Question(
            snapshot.artefact, snapshot, features, history, consumed, allowed, request.visitor.device, request.now
        )
        judged = MODELS[snapshot.served_model](question)
        if len(judged.items) == 0:
            raise NotPersonalError(FallbackReason.NO_HISTORY)
        rows = snapshot.rows[judged.items]
        pins = composing.pins_on(rules, snapshot.shelf, allowed, request.surface, request.now, request.segments)
        shown = composing.personal(
            snapshot.shelf, snapshot.genres, rules, rows, judged.scores, consumed, pins, request.count
        )
        items = snapshot.items[shown.rows]
        told = {place: judged.reasons[item] for place, item in enumerate(items.tolist()) if item in judged.reasons}
        explained = reasons(snapshot.artefact, snapshot.catalogue, history, items, {**told, **shown.pin_reasons})
        foreseen = {}
        if judged.chances is not None:
            foreseen = dict(zip(rows.tolist(), map(_chances, judged.chances.tolist()), strict=True))
        return _answer(request, allowed, shown, explained, foreseen, snapshot.artefact.model_version, None)

    def _subscriber(self, request: _Request) -> Subscriber:
        visitor = request.visitor
        if visitor.is_nobody:
            raise NotPersonalError(FallbackReason.UNKNOWN_SUBSCRIBER)
        with self._warehouse.connection() as connection:
            subscriber = find_subscriber(
                connection,
                visitor.subscriber_id,
                visitor.anonymous_id,
                request.rules.consumed.finished_from,
                request.given_up_before,
            )
        request.subscriber, request.is_read = subscriber, True
        if subscriber is None:
            raise NotPersonalError(FallbackReason.UNKNOWN_SUBSCRIBER)
        if not subscriber.has_personalization_consent:
            raise NotPersonalError(FallbackReason.NO_CONSENT)
        return subscriber

    def _features(self, subscriber: Subscriber) -> SubscriberFeatures:
        try:
            return self._state.features.subscriber(subscriber.subscriber_id)
        except FeaturesUnavailableError as error:
            _log.warning("online features do not answer", reason=str(error))
            self._state.wake()
            raise NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE) from error


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


def _version(snapshot: Snapshot) -> str | None:
    return snapshot.artefact.model_version if snapshot.artefact is not None else None


def _fallback(request: _Request, reason: FallbackReason) -> Answer:
    """The popular contents of the model's last week, else of the marts', else the editors' newest."""
    snapshot, allowed = request.snapshot, request.allowed()
    pins = composing.pins_on(request.rules, snapshot.shelf, allowed, request.surface, request.now, request.segments)
    rows = snapshot.popular_rows[allowed[snapshot.popular_rows]]
    shown = composing.popular(snapshot.shelf, request.rules, rows, pins, request.count)
    explained = [
        pin.reason
        if (pin := shown.pins.get(place)) is not None
        else POPULAR
        if snapshot.shelf.contents[row].content_id in snapshot.popular_ids
        else NEWEST_FIRST
        for place, row in enumerate(shown.rows.tolist())
    ]
    return _answer(request, allowed, shown, explained, {}, None, reason)


def _answer(
    request: _Request,
    allowed: Bools,
    shown: composing.Composed,
    explained: list[str],
    foreseen: Mapping[int, Chances],
    model_version: str | None,
    fallback_reason: FallbackReason | None,
) -> Answer:
    contents = request.snapshot.shelf.contents
    items = tuple(
        _item(contents[row], reason, score, place in shown.pins, foreseen.get(row))
        for place, (row, score, reason) in enumerate(zip(shown.rows.tolist(), shown.scores, explained, strict=True))
    )
    recommendation = Recommendation(
        items=items,
        model=None if fallback_reason is not None else request.snapshot.served_model,
        model_version=model_version,
        is_fallback=fallback_reason is not None,
        fallback_reason=fallback_reason,
        request_id=uuid.uuid4(),
        made_at=request.now,
        subscriber_id=request.subscriber.subscriber_id if request.subscriber else None,
    )
    return Answer(recommendation, request.snapshot, request.history, allowed)


def _chances(row: list[float]) -> Chances:
    return Chances(*(None if isnan(value) else value for value in row))


def _item(
    content: Content, reason: str, score: float | None, is_pinned: bool, chances: Chances | None
) -> RecommendedItem:
    return RecommendedItem(
        content_id=content.content_id,
        title=content.title,
        content_type=content.content_type,
        genres=content.genres,
        score=score,
        reason=reason,
        is_simulated=content.is_simulated,
        is_pinned=is_pinned,
        chances=chances,
    )
