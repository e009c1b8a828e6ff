"""The load of rows into their raw table: one transaction, whole or not at all, and nothing twice.

In: records, calls and rejections from a connector. Out: rows in `raw`, `ops.quarantined_rows`, `ops.ingest_batches`
and `ops.source_watermarks`, and the counts. Rows go through COPY into a temporary table, then `insert ... on conflict
do nothing`: a killed load leaves nothing, a second load adds nothing. Of a record every version is kept; of an event,
which never changes, the first delivery (`raw.event_keys`): calls go through the door, and are stored as live ones are.
Whole exports, which also say what is gone, are loaded by `ingestion.snapshots`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow

from ingestion.collector.storing import moments_of, store
from ingestion.door.admission import Admission, Admitted, Arrival, SetAside
from ingestion.door.standing import standing_door
from ingestion.raw_tables import EVENTS, EventRow, RawTable
from ingestion.records import Call, Record, Rejection, Row, row_hash

# so many at once that the statements about them cost little, so few that they fit the memory
_EVENTS_A_LOT = 10_000


@dataclass(frozen=True)
class LoadCounts:
    """What one load read and added.

    `new_count` counts records seen for the first time, `corrected_count` further versions of known ones,
    `deleted_count` those that are gone.
    """

    read_count: int
    new_count: int
    quarantined_count: int
    watermark: datetime | None
    corrected_count: int = 0
    deleted_count: int = 0

    def __add__(self, other: "LoadCounts") -> "LoadCounts":
        moments = [moment for moment in (self.watermark, other.watermark) if moment is not None]
        return LoadCounts(
            self.read_count + other.read_count,
            self.new_count + other.new_count,
            self.quarantined_count + other.quarantined_count,
            max(moments, default=None),
            self.corrected_count + other.corrected_count,
            self.deleted_count + other.deleted_count,
        )


NOTHING_LOADED = LoadCounts(0, 0, 0, None)


@dataclass(frozen=True)
class Incoming:
    """Rows on their way: what a COPY into the temporary table `incoming_rows` took, and what it did not."""

    read_count: int
    rejections: list[Rejection]
    watermark: datetime | None


def load_rows(
    connection: Connection[DictRow],
    source: str,
    table: RawTable,
    rows: Iterable[Row],
    now: datetime,
    since: datetime | None = None,
) -> LoadCounts:
    """Append what is new of `rows` to `table` and set the rejected aside, inside the caller's transaction.

    Args:
        since: rows from before this moment were read before, and are passed over.
    """
    if table is EVENTS:
        return _load_events(connection, source, rows, now, since)
    incoming = receive_rows(connection, table, rows, since)
    new_count, corrected_count, deleted_count = _insert_versions(connection, source, table)
    quarantine(connection, source, incoming.rejections, now)
    return LoadCounts(
        incoming.read_count,
        new_count,
        len(incoming.rejections),
        incoming.watermark,
        corrected_count,
        deleted_count,
    )


def receive_rows(
    connection: Connection[DictRow], table: RawTable, rows: Iterable[Row], since: datetime | None = None
) -> Incoming:
    """Copy records into the temporary table `incoming_rows`, which `place` keeps in their order."""
    names = ("source_key", "row_hash", *table.columns)
    connection.execute("drop table if exists pg_temp.incoming_rows")
    connection.execute(
        sql.SQL("create temp table incoming_rows on commit drop as select {} from raw.{} with no data").format(
            listed(names), sql.Identifier(table.name)
        )
    )
    connection.execute("alter table incoming_rows add column place bigint generated always as identity")
    rejections: list[Rejection] = []
    read_count = 0
    watermark: datetime | None = None
    moment_place = table.columns.index(table.moment)
    copy_into = sql.SQL("copy incoming_rows ({}) from stdin").format(listed(names))
    with connection.cursor() as cursor, cursor.copy(copy_into) as copy:
        for row in rows:
            read_count += 1
            if isinstance(row, Rejection):
                rejections.append(row)
                continue
            assert isinstance(row, Record)
            moment = row.values[moment_place]
            assert isinstance(moment, datetime)
            if since is not None and moment < since:
                continue
            copy.write_row((row.source_key, row_hash(row.values), *row.values))
            watermark = moment if watermark is None else max(watermark, moment)
    return Incoming(read_count, rejections, watermark)


def _insert_versions(connection: Connection[DictRow], source: str, table: RawTable) -> tuple[int, int, int]:
    """Returns how many records are new, how many versions are corrections, and how many records are gone."""
    is_deleted = "is_deleted" if "is_deleted" in table.columns else "false"
    row = connection.execute(
        sql.SQL(
            "with appended as ("
            "    insert into raw.{table} (source, {names}) select %(source)s, {names} from incoming_rows order by place"
            "    on conflict do nothing returning source_key, " + is_deleted + " as is_deleted"
            "), versions as ("
            # the statement sees the table as it was before: what it adds itself is not yet there
            "    select is_deleted, row_number() over (partition by source_key) = 1 and not exists ("
            "        select from raw.{table} as known"
            "        where known.source = %(source)s and known.source_key = appended.source_key"
            "    ) as is_first from appended"
            ") select count(*) filter (where is_first and not is_deleted) as new_count,"
            " count(*) filter (where not is_first and not is_deleted) as corrected_count,"
            " count(*) filter (where is_deleted) as deleted_count from versions"
        ).format(table=sql.Identifier(table.name), names=listed(("source_key", "row_hash", *table.columns))),
        {"source": source},
    ).fetchone()
    assert row is not None
    return row["new_count"], row["corrected_count"], row["deleted_count"]


def _load_events(
    connection: Connection[DictRow], source: str, rows: Iterable[Row], now: datetime, since: datetime | None
) -> LoadCounts:
    """Events are stored as live ones are, a lot at a time; calls go through the door first."""
    arrival = Arrival(source, now)
    rejections: list[Rejection] = []
    lot: list[Admission] = []
    counts = NOTHING_LOADED
    for row in rows:
        if isinstance(row, Rejection):
            rejections.append(row)
            continue
        offered = _offered(row, arrival) if isinstance(row, Call) else _arrived(row, now)
        if since is not None and isinstance(offered, Admitted) and offered.values.occurred_at < since:
            counts += LoadCounts(1, 0, 0, None)
            continue
        lot.append(offered)
        if len(lot) == _EVENTS_A_LOT:
            counts += _store_lot(connection, source, lot)
            lot = []
    counts += _store_lot(connection, source, lot)
    quarantine(connection, source, rejections, now)
    return counts + LoadCounts(len(rejections), 0, len(rejections), None)


def _offered(call: Call, arrival: Arrival) -> Admission:
    admission = standing_door().admit(call.said, arrival)
    return replace(admission, file=call.file, line=call.line) if isinstance(admission, SetAside) else admission


def _arrived(record: Record, now: datetime) -> Admitted:
    event = EventRow._make(record.values)
    return Admitted(event.message_id, event if event.received_at is not None else event._replace(received_at=now))


def _store_lot(connection: Connection[DictRow], source: str, lot: list[Admission]) -> LoadCounts:
    moments = moments_of(lot)
    for month in {moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for moment in moments}:
        connection.execute("select raw.ensure_event_partition(%s)", (month,))
    stored = store(connection, source, lot)
    aside_count = sum(isinstance(one, SetAside) for one in lot)
    return LoadCounts(len(lot), stored.stored, aside_count, max(moments, default=None))


def quarantine(connection: Connection[DictRow], source: str, rejections: list[Rejection], now: datetime) -> None:
    """Set rows aside; the same row of the same file once."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.quarantined_rows "
            "(source, file, line, field, value, reason, payload, row_hash, quarantined_at) "
            "values (%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s) "
            "on conflict (source, file, line, field, row_hash) do nothing",
            list(_quarantine_rows(source, rejections, now)),
        )


def record_batch(
    connection: Connection[DictRow], source: str, run_key: str, counts: LoadCounts, started_at: datetime
) -> datetime | None:
    """Write the load down, once a run: a rerun of the same run adds to its row. The watermark only moves forward.

    Returns how far this load came, at most to its own moment: a row from ahead of the clock must not hide what comes
    before it.
    """
    watermark = None if counts.watermark is None else min(counts.watermark, started_at)
    values = {
        "source": source,
        "run_key": run_key,
        "started_at": started_at,
        "read": counts.read_count,
        "new": counts.new_count,
        "corrected": counts.corrected_count,
        "deleted": counts.deleted_count,
        "quarantined": counts.quarantined_count,
        "watermark": watermark,
    }
    updated = connection.execute(
        "update ops.ingest_batches set finished_at = now(), read_count = greatest(read_count, %(read)s), "
        "new_count = new_count + %(new)s, corrected_count = corrected_count + %(corrected)s, "
        "deleted_count = deleted_count + %(deleted)s, "
        "quarantined_count = greatest(quarantined_count, %(quarantined)s), "
        "watermark = greatest(watermark, %(watermark)s) where source = %(source)s and run_key = %(run_key)s",
        values,
    )
    if updated.rowcount == 0:
        connection.execute(
            "insert into ops.ingest_batches (source, run_key, started_at, read_count, new_count, corrected_count, "
            "deleted_count, quarantined_count, watermark) values (%(source)s, %(run_key)s, %(started_at)s, %(read)s, "
            "%(new)s, %(corrected)s, %(deleted)s, %(quarantined)s, %(watermark)s)",
            values,
        )
    if watermark is not None:
        connection.execute(
            "insert into ops.source_watermarks as kept (source, watermark) values (%(source)s, %(watermark)s) "
            "on conflict (source) do update set watermark = excluded.watermark, updated_at = now() "
            "where excluded.watermark > kept.watermark",
            values,
        )
    return watermark


def _quarantine_rows(source: str, rejections: list[Rejection], now: datetime) -> Iterator[tuple[object, ...]]:
    for row in rejections:
        digest = hashlib.blake2b(row.payload.encode(), digest_size=16).hexdigest()
        yield (source, row.file, row.line, row.field, row.value, row.reason, row.payload, digest, now)


def listed(names: Iterable[str]) -> sql.Composed:
    """Column names with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
