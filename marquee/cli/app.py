"""The command line: one small function a command; the work lies in the rooms, imported when a command needs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from marquee.errors import MarqueeError
from marquee.logs import configure_logs
from marquee.settings import load_settings

app = typer.Typer(
    help="Marquee: the open personalization pipeline for media companies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what a user can put right as one line, and exit with 1."""
    try:
        yield
    except MarqueeError as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(1) from error


@app.callback()
def configure() -> None:
    configure_logs(load_settings().log_level)


@app.command()
def settings(markdown: Annotated[bool, typer.Option(help="Print the table of docs/settings.md.")] = False) -> None:
    """Show every setting, its value here and what it does."""
    from marquee.cli import settings_table

    console.print(settings_table.markdown() if markdown else settings_table.table(load_settings()))
