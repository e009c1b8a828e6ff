"""`marquee identity`: links that wait for a decision, links that a person takes away, profiles that look wrong."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from ingestion.identity.suspects import Suspect

identity = typer.Typer(help="Identity: review held links and suspects, join or part identifiers.", no_args_is_help=True)
console = Console()

_One = Annotated[str, typer.Argument(metavar="ONE", help="An identifier, as `kind:value`.")]
_Other = Annotated[str, typer.Argument(metavar="OTHER", help="Another one.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]


@identity.command()
def review() -> None:
    """List the links that would join two users, and wait to be accepted or rejected."""
    from ingestion.identity.review import read_held
    from marquee import database

    with database.connect() as connection:
        held = read_held(connection)
    if not held:
        console.print("No link waits.")
        return
    table = Table(Column("one", overflow="fold"), Column("other", overflow="fold"), "said by", "first on")
    for link in held:
        table.add_row(link.one, link.other, f"{link.source} {link.evidence}", f"{link.first_seen_at:%Y-%m-%d}")
    console.print(table)
    console.print("Decide with  marquee identity accept|reject ONE OTHER --reason TEXT", markup=False)


@identity.command()
def suspects(
    subscriber: Annotated[str | None, typer.Argument(help="One profile, with the identifiers of each reason.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many to list.")] = 20,
) -> None:
    """List the profiles that are most likely more than one person, and why."""
    from ingestion.identity.resolving import current_subscriber
    from ingestion.identity.suspects import read_suspects
    from marquee import database

    with database.connect() as connection:
        found = read_suspects(connection)
        present = None if subscriber is None else current_subscriber(connection, subscriber)
    if subscriber is None:
        _list_suspects(found, top)
        return
    suspect = next((one for one in found if one.subscriber_id == present), None)
    if suspect is None:
        console.print(f"Nothing speaks against {subscriber}.", highlight=False)
        return
    table = Table("points", "reason", Column("one", overflow="fold"), Column("other", overflow="fold"), "said by")
    for reason in suspect.reasons:
        said_by = f"{reason.source} {reason.evidence}" if reason.source else ""
        table.add_row(
            str(reason.points), f"{reason.reason}: {reason.detail}", reason.identifier, reason.other_identifier, said_by
        )
    console.print(table)
    console.print("Take a wrong link away with  marquee identity unlink ONE OTHER --reason TEXT", markup=False)


@identity.command()
def accept(one: _One, other: _Other, reason: _Reason) -> None:
    """Join two identifiers, whatever a profile's limits say."""
    _decide(one, other, "joined", reason)


@identity.command()
def reject(one: _One, other: _Other, reason: _Reason) -> None:
    """Keep a held link from joining, for good."""
    _decide(one, other, "parted", reason)


@identity.command()
def unlink(one: _One, other: _Other, reason: _Reason) -> None:
    """Take away the link between two identifiers, whatever records say."""
    _decide(one, other, "parted", reason)


@identity.command()
def undecide(one: _One, other: _Other, reason: _Reason) -> None:
    """Leave a pair to the rules again."""
    _decide(one, other, None, reason)


def _list_suspects(found: "list[Suspect]", top: int) -> None:
    if not found:
        console.print("Nothing speaks against any profile.")
        return
    table = Table("score", Column("subscriber", no_wrap=True), "why")
    for suspect in found[:top]:
        table.add_row(
            str(suspect.score),
            suspect.subscriber_id,
            "\n".join(f"{one.reason}: {one.detail}" for one in suspect.reasons),
        )
    console.print(table)
    console.print(
        f"{min(top, len(found))} of {len(found):,} suspects. See one with  marquee identity suspects SUBSCRIBER",
        markup=False,
    )


def _decide(one: str, other: str, decision: Literal["joined", "parted"] | None, reason: str) -> None:
    from ingestion.identity.review import decide
    from marquee import database
    from marquee.clock import utc_now

    with database.connect() as connection:
        is_one = decide(connection, one, other, decision, reason, utc_now())
    console.print(f"{one} and {other} are now {'one profile' if is_one else 'two profiles'}.", highlight=False)
    if is_one and decision == "parted":
        console.print("[yellow]Other links still join them[/]; part those as well.")
