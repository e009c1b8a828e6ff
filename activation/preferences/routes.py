"""The preference centre: what is known, what is allowed, and the one-click unsubscribe of RFC 8058.

In: signed links. Out: pages, and changes of consent that count from the next request on.
"""

from typing import Annotated, NoReturn
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException

from activation.preferences.choices import PURPOSE_NAMES, PURPOSES, ChangedVia, read_preferences, record_choices
from activation.preferences.links import InvalidLinkError, read_token, sign_subscriber
from activation.serving.runtime import Runtime, RuntimeDep
from marquee.clock import utc_now

router = APIRouter(tags=["preferences"])

_BROKEN_LINK = "This link was cut off or changed on its way. Please use the link in your newest email from us."
_GONE = "The profile that this link belongs to is no longer here. Please use the link in your newest email from us."


@router.get("/preferences", response_class=HTMLResponse, include_in_schema=False)
def choose_subscriber(runtime: RuntimeDep) -> Response:
    people = runtime.read_sample() if runtime.settings.is_email_local else []
    return runtime.pages.render(
        "preferences_demo.html",
        is_demo=runtime.settings.is_email_local,
        people=[(one, sign_subscriber(one.subscriber_id, runtime.settings)) for one in people],
    )


@router.get("/preferences/{token}", response_class=HTMLResponse, include_in_schema=False)
def show_preferences(token: str, runtime: RuntimeDep, saved: int | None = None) -> Response:
    subscriber_id = _subscriber_of(token, runtime)
    with runtime.warehouse.connection() as connection:
        preferences = read_preferences(connection, subscriber_id)
    if preferences is None:
        raise HTTPException(410, _GONE)
    return runtime.pages.render(
        "preferences.html",
        token=token,
        preferences=preferences,
        facts=preferences.facts,
        purposes=PURPOSES,
        saved=saved,
        is_demo=runtime.settings.is_email_local,
    )


@router.post("/preferences/{token}", include_in_schema=False)
def save_preferences(
    token: str,
    request: Request,
    runtime: RuntimeDep,
    granted: Annotated[list[str], Form()] = [],  # noqa: B006
) -> Response:
    _check_same_origin(request, runtime)
    choices: dict[str, bool] = {name: name in granted for name in PURPOSE_NAMES}
    return _record(token, runtime, choices, "preference_centre")


@router.post("/preferences/{token}/unsubscribe-from-all", include_in_schema=False)
def unsubscribe_from_all(token: str, request: Request, runtime: RuntimeDep) -> Response:
    _check_same_origin(request, runtime)
    return _record(token, runtime, {"email_marketing": False}, "unsubscribe_all")


@router.post(
    "/preferences/{token}/unsubscribe",
    response_class=PlainTextResponse,
    summary="One-click unsubscribe (RFC 8058)",
    responses={404: {"description": "The token is not one of ours."}},
)
def unsubscribe_in_one_click(token: str, runtime: RuntimeDep) -> Response:
    """What a mail program calls for its unsubscribe button: no page, no cookie, no question; may be repeated."""
    # a mail provider posts this from its own servers: the signed token is all the proof there is, as the RFC wants it
    subscriber_id = _subscriber_of(token, runtime)
    with runtime.warehouse.connection() as connection:
        record_choices(connection, subscriber_id, {"email_marketing": False}, "one_click_unsubscribe", utc_now())
    return PlainTextResponse("You are unsubscribed.")


@router.get("/preferences/{token}/unsubscribe", include_in_schema=False)
def confirm_unsubscribe(token: str) -> Response:
    # opening a link changes nothing: scanners of mail servers open every link
    return RedirectResponse(f"/preferences/{token}#emails", status_code=303)


def _record(token: str, runtime: Runtime, choices: dict[str, bool], via: ChangedVia) -> Response:
    subscriber_id = _subscriber_of(token, runtime)
    with runtime.warehouse.connection() as connection:
        if read_preferences(connection, subscriber_id) is None:
            raise HTTPException(410, _GONE)
        changed = record_choices(connection, subscriber_id, choices, via, utc_now())
    return RedirectResponse(f"/preferences/{token}?saved={changed}", status_code=303)


def _subscriber_of(token: str, runtime: Runtime) -> str:
    try:
        return read_token(token, runtime.settings)
    except InvalidLinkError as error:
        raise HTTPException(404, _BROKEN_LINK) from error


def _check_same_origin(request: Request, runtime: Runtime) -> None:
    """Refuse a form that another site sent in a subscriber's name."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = {request.headers.get("host"), urlsplit(runtime.settings.serving_url).netloc}
    if site is not None and site != "same-origin":
        _refuse()
    if origin is not None and urlsplit(origin).netloc not in own:
        _refuse()


def _refuse() -> NoReturn:
    raise HTTPException(403, "Another site sent this form. Open the preference centre from your email and save there.")
