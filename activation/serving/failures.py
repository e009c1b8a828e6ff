"""What a client is told when something is wrong: field, value and remedy; never a stack trace.

In: exceptions of a request. Out: JSON for the API, a page for people.
"""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from activation.pages.rendering import Pages
from activation.serving.api import ErrorOut, FieldProblem
from activation.serving.runtime import Runtime
from marquee.errors import MarqueeError

_log = structlog.get_logger()

_REMEDIES = {
    "missing": "add it",
    "int_parsing": "send a whole number",
    "greater_than_equal": "send a larger number",
    "less_than_equal": "send a smaller number",
    "unknown_rating": "send one of the ratings that the rules for lists know, or leave the parameter out",
    "string_too_short": "send at least one character, or leave the parameter out",
    "string_too_long": "send a shorter text",
    "string_pattern_mismatch": "use only the characters that the description at /docs allows",
}
_PAGE_TITLES = {404: "There is nothing here", 410: "This link has come to its end", 403: "This was not sent from here"}


def install(app: FastAPI) -> None:
    """Answer every error of `app` in words."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        problems = [
            FieldProblem(
                field=".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0]),
                value=repr(found.get("input"))[:80],
                problem=found["msg"],
                remedy=_REMEDIES.get(found["type"], "see the endpoint's description at /docs"),
            )
            for found in error.errors()
        ]
        answer = ErrorOut(error="the request is not valid", problems=problems)
        return JSONResponse(answer.model_dump(), status_code=422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if _is_for_people(request):
            title = _PAGE_TITLES.get(error.status_code, "This did not work")
            return _pages(request).render("message.html", status_code=error.status_code, title=title, text=error.detail)
        answer = ErrorOut(error=str(error.detail))
        return JSONResponse(answer.model_dump(), status_code=error.status_code, headers=error.headers)

    @app.exception_handler(MarqueeError)
    async def unavailable(request: Request, error: MarqueeError) -> Response:
        _log.warning("a request could not be answered", path=_pattern(request), reason=str(error))
        if _is_for_people(request):
            return _pages(request).render(
                "message.html",
                status_code=503,
                title="Back in a moment",
                text="The profiles cannot be reached just now. Nothing was changed; please try again.",
            )
        return JSONResponse(
            ErrorOut(error="the profiles cannot be reached just now; try again in a moment").model_dump(),
            status_code=503,
        )

    @app.exception_handler(Exception)
    async def failed(request: Request, _error: Exception) -> Response:
        # the server logs the trace itself once this is answered
        if _is_for_people(request):
            return _pages(request).render(
                "message.html",
                status_code=500,
                title="This did not work",
                text="The fault is ours and has been written down. Please try again in a moment.",
            )
        return JSONResponse(
            ErrorOut(error="the fault is ours; it is in the server's log").model_dump(), status_code=500
        )


def _pages(request: Request) -> Pages:
    runtime: Runtime = request.app.state.runtime
    return runtime.pages


def _pattern(request: Request) -> str:
    """The route's path: the real one may hold a subscriber's token."""
    return str(getattr(request.scope.get("route"), "path", "unknown"))


def _is_for_people(request: Request) -> bool:
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
