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
    # the file is as it was noted, and is not opened
    assert (again.read_count, again.new_count) == (0, 0)
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


def _read_count(settings: Settings, run: str, now: datetime = NOW) -> tuple[int, int]:
    done = ingest_source("billing", run, now, settings)
    return done.read_count, done.new_count + done.corrected_count


def test_a_file_is_read_again_only_when_its_content_is_another(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    path = write(settings, "billing", "a.jsonl", json_lines(_subscription(1)))
    assert _read_count(settings, "run-1") == (1, 1)
    # copied again, with the same content at another time
    path.write_bytes(path.read_bytes())
    os.utime(path, (1, 1))
    assert _read_count(settings, "run-2") == (0, 0)
    write(settings, "billing", "b.jsonl", json_lines(_subscription(2)))
    assert _read_count(settings, "run-3") == (1, 1)
    notes = warehouse.execute("select file, outcome, run_key from ops.ingested_files order by file").fetchall()
    assert [tuple(note.values()) for note in notes] == [("a.jsonl", "loaded", "run-1"), ("b.jsonl", "loaded", "run-3")]


def test_late_rows_are_taken_inside_the_overlap_and_beyond_it_from_a_file_that_is_new(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    def at(number: int, day: int) -> dict[str, object]:
        return {**_subscription(number), "updated_at": f"2026-11-{day:02d}T00:00:00Z"}

    first = [at(1, 20)]
    path = write(settings, "billing", "day.jsonl", json_lines(*first))
    assert _read_count(settings, "run-1") == (1, 1)
    # the file grows: three days behind the watermark is late, four days was there before
    path.write_text(json_lines(*first, at(2, 17), at(3, 16)))
    assert _read_count(settings, "run-2") == (3, 1)
    write(settings, "billing", "late.jsonl", json_lines(at(4, 1)))
    assert _read_count(settings, "run-3") == (1, 1)
    assert [key for (key,) in rows_of(warehouse, "billing_subscriptions", "billing_id")] == ["cus-1", "cus-2", "cus-4"]


def test_a_file_that_broke_off_or_had_rows_set_aside_is_taken_whole_once_it_is_put_right(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    old = {**_subscription(1), "updated_at": "2026-01-01T00:00:00Z"}
    new = {**_subscription(2), "updated_at": "2026-11-01T00:00:00Z"}
    path = write(settings, "billing", "a.jsonl", json_lines(new, {**old, "updated_at": "soon"}))
    assert _read_count(settings, "run-1") == (2, 1)
    path.write_text(json_lines(new, old))
    assert _read_count(settings, "run-2") == (2, 1)
    whole = json_lines(*({**_subscription(n), "updated_at": "2026-01-01T00:00:00Z"} for n in range(10, 3_000)))
    path = write(settings, "billing", "b.jsonl.gz", whole)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 0 < _read_count(settings, "run-3")[1] < 2_990
    path.write_bytes(data)
    assert _read_count(settings, "run-4")[0] == 2_990
    assert len(rows_of(warehouse, "billing_subscriptions", "billing_id")) == 2_992


def test_a_load_for_a_past_day_changes_nothing_and_leaves_the_watermark(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    write(settings, "billing", "a.jsonl", json_lines(_subscription(1), {**_subscription(1), "plan": "premium"}))
    ingest_source("billing", "run-1", NOW, settings)
    before = counts(warehouse)
    warehouse.execute("truncate ops.ingested_files")
    warehouse.commit()
    again = ingest_source("billing", "run-0", NOW - timedelta(days=30), settings)
    assert (again.read_count, again.new_count, again.corrected_count) == (2, 0, 0)
    assert counts(warehouse) == {**before, "ops.ingest_batches": before["ops.ingest_batches"] + 1}


def test_a_row_from_ahead_of_the_clock_does_not_hide_what_comes_before_it(settings: Settings) -> None:
    write(settings, "billing", "a.jsonl", json_lines({**_subscription(1), "updated_at": "2199-01-01T00:00:00Z"}))
    assert ingest_source("billing", "run-1", NOW, settings).watermark == NOW


def test_a_record_that_its_system_deleted_is_counted_and_comes_back_with_a_newer_version(settings: Settings) -> None:
    rows = [
        _subscription(1),
        {"id": "cus-1", "deleted": True, "updated_at": "2026-02-01T00:00:00Z"},
        {**_subscription(1), "updated_at": "2026-03-01T00:00:00Z"},
    ]
    write(settings, "billing", "a.jsonl", json_lines(*rows))
    done = ingest_source("billing", "run", NOW, settings)
    assert (done.new_count, done.corrected_count, done.deleted_count) == (1, 1, 1)


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
        # nothing more is written: whether the dead load still reads would be a matter of chance
        warehouse.execute("select pg_terminate_backend(%s, 5000)", (pid,))
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
