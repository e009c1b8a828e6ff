"""What the door writes down beside the events: calls that it set aside, and what it did, counted by the hour.

In: what is new. Out: rows of raw.quarantined_events and ops.door_counts, in the caller's transaction.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.door.admission import SetAside

ADMITTED, STORED_WITHOUT, DROPPED, SET_ASIDE = "admitted", "stored_without", "dropped", "set_aside"
# when a call was received, what was done with it, and purposes with reasons: of an event those without which it is
# stored, of a dropped call the one for which it is
Treatment: TypeAlias = tuple[datetime | None, str, tuple[tuple[str, str], ...]]


def set_aside(connection: Connection[DictRow], source: str, calls: Sequence[SetAside]) -> list[SetAside]:
    """Put calls into quarantine and return those that were not there yet; the same call again is known."""
    if not calls:
        return []
    by_key = {(call.message_id or "", _payload_hash(call)): call for call in reversed(calls)}
    # in one order, so that two writers wait for each other in one direction only
    keys = sorted(by_key)
    columns = [
        (
            call.message_id, payload_hash, call.event, call.field, call.value, call.reason, call.payload, call.sent_at,
            call.received_at, call.file, call.line,
        )
        for (_, payload_hash), call in ((key, by_key[key]) for key in keys)
    ]  # fmt: skip
    rows = connection.execute(
        "insert into raw.quarantined_events (source, message_id, payload_hash, event, field, value, reason, payload, "
        "sent_at, received_at, file, line) select %s, * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bigint[]) "
        "on conflict (coalesce(message_id, ''), payload_hash) do nothing "
        "returning coalesce(message_id, '') as message_id, payload_hash",
        (source, *(list(column) for column in zip(*columns, strict=True))),
    ).fetchall()
    return [by_key[row["message_id"], row["payload_hash"]] for row in rows]


def count_treatments(connection: Connection[DictRow], treatments: Mapping[tuple[str, Treatment], int]) -> None:
    """Add how many calls of each source were treated in each way to the counts of their hours."""
    counts: Counter[tuple[datetime, str, str, str, str]] = Counter()
    for (source, (received_at, outcome, reasons)), call_count in treatments.items():
        assert received_at is not None
        hour = received_at.replace(minute=0, second=0, microsecond=0)
        if outcome != DROPPED:
            counts[hour, source, outcome, "", ""] += call_count
        for purpose, reason in reasons:
            counts[hour, source, outcome if outcome == DROPPED else STORED_WITHOUT, purpose, reason] += call_count
    if not counts:
        return
    # in one order, so that two writers wait for each other in one direction only
    keys = sorted(counts)
    columns = [list(column) for column in zip(*keys, strict=True)]
    connection.execute(
        "insert into ops.door_counts as kept (hour, source, outcome, purpose, reason, event_count) "
        "select * from unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) "
        "on conflict (hour, source, outcome, purpose, reason) do update "
        "set event_count = kept.event_count + excluded.event_count",
        (*columns, [counts[key] for key in keys]),
    )


@dataclass(frozen=True)
class Outcome:
    """How many events of a source the door treated in one way; empty texts where there is no purpose."""

    source: str
    outcome: str
    purpose: str
    reason: str
    event_count: int


def outcomes_since(connection: Connection[DictRow], since: datetime) -> list[Outcome]:
    """What the door did from the hour of `since` on, by source."""
    rows = connection.execute(
        "select source, outcome, purpose, reason, sum(event_count)::bigint as event_count from ops.door_counts "
        "where hour >= date_trunc('hour', %s) group by source, outcome, purpose, reason "
        "order by source, outcome, purpose, reason",
        (since,),
    ).fetchall()
    return [Outcome(**row) for row in rows]


def _payload_hash(call: SetAside) -> str:
    return hashlib.md5(call.payload.encode(), usedforsecurity=False).hexdigest()
