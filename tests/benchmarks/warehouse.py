"""How long `dbt build` takes on 1,000,000 events and 100,000 subscribers: from nothing, and with 10,000 events more.

Tests of the data are included. The world is simulated, made by PostgreSQL itself. `--large` measures 10,000,000 events
of 1,000,000 subscribers as well, without a limit: how the time grows. `--keep FOLDER` works in a var folder that stays.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow
from rich.console import Console
from rich.table import Table

from marquee import database, dbt_runner, embedded_postgres
from marquee.settings import Settings
from tests.dbt_project.large_world import add_day, make_world

AS_OF = datetime(2026, 11, 24, 12, tzinfo=UTC)
FULL_LIMIT_SECONDS = 90.0
INCREMENT_LIMIT_SECONDS = 15.0
NEW_EVENT_COUNT = 10_000
SLOWEST_COUNT = 12


@dataclass(frozen=True)
class Measured:
    """One build: what it was, seconds of the whole command, and of each node by name."""

    name: str
    seconds: float
    limit: float | None
    nodes: dict[str, float]

    @property
    def is_within(self) -> bool:
        return self.limit is None or self.seconds <= self.limit


def main() -> bool:
    """Make the worlds, build, print; True when every limit held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--keep", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        measured = _measure(wanted.keep or Path(folder), 1_000_000, 100_000, is_limited=True)
        if wanted.large:
            measured += _measure(Path(folder) / "large", 10_000_000, 1_000_000, is_limited=False)
    console = Console()
    console.print(_table(measured))
    for build in measured:
        console.print(_slowest(build))
    return all(build.is_within for build in measured)


def _measure(var_dir: Path, event_count: int, subscriber_count: int, *, is_limited: bool) -> list[Measured]:
    settings = Settings(var_dir=var_dir, database_url=None)
    database.prepare(settings)
    size = f"{event_count:,} events"
    try:
        with database.connect(settings, durable=False) as connection:
            make_world(connection, event_count, subscriber_count, AS_OF)
        _analyse(settings)
        # the parse is kept between builds, as it is in production
        dbt_runner.parse(settings)
        full = _build(settings, f"full, {size}", AS_OF, FULL_LIMIT_SECONDS if is_limited else None)
        tomorrow = AS_OF + timedelta(days=1)
        with database.connect(settings, durable=False) as connection:
            add_day(connection, NEW_EVENT_COUNT, subscriber_count, tomorrow)
        _analyse(settings)
        name = f"{NEW_EVENT_COUNT:,} events more, {size}"
        increment = _build(settings, name, tomorrow, INCREMENT_LIMIT_SECONDS if is_limited else None)
    finally:
        embedded_postgres.stop(settings)
    return [full, increment]


def _analyse(settings: Settings) -> None:
    """What autovacuum does in its own time between loads and builds."""
    with database.connect(settings) as connection:
        connection.autocommit = True
        _run(connection, "vacuum analyze")


def _run(connection: Connection[DictRow], statement: str) -> None:
    connection.execute(statement.encode())


def _build(settings: Settings, name: str, as_of: datetime, limit: float | None) -> Measured:
    started = time.monotonic()
    dbt_runner.build(settings, as_of)
    seconds = time.monotonic() - started
    results = json.loads((settings.dbt_target_dir / "run_results.json").read_text())["results"]
    nodes = {result["unique_id"]: float(result["execution_time"]) for result in results}
    return Measured(name, seconds, limit, nodes)


def _table(measured: list[Measured]) -> Table:
    table = Table("build", "measured", "limit", "share of the limit", "tests", title="dbt build (simulated world)")
    for build in measured:
        limit = "-" if build.limit is None else f"{build.limit:.0f} s"
        share = "-" if build.limit is None else f"{build.seconds / build.limit:.2f}"
        tests = sum(seconds for name, seconds in build.nodes.items() if _kind(name) in ("test", "unit_test"))
        table.add_row(build.name, f"{build.seconds:.1f} s", limit, share, f"{tests:.1f} s of threads")
    return table


def _slowest(build: Measured) -> Table:
    table = Table("node", "kind", "seconds", title=f"slowest: {build.name}")
    for name, seconds in sorted(build.nodes.items(), key=lambda item: -item[1])[:SLOWEST_COUNT]:
        table.add_row(name.split(".")[2][:80], _kind(name), f"{seconds:.2f}")
    return table


def _kind(unique_id: str) -> str:
    return unique_id.split(".")[0]


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
