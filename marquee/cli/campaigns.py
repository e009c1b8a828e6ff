"""`marquee campaigns`: what campaigns there are, whom one would reach, and the messages whose fate nobody knows."""

from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

campaigns = typer.Typer(help="Email campaigns: list, preview, and settle held messages.", no_args_is_help=True)
console = Console()


@campaigns.command("list")
def list_campaigns() -> None:
    """Every campaign that is declared, highest priority first."""
    from activation.campaigns import definitions

    name = Column("campaign", no_wrap=True)
    table = Table(name, "on", "priority", "caps", "held out", "goal", show_lines=True)
    every = definitions.load_every_campaign()
    for campaign in every:
        caps = "\n".join(f"{cap.messages} in {cap.days} days" for cap in campaign.caps)
        table.add_row(
            campaign.campaign_id, "yes" if campaign.is_enabled else "no", str(campaign.priority), caps,
            f"{campaign.holdout_share:.0%}", f"{campaign.goal_event}\nin {campaign.goal_days} days",
        )  # fmt: skip
    console.print(table)
    for campaign in every:
        console.print(f"[bold]{campaign.campaign_id}[/] ({campaign.owner}): {campaign.trigger}", highlight=False)


@campaigns.command()
def preview(
    campaign_id: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    html: Annotated[Path | None, typer.Option(help="Write the message's HTML to this file.")] = None,
) -> None:
    """Count whom a campaign would reach now, and show one of its messages; nothing is sent or stored."""
    from activation.campaigns.preview import preview_campaign
    from marquee.clock import utc_now
    from marquee.settings import load_settings

    shown = preview_campaign(campaign_id, utc_now(), load_settings())
    table = Table("candidates of " + campaign_id, "count")
    table.add_row("would get a message", f"{shown.due_count:,}")
    for reason, count in sorted(shown.excluded_counts.items()):
        table.add_row(f"not: {reason.replace('_', ' ')}", f"{count:,}")
    table.add_row("all", f"{shown.candidate_count:,}")
    console.print(table)
    if shown.message is None:
        console.print("Nobody would get a message, so there is none to show.")
        return
    console.print(f"\n[bold]Subject:[/] {shown.message.subject}\n", highlight=False)
    console.print(shown.message.plain, highlight=False, markup=False, soft_wrap=True)
    if html is not None:
        html.write_text(shown.message.html)
        console.print(f"HTML written to {html}")


@campaigns.command()
def holds() -> None:
    """List the messages of which nobody knows whether they went; each run asks the provider again."""
    from activation.campaigns import claims
    from marquee import database

    with database.connect() as connection:
        held = claims.read_held(connection)
    for one in held:
        console.print(f"[bold]{one.send_id}[/] {one.campaign_id}, {one.occurrence_key}", highlight=False)
        console.print(f"  to subscriber {one.subscriber_id}, {one.claimed_at:%Y-%m-%d %H:%M} UTC", highlight=False)
        console.print(f"  {one.reason}", highlight=False, markup=False)
    if not held:
        console.print("No message is held.")
        return
    console.print("\nFound one in the provider's own pages, or made sure that it is not there? Settle it with")
    console.print("  marquee campaigns settle SEND_ID sent|not-sent", markup=False)


@campaigns.command()
def settle(
    send_id: UUID,
    fate: Annotated[
        Literal["sent", "not-sent"], typer.Argument(help="`sent`: never again. `not-sent`: the next run may send it.")
    ],
) -> None:
    """Say what became of a held message."""
    from activation.campaigns import claims
    from marquee import clock, database

    with database.connect() as connection:
        connection.autocommit = True
        claims.settle_by_hand(connection, send_id, was_sent=fate == "sent", now=clock.utc_now())
    console.print(f"{send_id} is settled as {fate}")
