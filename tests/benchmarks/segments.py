"""How long the declared segments take for 100,000 subscribers with a million events: one pass, beside a statement a
segment, which is how audiences are usually computed, and beside the judging of one profile in memory.

It makes tables of its own, with the profile's columns; the conditions are the shipped ones, drafts included.
"""

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from psycopg import Connection
from psycopg.rows import DictRow
from rich.console import Console
from rich.table import Table

from ingestion.segments.definitions import load_segments
from ingestion.segments.evaluation import Event, segments_of
from ingestion.segments.fields import PROFILE_FILE
from ingestion.segments.rendering import Rendered, render
from marquee import database, embedded_postgres
from marquee.settings import Settings

LIMIT_SECONDS = 2.0
SUBSCRIBERS = 100_000
EVENTS = 1_000_000
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

# a value for each type of column, from the subscriber's number n
_VALUES = {
    "text": "'t' || n % 7",
    "boolean": "n % 3 = 0",
    "integer": "n % 700",
    "bigint": "n % 120",
    "double precision": "(n % 100) / 100.0",
    "timestamp with time zone": "timestamptz '2026-11-24 12:00Z' + interval '1 hour' * (n % 1000 - 800)",
    "text[]": "array['drama', 'comedy']",
    "jsonb": "jsonb_build_object('drama', (n % 100) / 100.0, 'comedy', 1 - (n % 100) / 100.0)",
}
_COLUMNS = {
    "subscriber_id": "md5(n::text)",
    "plan": "(array['none', 'basic', 'premium'])[n % 3 + 1]",
    "subscription_status": "(array['none', 'active', 'canceled'])[n % 3 + 1]",
    "lifecycle_stage": "(array['anonymous', 'active', 'at_risk', 'lapsed', 'cancelled', 'trial'])[n % 6 + 1]",
    "top_genre": "(array['drama', 'comedy', 'action', null, 'war'])[n % 5 + 1]",
}


def main() -> bool:
    """Build, measure, print; True when the one pass kept its limit."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        settings = Settings(var_dir=Path(folder) / "var", database_url=None)
        embedded_postgres.start(settings)
        try:
            database.prepare(settings)
            with database.connect(settings) as connection:
                with console.status("building the world"):
                    _build(connection)
                return _measure(connection, console)
        finally:
            embedded_postgres.stop(settings)


def _build(connection: Connection[DictRow]) -> None:
    (model,) = yaml.safe_load(PROFILE_FILE.read_text())["models"]
    columns = ", ".join(
        f"({_COLUMNS.get(column['name'], _VALUES[column['data_type']])})::{column['data_type']} as {column['name']}"
        for column in model["columns"]
    )
    connection.execute(
        f"""
        create schema intermediate;
        create schema marts;
        create table marts.dim_subscribers as
        select {columns} from generate_series(1, {SUBSCRIBERS}) as n;
        create table intermediate.int_consents_current as
        select md5(n::text) as subscriber_id, purpose, n % 4 <> 0 as is_permitted
        from generate_series(1, {SUBSCRIBERS}) as n
        cross join unnest(array['personalization', 'email_marketing', 'advertising', 'analytics']) as purpose;
        create table intermediate.int_events_sessionized as
        select md5((n % {SUBSCRIBERS} + 1)::text) as subscriber_id, 'track' as event_type,
            (array['Article Read', 'Content Searched', 'Video Playback Completed', 'Video Content Playing'])[n % 4 + 1]
                as event,
            timestamptz '2026-11-24 12:00Z' - interval '1 minute' * (n % 40000) as occurred_at,
            'c' as content_id, 'web' as device_type, 0.5::double precision as watched_fraction,
            '{{}}'::jsonb as properties
        from generate_series(1, {EVENTS}) as n;
        analyze marts.dim_subscribers, intermediate.int_consents_current,
            intermediate.int_events_sessionized;
        """.encode()
    )
    connection.commit()


def _measure(connection: Connection[DictRow], console: Console) -> bool:
    definitions = load_segments()
    rendered = render(definitions, definitions.segments, NOW)
    one_pass, member_count = min(_timed(connection, _one_pass(rendered)) for _ in range(3))
    several, several_count = 0.0, 0
    for segment in definitions.segments:
        alone = render(definitions, [segment], NOW)
        seconds, count = _timed(connection, _one_pass(alone))
        several, several_count = several + seconds, several_count + count
    in_memory = _in_memory()
    table = Table(
        f"{len(definitions.segments)} segments, {SUBSCRIBERS:,} subscribers, {EVENTS:,} events", "seconds", "ratio",
        "memberships",
    )  # fmt: skip
    table.add_row(f"one pass (limit {LIMIT_SECONDS:.0f} s)", f"{one_pass:.2f}", "1.00", f"{member_count:,}")
    # groups that exclude each other are not resolved there, so that it finds more
    table.add_row("a statement a segment", f"{several:.2f}", f"{several / one_pass:.2f}", f"{several_count:,}")
    table.add_row("in memory, one profile with 20 events", f"{in_memory:.6f}", "", "")
    console.print(table)
    return one_pass <= LIMIT_SECONDS


def _one_pass(rendered: Rendered) -> str:
    return (
        f"create table members as with {rendered.sources} select profiles.subscriber_id, found.segment from profiles "
        "cross join build left join event_counts on profiles.subscriber_id = event_counts.subscriber_id "
        f"cross join lateral unnest(array[{rendered.cases}]::text[]) as found (segment) where found.segment is not null"
    )


def _timed(connection: Connection[DictRow], statement: str) -> tuple[float, int]:
    started = time.perf_counter()
    count = connection.execute(statement.encode()).rowcount
    seconds = time.perf_counter() - started
    connection.rollback()
    return seconds, count


def _in_memory() -> float:
    definitions = load_segments()
    values: dict[str, object] = {
        "text": "drama", "boolean": True, "number": 60, "moment": NOW - timedelta(days=3), "list": ["drama"],
        "shares": {"drama": 0.4},
    }  # fmt: skip
    profile = {name: values[field.kind] for name, field in definitions.fields.items()}
    events = [Event("track", "Article Read", NOW - timedelta(hours=hours), "c", "web", 0.5, {}) for hours in range(20)]
    permitted = {"personalization", "email_marketing", "advertising"}
    started = time.perf_counter()
    for _ in range(1_000):
        segments_of(definitions, definitions.segments, profile, permitted, events, NOW)
    return (time.perf_counter() - started) / 1_000


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
