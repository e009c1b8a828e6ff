"""Commands about the data that the pipeline works on: `marquee import DIR`."""

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
    for name in ("rows", "new", "set aside"):
        table.add_column(name, justify="right")
    for file in imported:
        style = "yellow" if file.quarantined_count else None
        table.add_row(
            file.file, f"{file.read_count:,}", f"{file.new_count:,}", f"{file.quarantined_count:,}", style=style
        )
    _console.print(table)
    if any(file.quarantined_count for file in imported):
        _console.print(
            "Rows set aside, with line, field, value and reason: [bold]select * from ops.quarantined_rows[/]"
        )
    granted_count = granted_consents(settings)
    if granted_count == 0:
        _console.print(
            "[yellow]Nobody's consent is known, so nobody gets personalized recommendations or email:[/] "
            "add a file `consents`, or record an assumption of your own with --assume-consent."
        )
    else:
        _console.print(f"{granted_count:,} grants of consent are on record.")
    if assume_consent:
        _console.print("[yellow]Consent is assumed on your word[/], recorded with the source 'import assumption'.")
