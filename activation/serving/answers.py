"""What a recommendation is: the values that the recommender hands to pages, the API and campaigns."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from marquee.settings import ServedModel


class FallbackReason(StrEnum):
    """Why an answer is not personal."""

    UNKNOWN_SUBSCRIBER = "unknown_subscriber"
    NO_CONSENT = "no_consent"
    NO_HISTORY = "no_history"
    MODEL_MISSING = "model_missing"
    FEATURES_UNAVAILABLE = "features_unavailable"
    DEADLINE = "deadline"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class Chances:
    """What the model foresees of one item, as probabilities; None where this version does not foresee it.

    Attributes:
        finish, comes_back: of a subscriber who starts it.
    """

    start: float | None
    finish: float | None
    comes_back: float | None


@dataclass(frozen=True)
class RecommendedItem:
    content_id: str
    title: str
    content_type: str
    genres: tuple[str, ...]
    score: float | None  # the model's; None on a list that no model made
    reason: str
    is_simulated: bool = False
    is_pinned: bool = False  # put at its place by editors
    chances: Chances | None = None  # None on a list that the re-ranker did not make


@dataclass(frozen=True)
class Recommendation:
    items: tuple[RecommendedItem, ...]
    model: ServedModel | None  # None on a list that no model made
    model_version: str | None
    is_fallback: bool
    fallback_reason: FallbackReason | None
    request_id: UUID
    made_at: datetime
    subscriber_id: str | None = None


@dataclass(frozen=True)
class Rail:
    """One row of the homepage."""

    rail_id: str
    title: str
    items: tuple[RecommendedItem, ...]


@dataclass(frozen=True)
class Homepage:
    rails: tuple[Rail, ...]
    model: ServedModel | None
    model_version: str | None
    is_fallback: bool
    fallback_reason: FallbackReason | None
    request_id: UUID
    made_at: datetime
    subscriber_id: str | None


@dataclass(frozen=True)
class History:
    """What a subscriber consumed last, oldest first, as the features have it; seconds since 1970."""

    content_ids: tuple[str, ...] = ()
    watched_fractions: tuple[float, ...] = ()
    consumed_seconds: tuple[int, ...] = ()


@dataclass(frozen=True)
class ServingStatus:
    """What /health and /ready tell."""

    model_version: str | None
    content_count: int
    is_database_reachable: bool
    refreshed_at: datetime | None
    problem: str | None
