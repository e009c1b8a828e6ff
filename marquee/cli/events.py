"""`marquee events`: the tracking plan, what the door did, and the calls that it set aside."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

events = typer.Typer(help="Events: the tracking plan, what the door set aside, and its replay.", no_args_is_help=True)
console = Console()

EventOption = Annotated[str | None, typer.Option("--event", help="Only calls of this event.")]


@events.command()
def plan(
    html: Annotated[Path | None, typer.Option(help="Write the plan's documentation page here.")] = None,
) -> None:
    """Check the tracking plan; list its events, or write its page."""
    from ingestion.tracking_plan.page import plan_page
    from ingestion.tracking_plan.plan import load_plan

    loaded = load_plan()
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(plan_page(loaded), encoding="utf-8")
        console.print(f"{len(loaded.events)} events are described in {html}")
        return
    table = Table("event", "version", "collected for", "owner", "description")
    for event in loaded.events:
        said = event.definition
        table.add_row(
            said.name, event.version, ", ".join(said.purposes) or "the service", said.owner, said.description.strip()
        )
    console.print(table)


@events.command()
def quarantined(event: EventOption = None) -> None:
    """Why calls wait in quarantine, the most frequent reason first."""
    from ingestion.door.replaying import reasons
    from marquee import database

    with database.connect() as connection:
        found = reasons(connection, event)
    if not found:
        console.print("no call waits in quarantine")
        return
    # a narrow window must not cut off which field of which line
    words = ("event", "field", "reason", "for example", "file and line", "last received")
    table = Table(Column("calls", justify="right"), *(Column(header, overflow="fold") for header in words))
    for row in found:
        table.add_row(
            f"{row.call_count:,}",
            row.event or "",
            row.field,
            row.reason,
            row.value or "",
            row.place or "",
            f"{row.last_received_at:%Y-%m-%d %H:%M}",
        )
    console.print(table)
    console.print(
        "Correct the plan under ingestion/tracking_plan/events, then run `marquee events replay`; or correct the rows "
        "in their file, and load it again."
    )


@events.command()
def replay(event: EventOption = None) -> None:
    """Admit the calls in quarantine again, with the plan as it is now."""
    from ingestion.door import replaying
    from ingestion.door.standing import standing_door
    from marquee import clock, database

    with database.connect() as connection:
        done = replaying.replay(connection, standing_door(), clock.utc_now(), event)
    console.print(
        f"{done.stored:,} stored, {done.repeated:,} were stored before, {done.dropped:,} dropped by policy, "
        f"{done.waiting:,} still wait"
    )


@events.command()
def counts(days: Annotated[int, typer.Option(min=1, help="How many days back.")] = 7) -> None:
    """What the door did: events admitted, stored without a purpose, dropped and set aside, by source."""
    from datetime import timedelta

    from ingestion.door.recording import outcomes_since
    from marquee import clock, database

    table = Table("source", "outcome", "purpose", "reason", "events")
    with database.connect() as connection:
        for row in outcomes_since(connection, clock.utc_now() - timedelta(days=days)):
            table.add_row(row.source, row.outcome.replace("_", " "), row.purpose, row.reason, f"{row.event_count:,}")
    console.print(table)


@events.command("drop-old")
def drop_old() -> None:
    """Drop the months of events that are older than events are kept (MARQUEE_EVENT_RETENTION_MONTHS)."""
    from ingestion import retention
    from marquee import clock
    from marquee.settings import load_settings

    dropped = retention.drop_old_events(clock.utc_now(), load_settings())
    console.print(
        f"dropped {dropped.event_count:,} events and {dropped.key_count:,} keys of message ids "
        f"in {dropped.partition_count} partitions, and {dropped.aside_count:,} calls and rows that were set aside, "
        f"from before {dropped.before}"
    )
