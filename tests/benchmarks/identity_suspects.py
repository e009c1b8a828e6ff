"""How well and how fast the profiles that are most likely wrong are named, in a world in which it is known.

300,000 simulated people, honest oddities among them, and 400 profiles that a wrong record spoilt: 100 each by a bill
with somebody else's address, an address typed in somebody else's browser, an alias for somebody else's browser, a
tablet on which two subscribe. Half of those drawn in have no contact of their own that could contradict. Limits: 15 s
for the whole report, and 0.9 of the first 200 named are of those spoilt. A build of the warehouse pays nothing: it is a
view.
"""

import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow
from rich.console import Console
from rich.table import Table

from ingestion.identity.resolving import catch_up, subscriber_of
from ingestion.identity.rules import adopt_rules
from ingestion.identity.suspects import read_suspects
from marquee import database, embedded_postgres
from marquee.settings import Settings
from tests.ingestion.identity.mistaken_world import MISTAKES, make_world

PEOPLE = 300_000
OF_EACH_SORT = 100
LIMIT_SECONDS = 15.0
LIMIT_PRECISION = 0.9

_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def main() -> bool:
    """Build, name, score, print; True when both limits were kept."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        settings = Settings(var_dir=Path(folder) / "var", database_url=None)
        embedded_postgres.start(settings)
        try:
            database.prepare(settings)
            with database.connect(settings, durable=False) as connection:
                return _measure(connection, console)
        finally:
            embedded_postgres.stop(settings)


def _measure(connection: Connection[DictRow], console: Console) -> bool:
    with console.status("building the world"):
        adopt_rules(connection, _NOW)
        mistakes = make_world(connection, PEOPLE, OF_EACH_SORT)
        catch_up(connection, _NOW)
        connection.commit()
        connection.execute("analyze")
    sort_of = {subscriber_of(connection, mistake.kind, mistake.value): mistake.sort for mistake in mistakes}
    sizes = connection.execute(
        "select count(distinct profile_id) as profiles, count(*) as identifiers, "
        "(select count(*) from identity.links) as links from identity.members where is_named"
    ).fetchone()
    assert sizes is not None
    started = time.perf_counter()
    suspects = read_suspects(connection)
    seconds = time.perf_counter() - started
    ranked = [suspect.subscriber_id for suspect in suspects]
    console.print(
        f"{sizes['profiles']:,} profiles, {sizes['identifiers']:,} identifiers, {sizes['links']:,} links, "
        f"{len(sort_of)} profiles spoilt; {len(ranked):,} suspects in {seconds:.2f} s (limit {LIMIT_SECONDS:.0f} s)"
    )
    first = Table("of the first", "are spoilt", "by chance")
    for count in (50, len(sort_of) // 2, len(sort_of), 2 * len(sort_of)):
        share = sum(one in sort_of for one in ranked[:count]) / count
        first.add_row(str(count), f"{share:.3f}", f"{len(sort_of) / sizes['profiles']:.4f}")
    console.print(first)
    console.print(_by_sort(sort_of, ranked))
    half = len(sort_of) // 2
    precision = sum(one in sort_of for one in ranked[:half]) / half
    return seconds <= LIMIT_SECONDS and precision >= LIMIT_PRECISION


def _by_sort(sort_of: dict[str | None, str], ranked: list[str]) -> Table:
    """Of each sort of mistake, how many are among the first, and how many are named at all."""
    among_first = Counter(sort_of[one] for one in ranked[: len(sort_of)] if one in sort_of)
    named = Counter(sort_of[one] for one in ranked if one in sort_of)
    table = Table("spoilt by a wrong", "profiles", f"among the first {len(sort_of)}", "named at all")
    for sort in MISTAKES:
        table.add_row(sort, str(OF_EACH_SORT), str(among_first[sort]), str(named[sort]))
    return table


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
