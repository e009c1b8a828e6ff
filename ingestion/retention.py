"""How long raw events are kept: whole months go at once, with the keys that remember their message ids.

What was set aside goes when it has waited as long. In: a moment and settings. Out: one row a dropped partition in
ops.dropped_event_partitions, in the transaction that drops it. The next build of the warehouse finds that row and
builds anew, so that the marts lose what raw lost.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow

from marquee import database
from marquee.settings import Settings

# what lies in no month's partition is deleted row by row
_DEFAULT_PARTITION = "events_other"
# dropping waits for the readers of raw.events, and all who come after it wait with it
_LOCK_TIMEOUT = "20s"


@dataclass(frozen=True)
class Dropped:
    """What went: how many partitions, events, keys of message ids, and calls and rows that had been set aside.

    `before` is the first moment that is kept.
    """

    before: datetime | None
    partition_count: int = 0
    event_count: int = 0
    key_count: int = 0
    aside_count: int = 0


def drop_old_events(now: datetime, settings: Settings) -> Dropped:
    """Drop the months that ended before the kept ones, all in one transaction. Safe to call again.

    Months are counted back from the newest event, `now` at most: an imported history of past years is kept as a whole.

    Raises:
        psycopg.errors.LockNotAvailable: a build or a load read raw.events for too long; the next call does it.
    """
    with database.connect(settings) as connection:
        first_kept = _first_kept(connection, now, settings.event_retention_months)
        if first_kept is None:
            return Dropped(None)
        connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
        dropped = [_drop(connection, name, first_kept) for name in _old_partitions(connection, first_kept)]
        aside_count = _drop_aside(connection, first_kept)
    counts = [count for count in dropped if count != (0, 0)]
    return Dropped(
        first_kept, len(counts), sum(events for events, _ in counts), sum(keys for _, keys in counts), aside_count
    )


def _first_kept(connection: Connection[DictRow], now: datetime, months: int) -> datetime | None:
    row = connection.execute(
        "select (date_trunc('month', least(%s, max(occurred_at)) at time zone 'UTC') - %s * interval '1 month') "
        "at time zone 'UTC' as first_kept from raw.events",
        (now, months),
    ).fetchone()
    assert row is not None
    first_kept: datetime | None = row["first_kept"]
    return first_kept


def _old_partitions(connection: Connection[DictRow], first_kept: datetime) -> list[str]:
    """Partitions whose month ended by `first_kept`; the default one last."""
    rows = connection.execute(
        "select relname from pg_inherits join pg_class on pg_class.oid = inhrelid "
        "where inhparent = 'raw.events'::regclass and relname ~ '^events_[0-9]{6}$' "
        "and to_date(right(relname, 6), 'YYYYMM') < (%s at time zone 'UTC')::date order by relname",
        (first_kept,),
    )
    return [*(str(row["relname"]) for row in rows), _DEFAULT_PARTITION]


def _drop_aside(connection: Connection[DictRow], first_kept: datetime) -> int:
    """Delete what was set aside before `first_kept`: it holds what people said and did, as events do."""
    calls = connection.execute("delete from raw.quarantined_events where received_at < %s", (first_kept,))
    rows = connection.execute("delete from ops.quarantined_rows where quarantined_at < %s", (first_kept,))
    return calls.rowcount + rows.rowcount


def _drop(connection: Connection[DictRow], partition: str, first_kept: datetime) -> tuple[int, int]:
    """Count, then drop a partition and its keys; returns how many events and keys there were."""
    table = sql.Identifier("raw", partition)
    key_count = connection.execute(
        sql.SQL(
            "delete from raw.event_keys using {} as old where message_key = md5(old.message_id)::uuid "
            "and old.occurred_at < %s"
        ).format(table),
        (first_kept,),
    ).rowcount
    if partition == _DEFAULT_PARTITION:
        event_count = connection.execute(
            sql.SQL("delete from {} where occurred_at < %s").format(table), (first_kept,)
        ).rowcount
    else:
        row = connection.execute(sql.SQL("select count(*) as event_count from {}").format(table)).fetchone()
        assert row is not None
        event_count = int(row["event_count"])
        connection.execute(sql.SQL("drop table {}").format(table))
    if event_count:
        connection.execute(
            "insert into ops.dropped_event_partitions (partition_name, dropped_before, event_count, key_count) "
            "values (%s, %s, %s, %s)",
            (partition, first_kept, event_count, key_count),
        )
    return event_count, key_count
