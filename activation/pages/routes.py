"""The pages for people: homepage, start, API reference, and the generated artwork on them.

In: requests. Out: HTML and SVG. What stands on a page is decided in activation.serving.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from activation.pages.api_reference import operations
from activation.pages.artwork import poster
from activation.preferences.links import sign_subscriber
from activation.serving.answers import FallbackReason
from activation.serving.api import AnonymousId
from activation.serving.homepage import build_homepage
from activation.serving.recommender import Visitor
from activation.serving.runtime import RuntimeDep
from marquee.clock import utc_now

router = APIRouter(include_in_schema=False)

# what a person reads where the API says fallback_reason
FALLBACK_WORDS = {
    FallbackReason.UNKNOWN_SUBSCRIBER: "We do not know this visitor, so here is what everybody watches.",
    FallbackReason.NO_CONSENT: "This subscriber has not agreed to personalization, so nothing they watched is used.",
    FallbackReason.NO_HISTORY: "This subscriber has not watched anything yet, so here is what everybody watches.",
    FallbackReason.MODEL_MISSING: "No model has been trained yet, so here is what everybody watches.",
    FallbackReason.FEATURES_UNAVAILABLE: "The profiles cannot be reached just now, so here is what everybody watches.",
    FallbackReason.DEADLINE: "The personal list took too long just now, so here is what everybody watches.",
    FallbackReason.INTERNAL_ERROR: "The personal list could not be made just now, so here is what everybody watches.",
}


@router.get("/", response_class=HTMLResponse)
def show_homepage(
    runtime: RuntimeDep,
    subscriber_id: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    anonymous_id: AnonymousId = None,
) -> Response:
    sample = runtime.read_sample()
    is_asked_for = subscriber_id is not None or anonymous_id is not None
    asked_for = subscriber_id or "" if is_asked_for or not sample else sample[0].subscriber_id
    page = build_homepage(runtime.recommender, Visitor(asked_for or None, anonymous_id, device="web"), utc_now())
    # a former id finds who has it now
    chosen = (page.subscriber_id or asked_for) if asked_for else ""
    runtime.log_homepage(page)
    is_demo = runtime.settings.is_email_local
    return runtime.pages.render(
        "homepage.html",
        page=page,
        sample=sample,
        chosen=chosen,
        person=next((one for one in sample if one.subscriber_id == chosen), None),
        fallback_text=FALLBACK_WORDS[page.fallback_reason] if page.fallback_reason else None,
        preferences_token=sign_subscriber(page.subscriber_id, runtime.settings)
        if is_demo and page.subscriber_id
        else None,
    )


@router.get("/start", response_class=HTMLResponse)
def show_start(runtime: RuntimeDep) -> Response:
    return runtime.pages.render("start.html", status=runtime.recommender.status)


@router.get("/docs", response_class=HTMLResponse)
def show_api_reference(request: Request, runtime: RuntimeDep) -> Response:
    return runtime.pages.render("docs.html", groups=operations(request.app.openapi()))


@router.get("/artwork/{content_id}.svg")
def show_artwork(content_id: str, runtime: RuntimeDep) -> Response:
    content = runtime.recommender.snapshot.catalogue.by_id.get(content_id)
    svg = poster(content_id, content.content_type if content else "video", content.genres if content else ())
    # genres and type of a content may be corrected, so not for ever
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})
