"""The columns of the raw tables that loaders fill: one place that says what a loaded row is made of.

The tables themselves are declared in schema.sql; `source`, `source_key`, `row_hash` and `loaded_at` belong to the load.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawTable:
    """A table of schema `raw`: its name, what a record says, and the column that moves the watermark."""

    name: str
    columns: tuple[str, ...]
    moment: str


CRM_CONTACTS = RawTable(
    "crm_contacts",
    (
        "crm_id", "user_id", "email", "phone", "first_name", "last_name", "birth_year", "gender", "occupation",
        "postal_code", "country", "timezone", "created_at", "updated_at", "consent_purposes", "is_simulated",
    ),
    "updated_at",
)  # fmt: skip
BILLING_SUBSCRIPTIONS = RawTable(
    "billing_subscriptions",
    (
        "billing_id", "user_id", "email", "plan", "status", "monthly_amount_cents", "currency", "started_at",
        "renews_at", "canceled_at", "updated_at", "consent_purposes", "is_simulated",
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
        "published_at", "updated_at", "consent_purposes", "is_simulated",
    ),
    "updated_at",
)  # fmt: skip
EVENTS = RawTable(
    "events",
    (
        "message_id", "event_type", "event", "user_id", "anonymous_id", "device_id", "device_type", "email",
        "content_id", "watched_fraction", "properties", "occurred_at", "consent_purposes", "is_simulated",
    ),
    "occurred_at",
)  # fmt: skip
CONSENT_RECORDS = RawTable(
    "consent_records",
    (
        "identifier_kind", "identifier_value", "purpose", "is_granted", "region", "recorded_at", "consent_purposes",
        "is_simulated",
    ),
    "recorded_at",
)  # fmt: skip
SURVEY_ANSWERS = RawTable(
    "survey_answers",
    ("email", "user_id", "question", "answer", "answered_at", "consent_purposes", "is_simulated"),
    "answered_at",
)
ALL = (
    CRM_CONTACTS,
    BILLING_SUBSCRIPTIONS,
    EMAIL_PROVIDER_EVENTS,
    CMS_CONTENT,
    EVENTS,
    CONSENT_RECORDS,
    SURVEY_ANSWERS,
)
