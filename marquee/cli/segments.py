"""`marquee segments`: which there are, whether they are declared well, how large one would be, who came and went."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

segments = typer.Typer(help="Segments: list, page, check, preview, history.", no_args_is_help=True)
console = Console()


@segments.command("list")
def list_segments() -> None:
    """Every declared segment with its size at the newest build and what a day changed."""
    from ingestion.segments.definitions import load_segments
    from ingestion.segments.sizes import read_sizes
    from marquee import database

    definitions = load_segments()
    with database.connect() as connection:
        sizes = read_sizes(connection)
    words = [Column(header, no_wrap=True) for header in ("segment", "kind", "status", "group")]
    numbers = [Column(header, justify="right") for header in ("members", "day +", "day -")]
    table = Table(*words, *numbers)
    for one in definitions.segments:
        group = f"{one.group} {one.priority}" if one.group else ""
        size = sizes.get(one.name)
        counts = ("", "", "") if size is None else (size.member_count, size.entered_count, size.left_count)
        table.add_row(
            one.name, one.kind, one.status, group,
            *(f"{count:,}" if isinstance(count, int) else count for count in counts),
        )  # fmt: skip
    console.print(table)
    built = next(iter(sizes.values()), None)
    console.print("Sizes: no build yet." if built is None else f"Sizes at {built.evaluated_at:%Y-%m-%d %H:%M} UTC.")


@segments.command()
def page() -> None:
    """Draw the live segments as a page among the reports, as each build does."""
    from ingestion.segments.page import write_segments_page
    from marquee.settings import load_settings

    console.print(f"page: {write_segments_page(load_settings())}", soft_wrap=True)


@segments.command()
def check(
    file: Annotated[Path | None, typer.Option(help="A draft: one segment in a file of its own.")] = None,
) -> None:
    """Check the declared segments, or a draft, word by word; exits with 1 when something is wrong."""
    from ingestion.segments.definitions import load_draft, load_segments

    definitions = load_segments()
    if file is not None:
        console.print(f"{load_draft(file, definitions).name} is well declared.")
        return
    console.print(f"{len(definitions.segments)} segments are well declared, {len(definitions.live)} of them live.")


@segments.command()
def preview(
    name: Annotated[str | None, typer.Argument(metavar="SEGMENT", help="A declared segment, draft or live.")] = None,
    file: Annotated[Path | None, typer.Option(help="A draft: one segment in a file of its own.")] = None,
) -> None:
    """Count whom a segment would hold by the newest profiles; nothing is stored."""
    from ingestion.segments.definitions import load_draft, load_segments
    from ingestion.segments.preview import preview_segment
    from marquee import database

    if (name is None) == (file is None):
        raise typer.BadParameter("name a declared segment, or a draft with --file")
    definitions = load_segments()
    segment = definitions.find(name) if name is not None else load_draft(file or Path(), definitions)
    with database.connect() as connection:
        shown = preview_segment(connection, definitions, segment)
    table = Table(f"{segment.name} at {shown.as_of:%Y-%m-%d %H:%M} UTC", Column("count", justify="right"))
    rows = {
        "profiles": shown.profile_count,
        "meet the conditions": shown.matching_count,
        f"not: did not agree to {segment.purpose.replace('_', ' ')}": shown.without_consent_count,
        f"not: higher priority in {segment.group}": shown.outranked_count,
        "would be in it": shown.member_count,
        "would enter": shown.entering_count,
        "would leave": shown.leaving_count,
        **{f"in region {region}": count for region, count in shown.by_region.items()},
        **{f"in stage {stage}": count for stage, count in shown.by_stage.items()},
        **{f"also in {other}": count for other, count in shown.overlaps.items()},
    }
    for label, count in rows.items():
        table.add_row(label, f"{count:,}")
    console.print(table)
    for subscriber_id in shown.sample_ids:
        console.print(f"for example subscriber {subscriber_id}", highlight=False)


@segments.command()
def history(
    name: Annotated[str | None, typer.Argument(metavar="SEGMENT")] = None,
    subscriber: Annotated[str | None, typer.Option(help="A subscriber id: their stays in all segments.")] = None,
    days: Annotated[int, typer.Option(help="How far back a segment's history goes.")] = 30,
) -> None:
    """Show how a segment grew and shrank build by build, or which segments a subscriber was in and when."""
    from ingestion.segments.sizes import read_stays, read_trends
    from marquee import clock, database

    if (name is None) == (subscriber is None):
        raise typer.BadParameter("name a segment, or a subscriber with --subscriber")
    with database.connect() as connection:
        if subscriber is not None:
            table = Table("segment", "entered", "left")
            for stay in read_stays(connection, subscriber):
                left = "" if stay.left_at is None else f"{stay.left_at:%Y-%m-%d %H:%M}"
                table.add_row(stay.segment, f"{stay.entered_at:%Y-%m-%d %H:%M}", left)
        else:
            table = Table("build", *(Column(header, justify="right") for header in ("entered", "left", "members")))
            for trend in read_trends(connection, name or "", clock.utc_now() - timedelta(days=days)):
                counts = (trend.entered_count, trend.left_count, trend.member_count)
                table.add_row(f"{trend.changed_at:%Y-%m-%d %H:%M}", *(f"{count:,}" for count in counts))
    console.print(table)
