"""The load of a whole export: what is new or changed becomes a version, what it lacks a version that says so.

In: records and rejections of one complete file. Out: as `ingestion.loading`, in the same transaction. A record's
living version is the newest by its own update time, then by arrival, of those since it last vanished; staging picks by
the same rule (dbt_project/macros/standing_version.sql). An export that lacks too many of the living records is held:
what it says is taken, and nothing is deleted, until the next one or a person says otherwise.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow

from ingestion.handover import Snapshot
from ingestion.loading import LoadCounts, listed, quarantine, receive_rows
from ingestion.raw_tables import RawTable
from ingestion.reading import WHOLE_FILE
from ingestion.records import Rejection, Row

# stands in place of the hash of a record's words: a vanished record has none
_VANISHED = "vanished"


@dataclass(frozen=True)
class SnapshotLoad:
    """What a snapshot added, and of the living records it should have held, how many it lacks.

    Attributes:
        is_held: it lacks too many; nothing was deleted.
        is_damaged: it could not be read to its end; nothing was deleted.
    """

    counts: LoadCounts
    living_count: int
    missing_count: int
    is_held: bool
    is_damaged: bool


def load_snapshot(
    connection: Connection[DictRow],
    source: str,
    table: RawTable,
    rows: Iterable[Row],
    now: datetime,
    *,
    handover: Snapshot,
    key: str,
    accept_loss: bool = False,
) -> SnapshotLoad:
    """Load one whole export inside the caller's transaction.

    Args:
        key: field of a rejected row that names its record: a row that cannot be read is not a record that is gone.
        accept_loss: delete whatever the export lacks, however much that is.
    """
    incoming = receive_rows(connection, table, rows)
    _find_living(connection, source, table)
    rejected_keys = _keys_of(incoming.rejections, key)
    missing_count, living_count = _count_missing(connection, rejected_keys or set())
    is_damaged = rejected_keys is None
    is_held = not is_damaged and not accept_loss and missing_count > handover.largest_loss * living_count
    new_count, corrected_count = _append_versions(connection, source, table)
    deleted_count = 0
    if rejected_keys is not None and not is_held and missing_count:
        deleted_count = _append_vanished(connection, table, rejected_keys, now)
    quarantine(connection, source, incoming.rejections, now)
    counts = LoadCounts(
        incoming.read_count,
        new_count,
        len(incoming.rejections),
        incoming.watermark,
        corrected_count,
        deleted_count,
    )
    return SnapshotLoad(counts, living_count, missing_count, is_held, is_damaged)


def _find_living(connection: Connection[DictRow], source: str, table: RawTable) -> None:
    """Into the temporary table `standing_rows`: of each record known, the version that stands before this load."""
    connection.execute("drop table if exists pg_temp.standing_rows")
    connection.execute(
        sql.SQL(
            "create temp table standing_rows on commit drop as "
            "select distinct on (source_key) source_key, raw_id, row_hash, {moment} as moment, is_deleted from ("
            "    select *, max(raw_id) filter (where is_deleted) over (partition by source_key) as vanished_id"
            "    from raw.{table} where source = {source}"
            ") as versions where raw_id >= coalesce(vanished_id, 0) "
            "order by source_key, is_deleted, {moment} desc, raw_id desc"
        ).format(moment=sql.Identifier(table.moment), table=sql.Identifier(table.name), source=sql.Literal(source))
    )
    connection.execute("create index on standing_rows (source_key)")
    connection.execute("analyze standing_rows, incoming_rows")


def _keys_of(rejections: list[Rejection], key: str) -> set[str] | None:
    """Every key that a rejected row may have had; None where that cannot be known."""
    keys: set[str] = set()
    for rejection in rejections:
        row = json.loads(rejection.payload)
        if rejection.field == WHOLE_FILE:
            return None
        if key in row:
            keys.add(str(row[key]))
        elif "cells" in row:
            # too few or too many cells: any of them may be the key
            keys.update(map(str, row["cells"]))
        elif "line" in row or not row:
            return None
    return keys


def _count_missing(connection: Connection[DictRow], rejected_keys: set[str]) -> tuple[int, int]:
    """How many living records the export lacks, and how many there are."""
    row = connection.execute(
        # a join: an `exists` inside of an aggregate would read the export once for each record
        "select count(*) as living, count(*) filter (where present.source_key is null and "
        "standing_rows.source_key <> all(%s)) as missing from standing_rows "
        "left join (select distinct source_key from incoming_rows) as present "
        "on present.source_key = standing_rows.source_key where not standing_rows.is_deleted",
        (sorted(map(_storable, rejected_keys)),),
    ).fetchone()
    assert row is not None
    return row["missing"], row["living"]


def _append_versions(connection: Connection[DictRow], source: str, table: RawTable) -> tuple[int, int]:
    """Returns how many records are new, and how many versions are corrections.

    An export says one thing of each record: its newest row. Older rows of the same record are kept where they were
    never seen. Words that stood before stand again only where they are not older than what stands now.
    """
    row = connection.execute(
        sql.SQL(
            "with ranked as ("
            "    select incoming_rows.*, max({moment}) over (partition by source_key) as newest,"
            "    row_number() over (partition by source_key order by {moment} desc, place desc) = 1 as is_newest"
            "    from incoming_rows"
            "), wanted as ("
            "    select distinct on (ranked.source_key, ranked.row_hash) ranked.*, earlier.arrival as earlier_arrival"
            "    from ranked"
            "    left join standing_rows as standing on standing.source_key = ranked.source_key"
            "    left join lateral ("
            "        select max(known.arrival) as arrival from raw.{table} as known where known.source = {source}"
            "        and known.source_key = ranked.source_key and known.row_hash = ranked.row_hash"
            "    ) as earlier on true"
            "    where (ranked.is_newest or ranked.{moment} < ranked.newest) and (earlier.arrival is null"
            "    or (ranked.is_newest and (standing.is_deleted or"
            "        (standing.row_hash <> ranked.row_hash and ranked.{moment} >= standing.moment))))"
            "    order by ranked.source_key, ranked.row_hash, ranked.place desc"
            "), appended as ("
            "    insert into raw.{table} (source, source_key, row_hash, arrival, {names})"
            "    select {source}, source_key, row_hash, coalesce(earlier_arrival, 0) + 1, {names} from wanted"
            "    order by is_newest, place returning source_key"
            ") select count(*) as version_count, count(distinct source_key) filter (where not exists ("
            "    select from standing_rows where standing_rows.source_key = appended.source_key"
            ")) as new_count from appended"
        ).format(
            table=sql.Identifier(table.name),
            moment=sql.Identifier(table.moment),
            names=listed(table.columns),
            source=sql.Literal(source),
        )
    ).fetchone()
    assert row is not None
    return row["new_count"], row["version_count"] - row["new_count"]


def _append_vanished(connection: Connection[DictRow], table: RawTable, rejected_keys: set[str], now: datetime) -> int:
    return connection.execute(
        sql.SQL(
            "insert into raw.{table} (source, source_key, row_hash, arrival, is_deleted, deleted_at, {kept}) "
            "select source, source_key, {vanished}, 1 + ("
            "    select count(*) from raw.{table} as earlier where earlier.source = standing.source"
            "    and earlier.source_key = standing.source_key and earlier.is_deleted"
            "), true, %(now)s, {kept} from raw.{table} as standing "
            "where raw_id in (select raw_id from standing_rows where not is_deleted) "
            "and source_key <> all(%(rejected)s) "
            "and not exists (select from incoming_rows where incoming_rows.source_key = standing.source_key) "
            "order by raw_id"
        ).format(table=sql.Identifier(table.name), kept=listed(table.kept_when_gone), vanished=sql.Literal(_VANISHED)),
        {"now": now, "rejected": sorted(map(_storable, rejected_keys))},
    ).rowcount


def _storable(key: str) -> str:
    """A key that PostgreSQL takes as a parameter; one that it does not take names no record that it holds."""
    return key.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
