"""The HTTP API under /v1, and the two endpoints that say how the app is.

In: query parameters. Out: JSON as the models below describe it; the descriptions are what /docs shows.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from activation.serving.answers import FallbackReason
from activation.serving.homepage import build_homepage
from activation.serving.recommender import MAX_COUNT, Visitor
from activation.serving.runtime import Runtime, RuntimeDep
from feature_repo.list_rules import ListRulesError
from feature_repo.tower_inputs import DeviceType
from marquee.clock import utc_now
from marquee.settings import ServedModel

router = APIRouter()

_EXAMPLE_SUBSCRIBER = "9f61408e3afb633e50cdf1b20de6f466"
# PostgreSQL takes any text but this byte
_ID_PATTERN = r"^[^\x00]+$"

SubscriberId = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=_ID_PATTERN,
        description="Id of the unified profile (`marts.dim_subscribers`), or one that it had before profiles were "
        "joined. Leave out for a visitor nobody knows.",
        examples=[_EXAMPLE_SUBSCRIBER],
    ),
]
AnonymousId = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=_ID_PATTERN,
        description="The cookie or app id of a visitor who is not signed in; found in the identity graph.",
        examples=["anon-1f2e3d"],
    ),
]
Count = Annotated[int, Query(ge=1, le=MAX_COUNT, description="How many titles to give, at most.", examples=[10])]
MaximumRating = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=20,
        description="The highest maturity rating that the profile in use may see, such as a child's; one of those in "
        "the rules for lists. Contents without a rating are then left out, unless the rules say otherwise.",
        examples=["PG"],
    ),
]
Device = Annotated[
    DeviceType | None,
    Query(description="What the list is shown on. Leave out where nobody knows.", examples=["connected_tv"]),
]
Surface = Annotated[
    str,
    Query(
        min_length=1,
        max_length=60,
        pattern=r"^[a-z0-9][a-z0-9_/.-]*$",
        description="Where the list is shown; kept with the impression. Lower case letters, digits and `_/.-`.",
        examples=["homepage", "article_page"],
    ),
]


Model = Annotated[
    ServedModel | None,
    Field(description="What made the personal list, as `MARQUEE_SERVED_MODEL` chooses; null where no model did."),
]


class _FromAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ChancesOut(_FromAnswer):
    """What the model foresees, as calibrated probabilities; null where this version does not foresee it."""

    start: float | None = Field(description="Of being started, among the candidates of this request.")
    finish: float | None = Field(description="Of being finished, once it is started.")
    comes_back: float | None = Field(description="Of the subscriber's return within days, once it is started.")


class ItemOut(_FromAnswer):
    """One title, and why it is there."""

    content_id: str
    title: str
    content_type: str = Field(description="`video`, `article` or `podcast`")
    genres: list[str]
    score: float | None = Field(description="The model's score, higher is better; null where no model made the list.")
    reason: str = Field(examples=["because you watched Fargo", "popular this week"])
    is_simulated: bool = Field(description="Whether this title was made up for the demo.")
    is_pinned: bool = Field(description="Whether editors put it at its place.")
    chances: ChancesOut | None = Field(None, description="Null where the re-ranker did not make the list.")


class RecommendationOut(_FromAnswer):
    """A list, the model that made it, or the reason why none did."""

    items: list[ItemOut]
    model: Model
    model_version: str | None = Field(examples=["20260101T030000-1a2b3c4d"])
    is_fallback: bool
    fallback_reason: FallbackReason | None = Field(description="Why the list is not personal; null when it is.")
    request_id: UUID = Field(description="The same id stands in activation.impressions.")


class RailOut(_FromAnswer):
    rail_id: str = Field(examples=["for_you", "because", "popular", "new"])
    title: str
    items: list[ItemOut]


class HomepageOut(_FromAnswer):
    """The homepage as rails; no title stands on it twice."""

    rails: list[RailOut]
    model: Model
    model_version: str | None
    is_fallback: bool
    fallback_reason: FallbackReason | None
    request_id: UUID


class SampleSubscriberOut(_FromAnswer):
    """A subscriber of the demo, without name or email."""

    subscriber_id: str
    label: str
    kind: str = Field(description="`personal`, `no consent` or `no history`")
    interaction_count: int
    top_genres: list[str]
    has_personalization_consent: bool
    is_simulated: bool = Field(description="Whether the person around the real ratings is made up.")


class HealthOut(BaseModel):
    """The process lives; what it works with is said beside."""

    status: Literal["ok"]
    model_version: str | None
    content_count: int
    is_database_reachable: bool
    refreshed_at: datetime | None
    problem: str | None
    impressions_written: int
    impressions_waiting: int
    impressions_dropped: int


class ReadyOut(BaseModel):
    is_ready: bool
    problem: str | None


class FieldProblem(BaseModel):
    field: str
    value: str = Field(description="What was sent, cut off after 80 characters.")
    problem: str
    remedy: str


class ErrorOut(BaseModel):
    """What is wrong with a request, where, and what to do."""

    error: str
    problems: list[FieldProblem] = []


_INVALID: dict[int | str, dict[str, object]] = {422: {"model": ErrorOut, "description": "A parameter is not valid."}}


@router.get(
    "/v1/recommendations", tags=["recommendations"], summary="The best titles for a subscriber", responses=_INVALID
)
def recommendations(
    runtime: RuntimeDep,
    subscriber_id: SubscriberId = None,
    anonymous_id: AnonymousId = None,
    count: Count = 10,
    surface: Surface = "homepage",
    maximum_rating: MaximumRating = None,
    device_type: Device = None,
) -> RecommendationOut:
    """Always answers. Titles that the subscriber consumed already are left out, and none comes twice.

    Nothing comes that has no licence at this moment, or that is not for the profile's age. What editors pinned to the
    surface stands at its place.

    Without consent to personalization, history, model, features or time, the popular titles of the week are given, with
    `is_fallback` and the reason.
    """
    visitor = Visitor(subscriber_id, anonymous_id, _age_limit(runtime, maximum_rating), device_type)
    recommendation = runtime.recommender.recommend(visitor, count, surface, utc_now())
    runtime.log(recommendation, surface)
    return RecommendationOut.model_validate(recommendation)


@router.get("/v1/homepage", tags=["recommendations"], summary="The homepage as rails", responses=_INVALID)
def homepage(
    runtime: RuntimeDep,
    subscriber_id: SubscriberId = None,
    anonymous_id: AnonymousId = None,
    maximum_rating: MaximumRating = None,
    device_type: Device = None,
) -> HomepageOut:
    """For you, because you watched, popular this week, new. Without anything personal: the rails that need nobody."""
    visitor = Visitor(subscriber_id, anonymous_id, _age_limit(runtime, maximum_rating), device_type)
    page = build_homepage(runtime.recommender, visitor, utc_now())
    runtime.log_homepage(page)
    return HomepageOut.model_validate(page)


@router.get("/v1/subscribers/sample", tags=["demo"], summary="A few subscribers to try")
def sample_subscribers(runtime: RuntimeDep) -> list[SampleSubscriberOut]:
    """Different tastes, one without consent, one without history; the same ones at every call. No names, no emails."""
    return [SampleSubscriberOut.model_validate(one) for one in runtime.read_sample()]


@router.get("/health", tags=["operation"], summary="Whether the process lives")
def health(runtime: RuntimeDep) -> HealthOut:
    """200 as long as answers are given, with or without a database. `problem` says what is amiss."""
    status, log = runtime.recommender.status, runtime.impressions
    return HealthOut(
        status="ok",
        model_version=status.model_version,
        content_count=status.content_count,
        is_database_reachable=status.is_database_reachable,
        refreshed_at=status.refreshed_at,
        problem=status.problem,
        impressions_written=log.written_count,
        impressions_waiting=log.waiting_count,
        impressions_dropped=log.dropped_count,
    )


@router.get(
    "/ready",
    tags=["operation"],
    summary="Whether answers can be personal",
    responses={503: {"model": ReadyOut, "description": "Answers are given, and are not personal."}},
)
def ready(runtime: RuntimeDep, response: Response) -> ReadyOut:
    """200 when model, features and database are there; 503 says what is missing."""
    status = runtime.recommender.status
    is_ready = status.problem is None
    response.status_code = 200 if is_ready else 503
    return ReadyOut(is_ready=is_ready, problem=status.problem)


def _age_limit(runtime: Runtime, maximum_rating: str | None) -> int | None:
    """The age of a rating that was asked for."""
    if maximum_rating is None:
        return None
    try:
        return runtime.recommender.snapshot.rules.maturity.age_of(maximum_rating)
    except ListRulesError as error:
        said = {
            "type": "unknown_rating",
            "loc": ("query", "maximum_rating"),
            "msg": str(error),
            "input": maximum_rating,
        }
        raise RequestValidationError([said]) from error
