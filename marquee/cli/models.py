"""`marquee models`: the versions of the recommender, the verdict and the card of each, which one serves, and MLflow."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marquee.cli.training_bar import training_bar

models = typer.Typer(
    help="Versions of the recommender: list, show, card, promote, roll back, MLflow.", no_args_is_help=True
)
console = Console()


@models.command("list")
def list_versions() -> None:
    """Every version, newest first, with its quality and what the gate said of it."""
    from marquee import database
    from training import registry

    table = Table()
    # whole, because `promote` asks for it
    table.add_column("version", min_width=len("20260101T000000-00000000"))
    for name in ("trained", "verdict", "NDCG@10 leave-last-out", "NDCG@10 temporal", "serves"):
        table.add_column(name)
    with database.connect() as connection:
        for version in registry.versions(connection):
            table.add_row(
                version.model_version,
                f"{version.trained_at:%Y-%m-%d %H:%M}",
                version.verdict or "not judged",
                _figure(version.ndcg_loo),
                _figure(version.ndcg_temporal),
                "champion" if version.is_champion else "",
            )
    console.print(table)


@models.command()
def show(model_version: str) -> None:
    """The newest verdict on a version: its reasons, its page, and every figure that did not simply pass."""
    from marquee import database
    from marquee.settings import load_settings
    from training import checks, registry, verdicts

    with database.connect() as connection:
        version = registry.find(connection, model_version)
        verdict = verdicts.newest_of(connection, model_version)
        found = [] if verdict is None else checks.read(connection, verdict.run_key)
    console.print(
        f"{model_version}, trained {version.trained_at:%Y-%m-%d %H:%M}, data until {version.data_until:%Y-%m-%d %H:%M}"
        f"{', serves' if version.is_champion else ''}"
    )
    if verdict is None:
        console.print("no run has judged it yet; train_recommender does")
        return
    console.print(f"[bold]{verdict.verdict}[/], {verdict.decided_at:%Y-%m-%d %H:%M}, run {escape(verdict.run_key)}")
    for reason in verdict.reasons:
        console.print(f"- {reason}", markup=False, highlight=False)
    if verdict.report:
        console.print(str(load_settings().reports_dir / verdict.report), markup=False, soft_wrap=True)
    table = Table("step", "outcome", "subject", "figure", "detail")
    for check in found:
        if check.outcome != "pass":
            figure = f"{check.metric} {_figure(check.value)}"
            table.add_row(check.step, check.outcome, check.subject, figure, escape(check.detail))
    if table.row_count:
        console.print(table)


@models.command()
def promote(
    model_version: str,
    reason: Annotated[str, typer.Option(help="Kept with the promotion.")] = "promoted by hand",
    although_rejected: Annotated[
        bool, typer.Option("--although-rejected", help="Also where the newest verdict on it is to reject.")
    ] = False,
) -> None:
    """Make a version serve; one that the gate rejected only with --although-rejected."""
    from marquee import clock, database
    from marquee.settings import load_settings
    from training import tracking, verdicts

    with database.connect() as connection:
        is_new = verdicts.promote_by_hand(
            connection, model_version, clock.utc_now(), reason, load_settings(), although_rejected=although_rejected
        )
    tracking.try_sync(load_settings())
    console.print(f"{model_version} {'serves now' if is_new else 'served already'}")


@models.command()
def rollback() -> None:
    """Make the champion's predecessor serve again; once more goes further back."""
    from marquee import clock, database
    from marquee.settings import load_settings
    from training import registry, tracking

    with database.connect() as connection:
        version = registry.roll_back(connection, clock.utc_now(), load_settings())
    tracking.try_sync(load_settings())
    console.print(f"{version} serves again")


@models.command()
def train(
    as_of: Annotated[
        datetime | None, typer.Option(help="Learn from what happened until then (UTC); now, if not given.")
    ] = None,
) -> None:
    """Train, measure and register a version without promoting it; the same data and code find what they made.

    `torchrun --nproc-per-node 2 .venv/bin/marquee models train` shares the training out to processes.
    """
    from marquee import clock
    from marquee.settings import load_settings
    from training import pipeline, processes, tracking

    settings = load_settings()
    processes.join_processes()
    moment = processes.agreed(clock.utc_now() if as_of is None else as_of.replace(tzinfo=as_of.tzinfo or UTC))
    run_key = f"by_hand__{moment:%Y%m%dT%H%M%S}"
    if processes.is_first_process():
        pipeline.build_training_set(run_key, moment, settings)
    processes.wait_for_all()
    with training_bar(console, processes.is_first_process()) as show_epoch:
        pipeline.train_models(run_key, settings, show_epoch)
    if processes.is_first_process():
        version = pipeline.evaluate_version(run_key, moment, settings)
        pipeline.clean_up(run_key, settings)
        tracking.try_sync(settings)
        console.print(version)
    processes.leave_processes()


@models.command()
def card(
    model_version: Annotated[str | None, typer.Argument(help="The champion, if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page there.")] = None,
) -> None:
    """Say where a version's model card is, or write it to a file."""
    from marquee import database
    from marquee.settings import load_settings
    from training import registry

    settings = load_settings()
    with database.connect() as connection:
        found = registry.card_path(connection, model_version, settings)
    if out is not None:
        out.write_bytes(found.read_bytes())
        console.print(f"wrote {out}")
        return
    console.print(found, soft_wrap=True, highlight=False)
    console.print(f"{settings.serving_url}/reports/models/{found.parent.name}", soft_wrap=True, highlight=False)


@models.command()
def sync() -> None:
    """Make MLflow show every version as it is here; what it has already is not written again."""
    from marquee.settings import load_settings
    from training import tracking

    settings = load_settings()
    done = tracking.sync(settings)
    console.print(f"{tracking.shown_uri(settings)}: {len(done.written)} written, {done.unchanged} there already")
    for version in done.without_artefact:
        console.print(f"{version} is not shown: its artefact is gone")


@models.command()
def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Show MLflow's own pages until Ctrl-C; the first time, they are installed into an environment of their own."""
    from marquee.settings import load_settings
    from training import tracking_ui

    settings = load_settings()
    python = tracking_ui.prepare(settings, lambda text: console.print(f"[dim]{text}[/]"))
    console.print(f"http://127.0.0.1:{port}/ shows the versions in a few seconds; Ctrl-C ends it.")
    raise typer.Exit(tracking_ui.serve(python, port, settings))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
