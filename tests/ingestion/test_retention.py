"""How old events leave raw: by the month, with the keys that remember them, counted."""

from datetime import UTC, datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion import retention
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _store(warehouse: Connection[DictRow], message_id: str, moment: datetime, *, has_partition: bool = True) -> None:
    if has_partition:
        warehouse.execute("select raw.ensure_event_partition(%s)", (moment,))
    warehouse.execute(
        "insert into raw.events (source, message_id, event_type, occurred_at, is_simulated) "
        "values ('live', %s, 'track', %s, true)",
        (message_id, moment),
    )
    warehouse.execute("insert into raw.event_keys (message_key) values (md5(%s)::uuid)", (message_id,))


def _stored(warehouse: Connection[DictRow]) -> set[str]:
    rows = warehouse.execute(
        "select message_id from raw.events join raw.event_keys on message_key = md5(message_id)::uuid"
    )
    return {str(row["message_id"]) for row in rows}


def test_months_past_the_kept_ones_go_with_their_keys_and_are_counted(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    kept = settings.model_copy(update={"event_retention_months": 2})
    _store(warehouse, "new", NOW - timedelta(hours=1))
    _store(warehouse, "just kept", datetime(2026, 9, 1, tzinfo=UTC))
    _store(warehouse, "just old", datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC))
    _store(warehouse, "older", datetime(2026, 7, 15, tzinfo=UTC))
    _store(warehouse, "without a month", datetime(2025, 1, 1, tzinfo=UTC), has_partition=False)
    warehouse.commit()

    dropped = retention.drop_old_events(NOW, kept)

    assert (dropped.partition_count, dropped.event_count, dropped.key_count) == (3, 3, 3)
    assert _stored(warehouse) == {"new", "just kept"}
    keys = warehouse.execute("select count(*) as n from raw.event_keys").fetchone()
    noted = warehouse.execute("select sum(event_count) as n from ops.dropped_event_partitions").fetchone()
    assert keys and noted and (keys["n"], noted["n"]) == (2, 3)
    assert warehouse.execute("select to_regclass('raw.events_202608') as found").fetchone() == {"found": None}
    warehouse.commit()
    assert retention.drop_old_events(NOW, kept).event_count == 0


def test_what_was_set_aside_goes_when_it_waited_as_long(settings: Settings, warehouse: Connection[DictRow]) -> None:
    _store(warehouse, "newest", NOW)
    for days in (100, 10):
        moment = NOW - timedelta(days=days)
        warehouse.execute(
            "insert into raw.quarantined_events "
            "(source, message_id, payload_hash, field, reason, payload, received_at) "
            "values ('live', %s, 'h', 'event', 'is unknown', '{}', %s)",
            (f"m-{days}", moment),
        )
        warehouse.execute(
            "insert into ops.quarantined_rows (source, file, line, field, reason, payload, row_hash, quarantined_at) "
            "values ('crm', 'contacts.csv', %s, 'email', 'is none', '{}', 'h', %s)",
            (days, moment),
        )
    warehouse.commit()
    assert retention.drop_old_events(NOW, settings.model_copy(update={"event_retention_months": 1})).aside_count == 2
    left = warehouse.execute(
        "select message_id, quarantined_rows.line from raw.quarantined_events, ops.quarantined_rows"
    ).fetchall()
    assert left == [{"message_id": "m-10", "line": 10}]


def test_an_imported_history_of_past_years_is_kept(settings: Settings, warehouse: Connection[DictRow]) -> None:
    _store(warehouse, "newest", datetime(2019, 5, 1, tzinfo=UTC))
    _store(warehouse, "oldest", datetime(2018, 5, 1, tzinfo=UTC))
    warehouse.commit()
    assert retention.drop_old_events(NOW, settings).event_count == 0
    assert _stored(warehouse) == {"newest", "oldest"}


def test_a_clock_in_the_future_drops_nothing_early(settings: Settings, warehouse: Connection[DictRow]) -> None:
    _store(warehouse, "new", NOW)
    _store(warehouse, "from the future", NOW + timedelta(days=4000), has_partition=False)
    warehouse.commit()
    assert retention.drop_old_events(NOW, settings).event_count == 0
    assert _stored(warehouse) == {"new", "from the future"}
