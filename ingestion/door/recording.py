"""What the door writes down beside the events: calls that it set aside, and what it did, counted by the hour.

In: admissions that are new. Out: rows of raw.quarantined_events and ops.door_counts, in the caller's transaction.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.door.admission import Admission, Admitted, Dropped, SetAside


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


def count_admissions(connection: Connection[DictRow], source: str, admissions: Iterable[Admission]) -> None:
    """Add what was done with `admissions` to the counts of their hours."""
    counts: Counter[tuple[datetime, str, str, str]] = Counter()
    # the events of a request share their moment and mostly what was withheld: an hour is worked out once for all
    alike: Counter[tuple[datetime | None, tuple[tuple[str, str], ...]]] = Counter()
    for admission in admissions:
        if isinstance(admission, Admitted):
            alike[admission.values.received_at, admission.withheld] += 1
        elif isinstance(admission, Dropped):
            counts[_hour_of(admission.received_at), "dropped", admission.purpose, admission.reason] += 1
        else:
            counts[_hour_of(admission.received_at), "set_aside", "", ""] += 1
    for (received_at, withheld), event_count in alike.items():
        hour = _hour_of(received_at)
        counts[hour, "admitted", "", ""] += event_count
        for purpose, reason in withheld:
            counts[hour, "stored_without", purpose, reason] += event_count
    if not counts:
        return
    keys = sorted(counts)
    hours, outcomes, purposes, reasons = (list(column) for column in zip(*keys, strict=True))
    connection.execute(
        "insert into ops.door_counts as kept (hour, source, outcome, purpose, reason, event_count) "
        "select hour, %s, outcome, purpose, reason, event_count from unnest(%s::timestamptz[], %s::text[], %s::text[], "
        "%s::text[], %s::bigint[]) as counted (hour, outcome, purpose, reason, event_count) "
        "on conflict (hour, source, outcome, purpose, reason) do update "
        "set event_count = kept.event_count + excluded.event_count",
        (source, hours, outcomes, purposes, reasons, [counts[key] for key in keys]),
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


def _hour_of(moment: object) -> datetime:
    assert isinstance(moment, datetime)
    return moment.replace(minute=0, second=0, microsecond=0)
