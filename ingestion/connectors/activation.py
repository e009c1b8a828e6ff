"""What our own pages recorded: choices of the preference centre become consent records, impressions become events.

In: `activation.preference_changes` and `activation.impressions`, from a moment on. Out: records for two raw tables.
"""

from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.handover import Feed
from ingestion.raw_tables import ConsentRow, EventRow
from ingestion.records import Record, json_text

# A row may commit after a younger one was read. Reading a day again costs little, and no transaction lasts a day.
HANDOVER = Feed("events", overlap=timedelta(days=1))


def preference_records(connection: Connection[DictRow], since: datetime) -> list[Record]:
    """Choices made since `since`, as rows of raw.consent_records known by subscriber_id."""
    rows = connection.execute(
        "select preference_change_id, subscriber_id, purpose, is_granted, text_version, changed_via, changed_at "
        "from activation.preference_changes where changed_at >= %s order by changed_at, preference_change_id",
        (since,),
    ).fetchall()
    return [
        Record(
            str(row["preference_change_id"]),
            ConsentRow(
                "subscriber_id",
                row["subscriber_id"],
                row["purpose"],
                row["is_granted"],
                row["changed_at"],
                text_version=row["text_version"],
                recorded_via="preference_centre",
                proof=f"{row['changed_via']} {row['preference_change_id']}",
            ),
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
    shown_at = row["shown_at"]
    return Record(
        message_id,
        EventRow(
            message_id,
            "track",
            shown_at,
            event="Recommendations Shown",
            properties=json_text(properties),
            received_at=shown_at,
        ),
    )
