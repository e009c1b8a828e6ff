"""A user's own files, as docs/import.md describes them: CSV or Parquet, one model a file.

In: the staged copies of the files (`var/imported`). Out: for each source of the ingest DAG, the loads that it takes.
Imported rows are not simulated. A row without a key of its own gets a fingerprint of itself as key, and the n-th such
row of a file another: nothing is lost, and the same file again adds nothing.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BeforeValidator, Field, model_validator

from ingestion.connectors.cms import ContentType
from ingestion.connectors.consents import Purpose
from ingestion.connectors.email_provider import EventType
from ingestion.raw_tables import (
    BILLING_SUBSCRIPTIONS,
    CMS_CONTENT,
    CONSENT_RECORDS,
    CRM_CONTACTS,
    EMAIL_PROVIDER_EVENTS,
    EVENTS,
    RawTable,
)
from ingestion.reading import read_csv_file, validated
from ingestion.records import (
    Key,
    OptionalKey,
    OptionalMoment,
    OptionalText,
    Record,
    Rejection,
    SourceModel,
    SpelledMoment,
    Text,
    json_text,
)
from marquee.settings import Settings

ASSUMPTION_SOURCE = "import assumption"

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_PURPOSES = ("personalization", "email_marketing", "advertising", "analytics")
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
    words = {"granted": True, "denied": False, "revoked": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


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


class ImportedContent(SourceModel):
    """A row of `content`; `tags` is a list, or text with `|`, `;` or `,` between the tags."""

    content_id: Key
    title: Text = Field(min_length=1)
    content_type: Annotated[ContentType, BeforeValidator(lambda value: _blank_to_none(value) or "video")] = "video"
    tags: Annotated[list[Text], BeforeValidator(_split_tags)] = []
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

    def to_record(self) -> Record:
        properties = {"interaction_type": self.interaction_type, "query": self.query}
        return Record(
            self.event_id or "",
            (
                self.event_id or "",
                "track",
                self._event_name(),
                self.user_id,
                self.anonymous_id,
                self.device_id,
                self.device_type,
                None,
                self.content_id,
                self.watched_fraction,
                json_text({name: value for name, value in properties.items() if value is not None}),
                self.occurred_at,
                None,
                False,
            ),
        )

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

    @model_validator(mode="after")
    def _is_somebodys(self) -> "ImportedConsent":
        if self.user_id is None and self.email is None:
            raise ValueError("has neither user_id nor email")
        return self

    def to_record(self) -> Record:
        kind, value = ("user_id", self.user_id) if self.user_id is not None else ("email", self.email)
        return Record(
            f"{kind}|{value}|{self.purpose}|{self.recorded_at.isoformat()}",
            (kind, value, self.purpose, self.is_granted, self.region, self.recorded_at, None, False),
        )


# file: the source whose load takes it, its model, its table
IMPORT_FILES: dict[str, tuple[str, type[SourceModel], RawTable]] = {
    "events": ("events", ImportedEvent, EVENTS),
    "content": ("cms", ImportedContent, CMS_CONTENT),
    "subscribers": ("crm", ImportedSubscriber, CRM_CONTACTS),
    "subscriptions": ("billing", ImportedSubscription, BILLING_SUBSCRIPTIONS),
    "email_events": ("email_provider", ImportedEmailEvent, EMAIL_PROVIDER_EVENTS),
    "consents": ("consents", ImportedConsent, CONSENT_RECORDS),
}


def staging_folder(settings: Settings) -> Path:
    """Where the copies of the imported files lie, from which every later run of the ingest DAG reads."""
    return settings.var_dir / "imported"


def imported_loads(source: str, settings: Settings) -> Iterator[tuple[str, RawTable, Iterator[Record | Rejection]]]:
    """The loads that `source` takes: (source name in raw, table, rows)."""
    folder = staging_folder(settings)
    for name, (file_source, model, table) in IMPORT_FILES.items():
        path = find_file(folder, name)
        if file_source == source and path is not None:
            rows = _read(path, model)
            if name == "events":
                rows = _typed_by_content(rows, folder)
            yield source, table, _keyed(rows, table)
    if source == "consents" and _is_consent_assumed(folder):
        yield ASSUMPTION_SOURCE, CONSENT_RECORDS, _assumed_consents(folder)


def find_file(folder: Path, name: str) -> Path | None:
    """The file called `name`, CSV or Parquet."""
    return next((path for path in (folder / f"{name}.parquet", folder / f"{name}.csv") if path.is_file()), None)


def _read(path: Path, model: type[SourceModel]) -> Iterator[Record | Rejection]:
    if path.suffix == ".csv":
        yield from read_csv_file(path, model)
        return
    line = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=10_000):
            for row in batch.to_pylist():
                line += 1
                yield validated(row, path.name, line, model)


def _keyed(rows: Iterator[Record | Rejection], table: RawTable) -> Iterator[Record | Rejection]:
    """Give a key to the rows that have none."""
    seen: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, Rejection) or row.source_key:
            yield row
            continue
        fingerprint = hashlib.blake2b(repr(row.values).encode(), digest_size=12).hexdigest()
        seen[fingerprint] += 1
        key = f"{fingerprint}-{seen[fingerprint]}"
        # an event carries its key a second time, as the message id
        values = (key, *row.values[1:]) if table is EVENTS else row.values
        yield Record(key, values)


def _typed_by_content(rows: Iterator[Record | Rejection], folder: Path) -> Iterator[Record | Rejection]:
    """Name the event of a row without interaction_type by what its content is."""
    names = {"article": "Article Read", "podcast": "Podcast Played"}
    content = find_file(folder, "content")
    types: dict[object, object] = {}
    if content is not None:
        id_place, type_place = (CMS_CONTENT.columns.index(name) for name in ("content_id", "content_type"))
        for item in _read(content, ImportedContent):
            if isinstance(item, Record) and item.values[type_place] in names:
                types[item.values[id_place]] = item.values[type_place]
    event_place, content_place, rest_place = (
        EVENTS.columns.index(name) for name in ("event", "content_id", "properties")
    )
    for row in rows:
        if isinstance(row, Record) and row.values[content_place] in types:
            if "interaction_type" not in json.loads(str(row.values[rest_place])):
                values = list(row.values)
                values[event_place] = names[str(types[row.values[content_place]])]
                yield Record(row.source_key, tuple(values))
                continue
        yield row


def _is_consent_assumed(folder: Path) -> bool:
    path = folder / "options.json"
    return path.exists() and bool(json.loads(path.read_text())["assume_consent"])


def _assumed_consents(folder: Path) -> Iterator[Record]:
    """All purposes granted for every subscriber, dated before anything that a person could have said."""
    path = find_file(folder, "subscribers")
    if path is None:
        return
    for row in _read(path, ImportedSubscriber):
        if isinstance(row, Record):
            for purpose in _PURPOSES:
                key = f"{row.source_key}|{purpose}"
                yield Record(key, ("user_id", row.source_key, purpose, True, None, _BEGINNING, None, False))


def columns_of(path: Path) -> list[str]:
    """Column names of a CSV or Parquet file.

    Raises:
        OSError, ValueError: the file cannot be read as what its name says.
    """
    if path.suffix == ".parquet":
        try:
            return list(pq.read_schema(path).names)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
    import csv

    with path.open(encoding="utf-8-sig", newline="") as file:
        return [name.strip() for name in next(csv.reader(file), [])]
