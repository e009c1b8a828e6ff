"""The load of one source into its raw table: one transaction, whole or not at all, and nothing twice.

In: records and rejections from a connector. Out: rows in `raw`, `ops.quarantined_rows`, `ops.ingest_batches` and
`ops.source_watermarks`, and the counts. Rows go through COPY into a temporary table, then `insert ... on conflict do
nothing`: a killed load leaves nothing, a second load adds nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow

from ingestion.raw_tables import RawTable
from ingestion.records import Record, Rejection, row_hash


@dataclass(frozen=True)
class LoadCounts:
    """What one load read and added."""

    read_count: int
    new_count: int
    quarantined_count: int
    watermark: datetime | None

    def __add__(self, other: "LoadCounts") -> "LoadCounts":
        moments = [moment for moment in (self.watermark, other.watermark) if moment is not None]
        return LoadCounts(
            self.read_count + other.read_count,
            self.new_count + other.new_count,
            self.quarantined_count + other.quarantined_count,
            max(moments, default=None),
        )


NOTHING_LOADED = LoadCounts(0, 0, 0, None)


def load_rows(
    connection: Connection[DictRow], source: str, table: RawTable, rows: Iterable[Record | Rejection], now: datetime
) -> LoadCounts:
    """Append what is new of `rows` to `table` and set the rejected aside, inside the caller's transaction."""
    names = ("source_key", "row_hash", *table.columns)
    connection.execute("drop table if exists pg_temp.incoming_rows")
    connection.execute(
        sql.SQL("create temp table incoming_rows on commit drop as select {} from raw.{} with no data").format(
            _listed(names), sql.Identifier(table.name)
        )
    )
    rejections: list[Rejection] = []
    read_count = 0
    watermark: datetime | None = None
    moment_place = table.columns.index(table.moment)
    copy_into = sql.SQL("copy incoming_rows ({}) from stdin").format(_listed(names))
    with connection.cursor() as cursor, cursor.copy(copy_into) as copy:
        for row in rows:
            read_count += 1
            if isinstance(row, Rejection):
                rejections.append(row)
                continue
            copy.write_row((row.source_key, row_hash(row.values), *row.values))
            moment = row.values[moment_place]
            assert isinstance(moment, datetime)
            watermark = moment if watermark is None else max(watermark, moment)
    inserted = connection.execute(
        sql.SQL(
            "insert into raw.{table} (source, {names}) select %s, {names} from incoming_rows "
            "on conflict (source, source_key, row_hash) do nothing"
        ).format(table=sql.Identifier(table.name), names=_listed(names)),
        (source,),
    )
    quarantine(connection, source, rejections, now)
    return LoadCounts(read_count, inserted.rowcount, len(rejections), watermark)


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
) -> None:
    """Write the load down, once a run: a rerun of the same run adds to its row. The watermark only moves forward."""
    updated = connection.execute(
        "update ops.ingest_batches set finished_at = now(), read_count = %s, new_count = new_count + %s, "
        "quarantined_count = %s, watermark = greatest(watermark, %s) where source = %s and run_key = %s",
        (counts.read_count, counts.new_count, counts.quarantined_count, counts.watermark, source, run_key),
    )
    if updated.rowcount == 0:
        connection.execute(
            "insert into ops.ingest_batches "
            "(source, run_key, started_at, read_count, new_count, quarantined_count, watermark) "
            "values (%s, %s, %s, %s, %s, %s, %s)",
            (
                source,
                run_key,
                started_at,
                counts.read_count,
                counts.new_count,
                counts.quarantined_count,
                counts.watermark,
            ),
        )
    if counts.watermark is not None:
        connection.execute(
            "insert into ops.source_watermarks as kept (source, watermark) values (%s, %s) "
            "on conflict (source) do update set watermark = excluded.watermark, updated_at = now() "
            "where excluded.watermark > kept.watermark",
            (source, counts.watermark),
        )


def _quarantine_rows(source: str, rejections: list[Rejection], now: datetime) -> Iterator[tuple[object, ...]]:
    for row in rejections:
        digest = hashlib.blake2b(row.payload.encode(), digest_size=16).hexdigest()
        yield (source, row.file, row.line, row.field, row.value, row.reason, row.payload, digest, now)


def _listed(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
