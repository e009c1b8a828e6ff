"""What our own pages recorded: choices of the preference centre become consent records, impressions become events.

In: `activation.preference_changes` and `activation.impressions`, from a moment on. Out: records for two raw tables.
"""

from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.records import Record, json_text

# A row may commit after a younger one was read. Reading a day again costs little, and no transaction lasts a day.
OVERLAP = timedelta(days=1)


def preference_records(connection: Connection[DictRow], since: datetime) -> list[Record]:
    """Choices made since `since`, as rows of raw.consent_records known by subscriber_id."""
    rows = connection.execute(
        "select preference_change_id, subscriber_id, purpose, is_granted, changed_at "
        "from activation.preference_changes where changed_at >= %s order by changed_at, preference_change_id",
        (since,),
    ).fetchall()
    kind = "subscriber_id"
    return [
        Record(
            str(row["preference_change_id"]),
            (kind, row["subscriber_id"], row["purpose"], row["is_granted"], None, row["changed_at"], None, False),
        )
        for row in rows
    ]


def impression_records(connection: Connection[DictRow], since: datetime) -> list[Record]:
    """Recommendations shown since `since`, as track calls in raw.events; the subscriber is in the properties."""
    rows = connection.execute(
        "select impression_id, request_id, subscriber_id, surface, model_version, is_fallback, fallback_reason, "
        "content_ids, shown_at from activation.impressions where shown_at >= %s order by impression_id",
        (since,),
    ).fetchall()
    return [_impression(row) for row in rows]


def _impression(row: DictRow) -> Record:
    message_id = f"impression-{row['impression_id']}"
    properties = {
        "subscriber_id": row["subscriber_id"],
        "request_id": str(row["request_id"]),
        "surface": row["surface"],
        "model_version": row["model_version"],
        "is_fallback": row["is_fallback"],
        "fallback_reason": row["fallback_reason"],
        "content_ids": row["content_ids"],
    }
    event = ("track", "Recommendations Shown")
    nobody_nothing = (None,) * 7
    return Record(
        message_id, (message_id, *event, *nobody_nothing, json_text(properties), row["shown_at"], None, False)
    )
