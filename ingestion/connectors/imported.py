"""A user's own files, as docs/import.md describes them: one model a file, and the columns that it must have.

In: a row of a CSV or Parquet file. Out: a record of the raw table that the file fills, or, of an event, a call for the
door. Imported rows are not simulated.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ingestion.connectors.cms import ContentType, Licensed
from ingestion.connectors.consents import LegalBasis, Purpose
from ingestion.connectors.email_provider import EventType
from ingestion.raw_tables import (
    BILLING_SUBSCRIPTIONS,
    CMS_CONTENT,
    CONSENT_RECORDS,
    CRM_CONTACTS,
    EMAIL_PROVIDER_EVENTS,
    EVENTS,
    ConsentRow,
    RawTable,
)
from ingestion.records import (
    Key,
    OptionalKey,
    OptionalMoment,
    OptionalText,
    Record,
    SourceModel,
    SpelledMoment,
    Text,
)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_COMPLETED_FROM = 0.9


def _split_tags(value: object) -> object:
    if value is None:
        return []
    if not isinstance(value, str):
        return value
    separator = next((mark for mark in "|;," if mark in value), "|")
    return [tag.strip() for tag in value.split(separator) if tag.strip()]


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _read_verdict(value: object) -> object:
    words = {"granted": True, "denied": False, "revoked": False, "withdrawn": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _stated(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


class ImportedSubscriber(SourceModel):
    """A row of `subscribers`."""

    user_id: Key
    email: OptionalText = None
    phone: OptionalText = None
    first_name: OptionalText = None
    last_name: OptionalText = None
    birth_year: OptionalText = None
    gender: OptionalText = None
    occupation: OptionalText = None
    postal_code: OptionalText = None
    country: OptionalText = None
    timezone: OptionalText = None
    created_at: OptionalMoment = None
    updated_at: OptionalMoment = None

    def to_record(self) -> Record:
        return Record(
            self.user_id,
            (
                self.user_id,
                self.user_id,
                self.email,
                self.phone,
                self.first_name,
                self.last_name,
                self.birth_year,
                self.gender,
                self.occupation,
                self.postal_code,
                self.country,
                self.timezone,
                self.created_at,
                self.updated_at or self.created_at or _BEGINNING,
                None,
                False,
            ),
        )


class ImportedContent(Licensed):
    """A row of `content`; `tags` and `licensed_countries` are lists, or text with `|`, `;` or `,` between the parts."""

    content_id: Key
    title: Text = Field(min_length=1)
    content_type: Annotated[ContentType, BeforeValidator(lambda value: _blank_to_none(value) or "video")] = "video"
    tags: Annotated[list[Text], BeforeValidator(_split_tags)] = Field(default_factory=list)
    release_year: OptionalText = None
    duration_minutes: OptionalText = None
    maturity_rating: OptionalText = None
    published_at: OptionalMoment = None
    updated_at: OptionalMoment = None

    def to_record(self) -> Record:
        return Record(
            self.content_id,
            (
                self.content_id,
                self.content_type,
                self.title,
                self.tags,
                self.release_year,
                self.duration_minutes,
                self.maturity_rating,
                self.available_from,
                self.available_until,
                self.licensed_countries,
                self.published_at,
                self.updated_at or self.published_at or _BEGINNING,
                None,
                False,
            ),
        )


class ImportedEvent(SourceModel):
    """A row of `events`."""

    user_id: OptionalKey = None
    anonymous_id: OptionalKey = None
    content_id: OptionalKey = None
    occurred_at: SpelledMoment
    event_id: OptionalKey = None
    interaction_type: Annotated[
        Literal["play", "read", "listen", "search", "list_add"] | None, BeforeValidator(_blank_to_none)
    ] = None
    watched_fraction: Annotated[
        Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None, BeforeValidator(_blank_to_none)
    ] = None
    device_id: OptionalKey = None
    device_type: OptionalText = None
    query: OptionalText = None

    @model_validator(mode="after")
    def _is_somebodys(self) -> "ImportedEvent":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("has neither user_id nor anonymous_id")
        if self.content_id is None and self.interaction_type != "search":
            raise ValueError("has no content_id, which only a search may lack")
        return self

    def to_row(self) -> dict[str, object]:
        return {
            "type": "track",
            "messageId": self.event_id,
            "event": self._event_name(),
            "userId": self.user_id,
            "anonymousId": self.anonymous_id,
            "timestamp": self.occurred_at.isoformat(),
            "properties": _stated(
                interaction_type=self.interaction_type,
                query=self.query,
                content_id=self.content_id,
                watched_fraction=self.watched_fraction,
            ),
            "context": {"device": _stated(id=self.device_id, type=self.device_type)},
        }

    def _event_name(self) -> str:
        names = {
            "read": "Article Read",
            "listen": "Podcast Played",
            "search": "Content Searched",
            "list_add": "Content Added To List",
        }
        if self.interaction_type in names:
            return names[self.interaction_type]
        is_completed = self.watched_fraction is None or self.watched_fraction >= _COMPLETED_FROM
        return "Video Playback Completed" if is_completed else "Video Playback Exited"


class ImportedSubscription(SourceModel):
    """A row of `subscriptions`."""

    user_id: Key
    plan: Text
    status: Text
    subscription_id: OptionalKey = None
    email: OptionalText = None
    monthly_amount_cents: OptionalText = None
    currency: OptionalText = None
    started_at: OptionalMoment = None
    renews_at: OptionalMoment = None
    canceled_at: OptionalMoment = None
    updated_at: OptionalMoment = None

    def to_record(self) -> Record:
        billing_id = self.subscription_id or self.user_id
        return Record(
            billing_id,
            (
                billing_id,
                self.user_id,
                self.email,
                self.plan,
                self.status,
                self.monthly_amount_cents,
                self.currency,
                self.started_at,
                self.renews_at,
                self.canceled_at,
                None,
                False,
                self.updated_at or self.canceled_at or self.started_at or _BEGINNING,
                None,
                False,
            ),
        )


class ImportedEmailEvent(SourceModel):
    """A row of `email_events`."""

    email: Key
    event: EventType
    occurred_at: SpelledMoment
    event_id: OptionalKey = None
    message_id: OptionalKey = None
    campaign: OptionalText = None
    url: OptionalText = None

    def to_record(self) -> Record:
        return Record(
            self.event_id or "",
            (self.email, self.event, self.message_id, self.campaign, self.url, self.occurred_at, None, False),
        )


class ImportedConsent(SourceModel):
    """A row of `consents`; the person is known by user_id or else by email."""

    user_id: OptionalKey = None
    email: OptionalKey = None
    purpose: Purpose
    is_granted: Annotated[bool, BeforeValidator(_read_verdict)]
    recorded_at: SpelledMoment
    region: OptionalText = None
    legal_basis: LegalBasis = "consent"
    text_version: OptionalText = None
    proof: OptionalText = None

    @model_validator(mode="after")
    def _is_somebodys(self) -> "ImportedConsent":
        if self.user_id is None and self.email is None:
            raise ValueError("has neither user_id nor email")
        return self

    def to_record(self) -> Record:
        kind, value = ("user_id", self.user_id) if self.user_id is not None else ("email", self.email or "")
        return Record(
            f"{kind}|{value}|{self.purpose}|{self.recorded_at.isoformat()}",
            ConsentRow(
                kind,
                value,
                self.purpose,
                self.is_granted,
                self.recorded_at,
                region=self.region,
                legal_basis=self.legal_basis,
                text_version=self.text_version,
                proof=self.proof,
            ),
        )


@dataclass(frozen=True)
class ImportFile:
    """One file of an import.

    Attributes:
        name: of the file, less `.csv` or `.parquet`.
        source: the source of the ingest DAG whose load takes it.
        columns: that it must have.
        one_of: columns of which it must have at least one; empty where it does not matter.
        is_required: whether there is no import without it.
    """

    name: str
    source: str
    model: type[SourceModel]
    table: RawTable
    columns: tuple[str, ...]
    one_of: tuple[str, ...] = ()
    is_required: bool = False


IMPORT_FILES = (
    ImportFile("subscribers", "crm", ImportedSubscriber, CRM_CONTACTS, ("user_id",), is_required=True),
    ImportFile("content", "cms", ImportedContent, CMS_CONTENT, ("content_id", "title"), is_required=True),
    ImportFile(
        "events",
        "events",
        ImportedEvent,
        EVENTS,
        ("content_id", "occurred_at"),
        one_of=("user_id", "anonymous_id"),
        is_required=True,
    ),
    ImportFile("subscriptions", "billing", ImportedSubscription, BILLING_SUBSCRIPTIONS, ("user_id", "plan", "status")),
    ImportFile(
        "email_events",
        "email_provider",
        ImportedEmailEvent,
        EMAIL_PROVIDER_EVENTS,
        ("email", "event", "occurred_at"),
    ),
    ImportFile(
        "consents",
        "consents",
        ImportedConsent,
        CONSENT_RECORDS,
        ("purpose", "is_granted", "recorded_at"),
        one_of=("user_id", "email"),
    ),
)
