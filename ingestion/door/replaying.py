"""Calls that were set aside, and their second chance once the plan allows them.

In: waiting rows of raw.quarantined_events. Out: rows of raw.events, and the rows marked, in one transaction a lot: a
replay that is killed has done whole lots, and one that is run again finds nothing to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.collector.partitions import PartitionKeeper
from ingestion.collector.storing import moments_of, store
from ingestion.door.admission import Admission, Arrival, Door, SetAside
from marquee.database import exclusive

_LOT = 2_000


@dataclass(frozen=True)
class Reason:
    """Waiting calls of one event with one reason; `value` is an example, `place` the file and line of the first."""

    event: str | None
    field: str
    reason: str
    value: str | None
    place: str | None
    call_count: int
    last_received_at: datetime


@dataclass(frozen=True)
class Replay:
    """What a replay did: calls that are stored now, were stored before, are dropped by policy, or still wait."""

    stored: int = 0
    repeated: int = 0
    dropped: int = 0
    waiting: int = 0

    def __add__(self, other: "Replay") -> "Replay":
        return Replay(
            self.stored + other.stored,
            self.repeated + other.repeated,
            self.dropped + other.dropped,
            self.waiting + other.waiting,
        )


def reasons(connection: Connection[DictRow], event: str | None = None) -> list[Reason]:
    """Why calls wait, the most frequent reason first."""
    rows = connection.execute(
        "select event, field, reason, min(value) as value, count(*) as call_count, "
        "(array_agg(file || ':' || line order by quarantined_event_id) filter (where file is not null))[1] as place, "
        "max(received_at) as last_received_at from raw.quarantined_events "
        "where replayed_at is null and (%(event)s::text is null or event = %(event)s) "
        "group by event, field, reason order by call_count desc, event, field, reason",
        {"event": event},
    ).fetchall()
    return [Reason(**row) for row in rows]


def replay(connection: Connection[DictRow], door: Door, now: datetime, event: str | None = None) -> Replay:
    """Admit waiting calls again, oldest first, with the plan as `door` has it; each lot is committed."""
    done = Replay()
    keeper = PartitionKeeper()
    last_id = 0
    while True:
        with connection.transaction():
            ids = _waiting_ids(connection, event, last_id)
        if not ids:
            return done
        done += _replay_lot(connection, door, keeper, now, ids)
        last_id = ids[-1]


def _replay_lot(
    connection: Connection[DictRow], door: Door, keeper: PartitionKeeper, now: datetime, ids: list[int]
) -> Replay:
    with connection.transaction():
        foreseen = [admission for _, admission in _admitted_again(_waiting_rows(connection, ids), door)]
    # a partition is made in a transaction of its own: what it waits for must not wait for us
    keeper.ensure(connection, moments_of(foreseen), now)
    # the lock is held to the end of the transaction, so that two replays take turns
    with connection.transaction(), exclusive(connection, "door.replay"):
        by_source: dict[str, list[Admission]] = {}
        settled: list[int] = []
        waiting: list[tuple[int, SetAside]] = []
        for row, admission in _admitted_again(_waiting_rows(connection, ids), door):
            if isinstance(admission, SetAside):
                waiting.append((row["quarantined_event_id"], admission))
            else:
                by_source.setdefault(row["source"], []).append(admission)
                settled.append(row["quarantined_event_id"])
        done = Replay(waiting=len(waiting))
        for source, admissions in by_source.items():
            counts = store(connection, source, admissions)
            done += Replay(counts.stored, counts.repeated, counts.dropped)
        connection.execute(
            "update raw.quarantined_events set replayed_at = %s where quarantined_event_id = any(%s)", (now, settled)
        )
        _note_reasons(connection, waiting)
    return done


def _waiting_ids(connection: Connection[DictRow], event: str | None, after: int) -> list[int]:
    rows = connection.execute(
        "select quarantined_event_id from raw.quarantined_events where replayed_at is null "
        "and quarantined_event_id > %(after)s and (%(event)s::text is null or event = %(event)s) "
        "order by quarantined_event_id limit %(lot)s",
        {"after": after, "event": event, "lot": _LOT},
    ).fetchall()
    return [row["quarantined_event_id"] for row in rows]


def _waiting_rows(connection: Connection[DictRow], ids: list[int]) -> list[DictRow]:
    return connection.execute(
        "select quarantined_event_id, source, payload, sent_at, received_at from raw.quarantined_events "
        "where quarantined_event_id = any(%s) and replayed_at is null order by quarantined_event_id",
        (ids,),
    ).fetchall()


def _admitted_again(rows: list[DictRow], door: Door) -> Iterator[tuple[DictRow, Admission]]:
    for row in rows:
        yield row, door.admit(row["payload"], Arrival(row["source"], row["received_at"], row["sent_at"]))


def _note_reasons(connection: Connection[DictRow], waiting: list[tuple[int, SetAside]]) -> None:
    """The reason for which a call waits now may be another than before."""
    if not waiting:
        return
    columns = zip(*((number, call.field, call.value, call.reason) for number, call in waiting), strict=True)
    connection.execute(
        "update raw.quarantined_events as kept set field = now.field, value = now.value, reason = now.reason "
        "from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) as now (id, field, value, reason) "
        "where kept.quarantined_event_id = now.id",
        tuple(list(column) for column in columns),
    )
