"""A local stand-in for SendGrid: the same v3 Mail Send and Email Activity APIs, and a mailbox in place of delivery.

In: requests of SendGrid's client. Out: SendGrid's answers; every accepted message is on disk before its 202. Nothing
leaves this machine. `/` shows the messages, `/rehearsal` makes faults on demand.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from activation.channels.email import endpoint_failures, mailbox, rehearsal
from activation.channels.email.activity_query import QueryError, parse_query
from activation.channels.email.api_key import api_key
from activation.channels.email.captured_messages import MessageSummary, list_messages, store
from activation.channels.email.endpoint_runtime import WAIT_SECONDS, EndpointDep, EndpointRuntime, open_endpoint
from activation.channels.email.mail_send import MAX_BYTES, ApiError, RefusedRequestError, parse_request, too_large
from activation.pages.rendering import STATIC_DIR
from marquee.clock import utc_now
from marquee.database import DatabaseError
from marquee.settings import Settings

_DESCRIPTION = """Speaks the part of SendGrid's v3 API that campaigns use. Messages are kept in a mailbox and delivered
to nobody. The routes under `/rehearsal` exist here only."""

router = APIRouter(prefix="/v3", tags=["SendGrid's API"])
operation_router = APIRouter(tags=["operation"])


class LocalEndpoint(FastAPI):
    """The app, with the one thing that ASGI has no word for: cutting a request's connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # uvicorn's `send` is a method of the object that holds the connection
            cycle = getattr(send, "__self__", None)
            scope["marquee.cut_connection"] = lambda: cycle.transport.abort()  # type: ignore[union-attr]
        await super().__call__(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """The endpoint for `settings`; starts without a database, and then answers 503 until there is one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.runtime = open_endpoint(settings)
        try:
            yield
        finally:
            app.state.runtime.close()

    app = LocalEndpoint(
        title="Local SendGrid endpoint",
        version="3",
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.api_key = api_key(settings)
    for part in (router, operation_router, rehearsal.router, mailbox.router):
        app.include_router(part)
    app.mount("/static", StaticFiles(directory=STATIC_DIR), name="static")
    endpoint_failures.install(app)
    return app


@router.post("/mail/send", status_code=202, response_class=Response, summary="Accept messages")
async def send_mail(request: Request, runtime: EndpointDep) -> Response:
    """202 with `X-Message-Id` once the messages are stored; 200 in sandbox mode, which stores nothing."""
    _check_key(request)
    fault = runtime.rehearsal.take("send")
    if fault is not None and fault.kind == "status":
        return rehearsal.status_answer(fault, utc_now())
    body = await _read_body(request)
    if fault is not None and not fault.is_stored:
        await rehearsal.apply(fault, request)
        if fault.kind == "drop":
            return Response(status_code=500)
    answer = await run_in_threadpool(_accept, runtime, body, request.headers.get("content-type", ""))
    if fault is not None and fault.is_stored:
        await rehearsal.apply(fault, request)
    return answer


@router.get("/messages", summary="Search accepted messages")
async def search_messages(
    request: Request,
    runtime: EndpointDep,
    query: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> Response:
    """The Email Activity API: newest first; `query` as SendGrid documents it."""
    _check_key(request)
    fault = runtime.rehearsal.take("activity")
    if fault is not None and fault.kind == "status":
        return rehearsal.status_answer(fault, utc_now())
    if fault is not None:
        await rehearsal.apply(fault, request)
    found = await run_in_threadpool(_search, runtime, query, limit)
    return JSONResponse({"messages": [_activity(one) for one in found]})


@operation_router.get("/health", summary="Whether messages can be accepted")
def health(runtime: EndpointDep) -> dict[str, str]:
    """200 when the database answers, 503 when it does not."""
    with runtime.warehouse.connection(wait_seconds=1.0) as connection:
        connection.execute("select 1 from activation.captured_messages limit 1")
    return {"status": "ok"}


def _check_key(request: Request) -> None:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    expected: str = request.app.state.api_key
    if kind.lower() != "bearer" or not secrets.compare_digest(key.strip().encode(), expected.encode()):
        message = "The provided authorization grant is invalid, expired, or revoked"
        raise RefusedRequestError(401, ApiError(message))


async def _read_body(request: Request) -> bytes:
    """The whole body, given up as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise too_large()
    return bytes(body)


def _accept(runtime: EndpointRuntime, body: bytes, content_type: str) -> Response:
    parsed = parse_request(body, content_type)
    if parsed.is_sandboxed:
        return Response(status_code=200)
    is_begun = False
    try:
        with runtime.warehouse.connection(WAIT_SECONDS) as connection:
            is_begun = True
            message_id = store(connection, parsed.messages, utc_now())
    except DatabaseError as error:
        if is_begun:
            # the commit may have reached the disk before the connection broke: a 5xx that promises nothing
            raise RefusedRequestError(504, ApiError("The messages may or may not have been stored.")) from error
        raise
    return Response(status_code=202, headers={"X-Message-Id": message_id})


def _search(runtime: EndpointRuntime, query: str, limit: int) -> list[MessageSummary]:
    try:
        parsed = parse_query(query)
    except QueryError as error:
        raise RefusedRequestError(400, ApiError(f"invalid query: {error}", "query")) from error
    with runtime.warehouse.connection(WAIT_SECONDS) as connection:
        return list_messages(connection, parsed.condition, parsed.values, limit=limit)


def _activity(message: MessageSummary) -> dict[str, object]:
    return {
        "from_email": message.from_email,
        "msg_id": message.activity_id,
        "subject": message.subject,
        "to_email": message.to_email,
        "status": "delivered",
        "opens_count": 0,
        "clicks_count": 0,
        "last_event_time": message.accepted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
