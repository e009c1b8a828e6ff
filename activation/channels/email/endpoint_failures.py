"""What a client of the local endpoint is told when something is wrong: SendGrid's JSON under /v3, a page for people."""

from collections.abc import Sequence
from dataclasses import asdict

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from activation.channels.email.endpoint_runtime import EndpointRuntime
from activation.channels.email.mail_send import ApiError, RefusedRequestError
from marquee.errors import MarqueeError

_log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Answer every error of `app`."""

    @app.exception_handler(RefusedRequestError)
    async def refused(_request: Request, error: RefusedRequestError) -> Response:
        return errors_answer(error.status_code, error.errors)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = [
            ApiError(found["msg"], ".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0]))
            for found in error.errors()
        ]
        text = "; ".join(f"{one.field}: {one.message}" for one in problems)
        return _answer(request, 400, problems, "The address of this page is not right", text)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        text = str(error.detail)
        return _answer(request, error.status_code, [ApiError(text)], "There is nothing here", text)

    @app.exception_handler(MarqueeError)
    async def unavailable(request: Request, error: MarqueeError) -> Response:
        _log.warning("the local endpoint cannot answer", reason=str(error))
        message = "The database of the local endpoint does not answer; nothing was stored. Start it with marquee up."
        return _answer(request, 503, [ApiError(message)], "Back in a moment", message)


def errors_answer(status_code: int, errors: Sequence[ApiError]) -> Response:
    """Errors in SendGrid's shape."""
    return JSONResponse({"errors": [asdict(error) for error in errors]}, status_code=status_code)


def _answer(request: Request, status_code: int, errors: Sequence[ApiError], title: str, text: str) -> Response:
    if not request.url.path.startswith("/v3/") and "text/html" in request.headers.get("accept", ""):
        runtime: EndpointRuntime = request.app.state.runtime
        return runtime.pages.render(
            "message.html", status_code=status_code, title=title, text=text, back="To the mailbox"
        )
    return errors_answer(status_code, errors)
