"""Takes the inventory: measures every declared system, keeps the rows, draws the page.

In: the warehouse and systems.yml. Out: `ops.source_inventory`, `ops.source_inventory_fields`, and
`inventory.html` in the reports folder, written whole and renamed.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ingestion.connectors import FILE_CONNECTORS, activation
from ingestion.handover import Feed, Handover, Snapshot
from ingestion.inventory.measuring import SAMPLE_ROWS, Measured, measure
from ingestion.inventory.systems import System, load_systems
from ingestion.report_pages import write_report
from marquee.database import connect, exclusive
from marquee.settings import Settings

PAGE = "inventory.html"


@dataclass(frozen=True)
class InventoryLine:
    """One stream of one system: what was declared and what was found."""

    system: System
    measured: Measured
    handover: Handover
    taken_at: datetime

    @property
    def handover_text(self) -> str:
        """How it is handed over, in words."""
        if isinstance(self.handover, Snapshot):
            return f"whole export; one that lost more than {self.handover.largest_loss:.0%} is held"
        kind = "what changed" if self.handover.kind == "incremental" else "events"
        return f"{kind}; late rows up to {self.handover.overlap.days} d behind the watermark"

    @property
    def is_overdue(self) -> bool:
        """Whether nothing was loaded for twice as long as declared."""
        loaded_at = self.measured.loads.last_loaded_at
        return loaded_at is None or (self.taken_at - loaded_at).total_seconds() > 7_200 * self.system.expected_hours


def take_inventory(now: datetime, settings: Settings) -> list[InventoryLine]:
    """Measure every system, keep what was found in place of the inventory before, and write the page.

    Raises:
        InventoryError: systems.yml does not describe what the loads fill.
    """
    systems = load_systems()
    with connect(settings) as connection, exclusive(connection, "ingestion.inventory"):
        # sampling and grouping sort much at once
        connection.execute("set local work_mem = '128MB'")
        measured = measure(connection, systems)
        lines = [
            InventoryLine(system, measured[system.name, stream.relation], _handover(stream.source), now)
            for system in systems
            for stream in system.streams
        ]
        _keep(connection, lines)
    _write_page(lines, now, settings)
    return lines


def _handover(source: str) -> Handover:
    if source == "activation":
        return activation.HANDOVER
    return FILE_CONNECTORS[source].handover


def handover_kind(handover: Handover) -> str:
    """`snapshot`, `incremental` or `events`."""
    return handover.kind if isinstance(handover, Feed) else "snapshot"


def _keep(connection: Connection[DictRow], lines: list[InventoryLine]) -> None:
    connection.execute("delete from ops.source_inventory")
    connection.execute("delete from ops.source_inventory_fields")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.source_inventory (system, relation, owner, handover, expected_hours, observed_hours, "
            "last_loaded_at, watermark, row_count, record_count, simulated_share, missing_consent_share, "
            "missing_identifier_share, known_elsewhere_share, quarantined_counts, taken_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_row(line) for line in lines],
        )
        cursor.executemany(
            "insert into ops.source_inventory_fields "
            "(system, relation, field, place, data_type, pii, filled_share, distinct_share, example) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    line.system.name, line.measured.stream.relation, field.name, place, field.data_type, field.pii,
                    field.filled_share, field.distinct_share, field.example,
                )
                for line in lines
                for place, field in enumerate(line.measured.fields, 1)
            ],
        )  # fmt: skip


def _row(line: InventoryLine) -> tuple[object, ...]:
    found = line.measured
    return (
        line.system.name, found.stream.relation, line.system.owner, handover_kind(line.handover),
        line.system.expected_hours, found.loads.observed_hours, found.loads.last_loaded_at, found.loads.watermark,
        found.row_count, found.record_count, found.simulated_share, found.missing_consent_share,
        found.missing_identifier_share, found.known_elsewhere_share, Jsonb(found.quarantined_counts), line.taken_at,
    )  # fmt: skip


def _write_page(lines: list[InventoryLine], now: datetime, settings: Settings) -> None:
    write_report(
        PAGE,
        Path(__file__).with_name("page.html"),
        settings,
        {"share": _share, "hours": cadence, "sum_of": _sum_of},
        lines=lines,
        now=now,
        sample_rows=SAMPLE_ROWS,
        is_simulated=any((line.measured.simulated_share or 0) > 0 for line in lines),
    )


def _share(value: float | None) -> str:
    if value is None:
        return "–"
    # nearly all is not all
    text = f"{100 * value:.1f}".removesuffix(".0")
    return "> 99.9 %" if text == "100" and value < 1 else f"{text} %"


def cadence(hours: float | None) -> str:
    """Hours as people say them."""
    if hours is None:
        return "not yet known"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def _sum_of(counts: dict[str, int]) -> int:
    return sum(counts.values())
