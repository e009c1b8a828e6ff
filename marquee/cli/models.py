"""`marquee models`: the versions of the recommender, which one serves, and going back."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

models = typer.Typer(help="Versions of the recommender: list, promote, roll back.", no_args_is_help=True)
console = Console()


@models.command("list")
def list_versions() -> None:
    """Every version, newest first, with its quality and whether the gate let it through."""
    from marquee import database
    from training import registry

    table = Table()
    # whole, because `promote` asks for it
    table.add_column("version", min_width=len("20260101T000000-00000000"))
    for name in ("trained", "gate", "NDCG@10 leave-last-out", "NDCG@10 temporal", "serves"):
        table.add_column(name)
    with database.connect() as connection:
        for version in registry.versions(connection):
            table.add_row(
                version.model_version,
                f"{version.trained_at:%Y-%m-%d %H:%M}",
                "passed" if version.is_gate_passed else "refused",
                _figure(version.ndcg_loo),
                _figure(version.ndcg_temporal),
                "champion" if version.is_champion else "",
            )
    console.print(table)


@models.command()
def promote(
    model_version: str,
    reason: Annotated[str, typer.Option(help="Kept with the promotion.")] = "promoted by hand",
) -> None:
    """Make a version serve, whatever the gate said."""
    from marquee import clock, database
    from marquee.settings import load_settings
    from training import registry

    with database.connect() as connection:
        is_new = registry.promote(connection, model_version, clock.utc_now(), reason, load_settings())
    console.print(f"{model_version} {'serves now' if is_new else 'served already'}")


@models.command()
def rollback() -> None:
    """Make the champion's predecessor serve again."""
    from marquee import clock, database
    from marquee.settings import load_settings
    from training import registry

    with database.connect() as connection:
        version = registry.roll_back(connection, clock.utc_now(), load_settings())
    console.print(f"{version} serves again")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
