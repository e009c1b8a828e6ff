"""Commands about the data that the pipeline works on: `marquee import`, `marquee ingest` and `marquee inventory`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from marquee.settings import Settings, load_settings

_console = Console()


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("import")(import_files)
    app.command("ingest")(ingest)
    app.command("inventory")(inventory)


def import_files(
    directory: Annotated[Path, typer.Argument(help="Folder with CSV or Parquet files; see docs/import.md.")],
    replace_demo: Annotated[
        bool, typer.Option("--replace-demo", help="Empty the warehouse of the demo, if it holds it.")
    ] = False,
    assume_consent: Annotated[
        bool, typer.Option("--assume-consent", help="Record consent to every purpose for every subscriber.")
    ] = False,
) -> None:
    """Load your own data in place of the demo; `marquee run` then works on it."""
    from ingestion.data_import import check_contract
    from marquee import database, embedded_postgres

    settings = load_settings()
    # before a server is started for nothing
    check_contract(directory)
    was_running = not settings.is_database_embedded or embedded_postgres.address(settings) is not None
    try:
        database.prepare(settings)
        _import(directory, settings, replace_demo, assume_consent)
    finally:
        if not was_running:
            embedded_postgres.stop(settings)


def _import(directory: Path, settings: Settings, replace_demo: bool, assume_consent: bool) -> None:
    from ingestion.data_import import granted_consents, import_directory
    from marquee.clock import utc_now

    imported = import_directory(
        directory, utc_now(), settings, replace_demo=replace_demo, assume_consent=assume_consent
    )
    table = Table(title=f"import of {directory}")
    table.add_column("file")
    for name in ("rows", "new", "corrected", "deleted", "set aside"):
        table.add_column(name, justify="right")
    for file in imported:
        style = "yellow" if file.quarantined_count else None
        counts = (
            file.read_count, file.new_count, file.corrected_count, file.deleted_count, file.quarantined_count,
        )  # fmt: skip
        table.add_row(file.file, *(f"{count:,}" for count in counts), style=style)
    _console.print(table)
    for file in imported:
        if file.concern:
            _console.print(f"[yellow]{file.concern}[/]")
    if any(file.quarantined_count for file in imported):
        _console.print(
            "Rows set aside, with line, field, value and reason: [bold]select * from ops.quarantined_rows[/]; events "
            "that the tracking plan does not allow, and what to do: [bold]marquee events quarantined[/]"
        )
    granted_count = granted_consents(settings)
    if granted_count == 0:
        _console.print(
            "[yellow]Nobody's consent is known: nobody gets email, and personalized recommendations only those whose "
            "country's law supposes it.[/] Otherwise, "
            "add a file `consents`, or record an assumption of your own with --assume-consent."
        )
    else:
        _console.print(f"{granted_count:,} grants of consent are on record.")
    if assume_consent:
        _console.print("[yellow]Consent is assumed on your word[/], recorded with the source 'import assumption'.")


def ingest(
    source: Annotated[str, typer.Argument(help="A source of the DAG ingest_sources, such as crm.")],
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Believe an export that was held because it lacks too many records.")
    ] = False,
) -> None:
    """Load what is new of one source now, as the DAG ingest_sources does."""
    from ingestion.sources import ingest_source
    from marquee.clock import utc_now

    now = utc_now()
    done = ingest_source(source, f"ingest__{now:%Y-%m-%dT%H:%M:%S.%f}", now, load_settings(), accept_loss=accept_loss)
    _console.print(
        f"{source}: {done.read_count:,} read, {done.new_count:,} new, {done.corrected_count:,} corrected, "
        f"{done.deleted_count:,} deleted, {done.quarantined_count:,} set aside"
    )
    for concern in done.concerns:
        _console.print(f"[yellow]{concern}[/]")


def inventory() -> None:
    """Show which systems there are and what they hold, and write the page of it into the reports folder."""
    from ingestion.inventory.report import PAGE, cadence, take_inventory
    from marquee.clock import utc_now

    settings = load_settings()
    lines = take_inventory(utc_now(), settings)
    table = Table("system", "hands over", "every", "observed", title="Source inventory", title_justify="left")
    for name in ("records", "without consent", "without identifier", "known elsewhere", "set aside"):
        table.add_column(name, justify="right")
    for line in lines:
        found = line.measured
        shares = (found.missing_consent_share, found.missing_identifier_share, found.known_elsewhere_share)
        table.add_row(
            f"{line.system.title}\n[dim]{found.stream.relation}[/]",
            line.handover.kind,
            cadence(line.system.expected_hours),
            cadence(found.loads.observed_hours),
            f"{found.record_count:,}",
            *("–" if share is None else f"{share:.1%}" for share in shares),
            f"{sum(found.quarantined_counts.values()):,}",
        )
    _console.print(table)
    _console.print(f"page: {settings.reports_dir / PAGE}", soft_wrap=True)
