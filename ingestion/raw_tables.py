"""The columns of the raw tables that loaders fill: one place that says what a loaded row is made of.

The tables themselves are declared in schema.sql; `source`, `source_key`, `row_hash` and `loaded_at` belong to the load.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True)
class RawTable:
    """A table of schema `raw`: its name, what a record says, and the column that moves the watermark.

    Attributes:
        kept_when_gone: columns that the row of a vanished record repeats: what the table must have, and nothing of
            what was said about a person. Empty where no record can vanish.
    """

    name: str
    columns: tuple[str, ...]
    moment: str
    kept_when_gone: tuple[str, ...] = ()


class EventRow(NamedTuple):
    """One row of raw.events, as the door, the import and our own pages make it; schema.sql says what a column holds.

    A row without `received_at` arrived when it is loaded.
    """

    message_id: str
    event_type: str
    occurred_at: datetime
    event: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    device_id: str | None = None
    advertising_id: str | None = None
    device_type: str | None = None
    email: str | None = None
    phone: str | None = None
    content_id: str | None = None
    watched_fraction: float | None = None
    properties: str = "{}"
    context: str = "{}"
    sent_at: datetime | None = None
    received_at: datetime | None = None
    consent_purposes: list[str] | None = None
    consent_signals: str | None = None
    schema_version: str | None = None
    is_simulated: bool = False


class ConsentRow(NamedTuple):
    """One row of raw.consent_records; schema.sql says what a column holds."""

    identifier_kind: str
    identifier_value: str
    purpose: str
    is_granted: bool
    recorded_at: datetime
    region: str | None = None
    is_withdrawal: bool = False
    legal_basis: str = "consent"
    text_version: str | None = None
    recorded_via: str = "register"
    proof: str | None = None
    consent_purposes: list[str] | None = None
    is_simulated: bool = False


CRM_CONTACTS = RawTable(
    "crm_contacts",
    (
        "crm_id", "user_id", "email", "phone", "first_name", "last_name", "birth_year", "gender", "occupation",
        "postal_code", "country", "timezone", "created_at", "updated_at", "consent_purposes", "is_simulated",
    ),
    "updated_at",
    kept_when_gone=("crm_id", "updated_at", "is_simulated"),
)  # fmt: skip
BILLING_SUBSCRIPTIONS = RawTable(
    "billing_subscriptions",
    (
        "billing_id", "user_id", "email", "plan", "status", "monthly_amount_cents", "currency", "started_at",
        "renews_at", "canceled_at", "trial_ends_at", "is_deleted", "updated_at", "consent_purposes", "is_simulated",
    ),
    "updated_at",
)  # fmt: skip
BILLING_INVOICES = RawTable(
    "billing_invoices",
    (
        "invoice_id", "billing_id", "status", "amount_cents", "refunded_cents", "currency", "period_starts_at",
        "period_ends_at", "issued_at", "paid_at", "refunded_at", "is_deleted", "updated_at", "consent_purposes",
        "is_simulated",
    ),
    "updated_at",
)  # fmt: skip
EMAIL_PROVIDER_EVENTS = RawTable(
    "email_provider_events",
    ("email", "event", "message_id", "campaign", "url", "occurred_at", "consent_purposes", "is_simulated"),
    "occurred_at",
)
CMS_CONTENT = RawTable(
    "cms_content",
    (
        "content_id", "content_type", "title", "tags", "release_year", "duration_minutes", "maturity_rating",
        "available_from", "available_until", "licensed_countries", "published_at", "updated_at", "consent_purposes",
        "is_simulated",
    ),
    "updated_at",
    kept_when_gone=("content_id", "content_type", "title", "updated_at", "is_simulated"),
)  # fmt: skip
EVENTS = RawTable("events", EventRow._fields, "occurred_at")
CONSENT_RECORDS = RawTable("consent_records", ConsentRow._fields, "recorded_at")
SURVEY_ANSWERS = RawTable(
    "survey_answers",
    ("email", "user_id", "question", "answer", "answered_at", "consent_purposes", "is_simulated"),
    "answered_at",
)
ALL = (
    CRM_CONTACTS,
    BILLING_SUBSCRIPTIONS,
    BILLING_INVOICES,
    EMAIL_PROVIDER_EVENTS,
    CMS_CONTENT,
    EVENTS,
    CONSENT_RECORDS,
    SURVEY_ANSWERS,
)
