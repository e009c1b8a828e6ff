"""The collector as an ASGI app: Segment's HTTP tracking API in, answers out once the events are on disk.

In: HTTP requests, and a door that decides about each event. Out: submissions to the group writer. It is bare ASGI: the
work of a framework would be a good part of what a request with a single event costs.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qs

import structlog
from starlette.types import Receive, Scope, Send

from ingestion.collector import answers, client_settings
from ingestion.collector.answers import Answer, Headers
from ingestion.collector.bodies import Budget, announced_size, read_body
from ingestion.collector.calls import KINDS, Delivery, Misfit, read_delivery, read_moment
from ingestion.collector.group_commit import GroupWriter, StorageError
from ingestion.collector.metrics import CONTENT_TYPE, CollectorMetrics
from ingestion.collector.refusals import RefusedRequestError, storage_unavailable
from ingestion.collector.storing import Offered, offered
from ingestion.collector.write_keys import key_of_header, read_write_keys, source_of
from ingestion.door.admission import Arrival, Door, SetAside
from ingestion.door.policy import DoorPolicy
from ingestion.tracking_plan.page import plan_page
from ingestion.tracking_plan.plan import TrackingPlan
from marquee import database
from marquee.clock import utc_now
from marquee.settings import Settings

# a JSON text takes several times its size as objects, and an event something even when it says nothing
_MEMORY_OF_A_BYTE = 4
_MEMORY_OF_AN_EVENT = 1_500
# between so many events the loop looks after other requests
_BREATH = 200
_PATHS = {f"{prefix}/v1/{name}": kind for prefix in ("", "/beacon") for name, kind in KINDS.items()}
_log = structlog.get_logger("marquee.collector")


class Collector:
    """The app; the door of `plan` and `policy` admits, sets aside or drops each event."""

    def __init__(self, settings: Settings, plan: TrackingPlan, policy: DoorPolicy) -> None:
        self._settings = settings
        self._door = Door(plan, policy)
        self._plan_page = plan_page(plan).encode()
        self._sources = read_write_keys(settings)
        self._budget = Budget(int(settings.collector_waiting_megabytes * 1024 * 1024))
        self._metrics = CollectorMetrics(lambda: self._budget.held)
        self._writer = GroupWriter(settings, self._metrics.count_group)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        headers: Headers = dict(scope["headers"])
        answer = await self._answer(scope, headers, receive)
        self._metrics.count_request(answer.status)
        length = (b"content-length", str(len(answer.body)).encode())
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [*answer.headers, length, *answers.cross_origin(headers)],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._writer.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self._writer.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        try:
            return await self._route(scope, headers, receive)
        except RefusedRequestError as error:
            return answers.refusal(error)
        except StorageError:
            return answers.refusal(storage_unavailable())
        except Exception:
            # the type and the place, not the event
            _log.exception("a request failed")
            return answers.refusal(RefusedRequestError(500, "the collector failed; its log says where"))

    async def _route(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"].rstrip("/")
        if method == "OPTIONS":
            return answers.preflight(headers)
        kind = _PATHS.get(path)
        if kind is not None and method == "POST":
            return await self._take(kind, scope, headers, receive)
        if kind is None and method == "GET":
            return await self._show(path, scope, headers)
        wanted = "GET" if kind is None else "POST"
        raise RefusedRequestError(405, f"{path or '/'} takes {wanted}")

    async def _take(self, kind: str, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        key = _key_of_header(headers) or _key_of_query(scope)
        with self._budget.holding(announced_size(headers)):
            body = await read_body(receive, headers)
        received_at = utc_now()
        delivery = read_delivery(kind, body)
        source = source_of(self._sources, delivery.write_key if key is None else key)
        event_count = len(delivery.calls) + len(delivery.misfits)
        with self._budget.holding(_MEMORY_OF_A_BYTE * len(body) + _MEMORY_OF_AN_EVENT * event_count):
            offers = await self._admit(delivery, source, _arrival(source, received_at, delivery, scope, headers))
            # what waits for the database is the offers alone
            del body, delivery
            await self._writer.store(offers)
        return answers.STORED

    async def _admit(self, delivery: Delivery, source: str, arrival: Arrival) -> Sequence[Offered]:
        offers = [offered(source, _set_aside(misfit, arrival)) for misfit in delivery.misfits]
        for number, call in enumerate(delivery.calls, start=1):
            own = arrival if arrival.sent_at is not None else _with_sent_at(arrival, call.get("sentAt"))
            offers.append(offered(source, self._door.admit(call, own)))
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        return offers

    async def _show(self, path: str, scope: Scope, headers: Headers) -> Answer:
        if path == "/health":
            return answers.json_answer({"status": "ok"})
        if path == "/ready":
            return await self._ready()
        if path == "/metrics":
            return Answer(200, self._metrics.page(), ((b"content-type", CONTENT_TYPE.encode()),))
        if path == "/plan":
            return Answer(200, self._plan_page, ((b"content-type", b"text/html; charset=utf-8"),))
        if path == "/sourceConfig":
            key = _key_of_query(scope) or _key_of_header(headers)
            return client_settings.rudderstack_settings(key or "", source_of(self._sources, key))
        if path.startswith("/v1/projects/") and path.endswith("/settings"):
            key = path.removeprefix("/v1/projects/").removesuffix("/settings")
            source_of(self._sources, key)
            return client_settings.segment_settings(key, scope["scheme"], headers.get(b"host", b"").decode("latin-1"))
        raise RefusedRequestError(404, f"no {path or '/'} here; events go to /v1/batch, /v1/track and their like")

    async def _ready(self) -> Answer:
        with suppress(database.DatabaseError):
            await asyncio.to_thread(lambda: database.connect(self._settings).close())
            return answers.json_answer({"status": "ready"})
        raise storage_unavailable()


def _arrival(source: str, received_at: datetime, delivery: Delivery, scope: Scope, headers: Headers) -> Arrival:
    client = scope.get("client")
    user_agent = headers.get(b"user-agent")
    return Arrival(
        source=source,
        received_at=received_at,
        sent_at=delivery.sent_at,
        ip=client[0] if client else None,
        user_agent=None if user_agent is None else user_agent.decode("latin-1"),
        has_gpc=headers.get(b"sec-gpc") == b"1",
    )


def _with_sent_at(arrival: Arrival, sent_at: object) -> Arrival:
    """The arrival of a call that says itself when it was sent, as RudderStack's do."""
    moment = read_moment(sent_at)
    return arrival if moment is None else replace(arrival, sent_at=moment)


def _set_aside(misfit: Misfit, arrival: Arrival) -> SetAside:
    return SetAside(
        misfit.message_id, None, "batch", misfit.value, misfit.reason, misfit.payload, arrival.received_at,
        arrival.sent_at,
    )  # fmt: skip


def _key_of_header(headers: Headers) -> str | None:
    return key_of_header(headers.get(b"authorization", b"").decode("latin-1"))


def _key_of_query(scope: Scope) -> str | None:
    """The key in the address: where a beacon, which has no headers of its own, has it."""
    query = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("writeKey", [None])[0] if query else None
