"""A load is whole or not at all, and a second one adds nothing."""

import os
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.sources import SOURCES, ingest_source
from marquee.settings import Settings
from tests.ingestion.extracts import counts, json_lines, rows_of, set_aside, write
from tests.waiting import wait_until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEADLINE_SECONDS = 20


def _subscription(number: int) -> dict[str, object]:
    return {"id": f"cus-{number}", "plan": "basic", "updated_at": "2026-01-01T00:00:00Z"}


def test_a_second_load_changes_no_row_count(settings: Settings, warehouse: Connection[DictRow]) -> None:
    write(settings, "billing", "subscriptions.jsonl", json_lines(_subscription(1), _subscription(2), "broken", "{}"))
    first = ingest_source("billing", "run-1", NOW, settings)
    before = counts(warehouse)
    again = ingest_source("billing", "run-1", NOW, settings)
    assert (first.new_count, first.quarantined_count) == (2, 2)
    assert (again.new_count, again.quarantined_count) == (0, 2)
    assert counts(warehouse) == before
    other_run = ingest_source("billing", "run-2", NOW + timedelta(days=1), settings)
    assert other_run.new_count == 0
    assert counts(warehouse) == {**before, "ops.ingest_batches": before["ops.ingest_batches"] + 1}


def test_a_quarantined_row_stands_once_with_the_row_itself(settings: Settings, warehouse: Connection[DictRow]) -> None:
    row = {**_subscription(1), "updated_at": "half past nine"}
    write(settings, "billing", "subscriptions.jsonl", json_lines(row))
    for run in ("run-1", "run-2"):
        ingest_source("billing", run, NOW, settings)
    assert set_aside(warehouse) == [("billing", "subscriptions.jsonl", 1, "updated_at", "half past nine")]
    kept = warehouse.execute("select payload, reason from ops.quarantined_rows").fetchone()
    assert kept is not None
    assert kept["payload"] == row
    assert kept["reason"]


def test_the_watermark_only_moves_forward(settings: Settings, warehouse: Connection[DictRow]) -> None:
    path = write(settings, "billing", "a.jsonl", json_lines({**_subscription(1), "updated_at": "2026-03-01T00:00:00Z"}))
    ingest_source("billing", "run-1", NOW, settings)
    path.write_text(json_lines(_subscription(2)))
    ingest_source("billing", "run-2", NOW, settings)
    row = warehouse.execute("select watermark from ops.source_watermarks where source = 'billing'").fetchone()
    assert row is not None
    assert row["watermark"] == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_load_whose_connection_dies_leaves_nothing_and_the_next_completes(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    path = write(settings, "billing", "subscriptions.jsonl", "")
    path.unlink()
    os.mkfifo(path)
    warehouse.autocommit = True
    before = counts(warehouse)
    failures: list[BaseException] = []

    def load() -> None:
        try:
            ingest_source("billing", "run", NOW, settings)
        except psycopg.OperationalError as error:
            failures.append(error)

    def loading_backends() -> list[int]:
        found = warehouse.execute(
            "select pid from pg_stat_activity where datname = current_database() and query ilike 'copy incoming_rows%'"
        )
        return [row["pid"] for row in found]

    loader = threading.Thread(target=load)
    loader.start()
    with path.open("w") as pipe:
        pipe.write(json_lines("broken", *map(_subscription, range(5_000))))
        pipe.flush()
        wait_until(lambda: bool(loading_backends()), DEADLINE_SECONDS, "the start of the load")
        (pid,) = loading_backends()
        warehouse.execute("select pg_terminate_backend(%s, 5000)", (pid,))
        pipe.write(json_lines(*map(_subscription, range(5_000, 6_000))))
    loader.join(DEADLINE_SECONDS)
    assert failures
    assert counts(warehouse) == before
    path.unlink()
    path.write_text(json_lines("broken", *map(_subscription, range(6_000))))
    assert ingest_source("billing", "run", NOW, settings).new_count == 6_000
    assert len(rows_of(warehouse, "billing_subscriptions", "billing_id")) == 6_000
    assert len(set_aside(warehouse)) == 1


def test_two_loads_of_one_source_at_once_add_each_row_once(settings: Settings, warehouse: Connection[DictRow]) -> None:
    write(settings, "billing", "subscriptions.jsonl", json_lines(*map(_subscription, range(500))))
    new_counts: list[int] = []
    threads = [
        threading.Thread(
            target=lambda run=run: new_counts.append(ingest_source("billing", run, NOW, settings).new_count)
        )
        for run in ("run-1", "run-2", "run-3")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert sorted(new_counts) == [0, 0, 500]
    assert len(rows_of(warehouse, "billing_subscriptions", "billing_id")) == 500


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "activation"])
def test_an_empty_extract_is_no_error(settings: Settings, source: str) -> None:
    (settings.extracts_dir / source).mkdir(parents=True)
    done = ingest_source(source, "run", NOW, settings)
    assert (done.read_count, done.watermark) == (0, None)
