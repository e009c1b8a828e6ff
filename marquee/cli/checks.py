"""Commands about what monitoring finds: `marquee check [KIND...]`."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marquee.settings import Settings, load_settings

_console = Console()
_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


class CheckKind(StrEnum):
    # no Literal: typer takes none in a list
    DRIFT = "drift"
    QUALITY = "quality"
    FAIRNESS = "fairness"
    FRESHNESS = "freshness"
    IDENTITY = "identity"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("check")(check)


def check(kinds: Annotated[list[CheckKind] | None, typer.Argument(help="Kinds; all when left out.")] = None) -> None:
    """Look at the pipeline now: drift, quality, fairness, freshness, identity; exits with 1 when something fails."""
    from marquee.clock import utc_now
    from monitoring.checks import run_check
    from monitoring.report_files import report_path
    from monitoring.verdicts import overall

    settings, now = load_settings(), utc_now()
    run_key = f"check__{now:%Y-%m-%dT%H:%M:%S.%f}"
    for kind in kinds or list(CheckKind):
        verdict = run_check(kind.value, run_key, now, settings)
        page = settings.reports_dir / report_path(kind.value, run_key)
        _console.print(f"[{_STYLES[verdict]}]{verdict}[/] {kind.value}: {escape(str(page))}", soft_wrap=True)
    concerns = _concerns(run_key, settings)
    if concerns.row_count:
        _console.print(concerns)
    summary = overall(run_key, settings)
    _console.print(
        f"{summary.pass_count} passed, {summary.warn_count} warned, {summary.fail_count} failed; retraining is "
        f"{'wanted' if summary.wants_retraining else 'not wanted'}: {summary.reason}"
    )
    raise typer.Exit(1 if summary.verdict == "fail" else 0)


def _concerns(run_key: str, settings: Settings) -> Table:
    """Every finding of the run that did not pass, the failures first."""
    from marquee import database

    table = Table("verdict", "check", "subject", "finding")
    with database.connect(settings) as connection:
        rows = connection.execute(
            "select check_kind, subject, metric, value, threshold, verdict, detail from ops.quality_verdicts "
            "where run_key = %s and verdict <> 'pass' order by verdict, check_kind, subject, metric",
            (run_key,),
        ).fetchall()
    for row in rows:
        figure = "" if row["value"] is None else f" {row['value']:.3g} (limit {row['threshold']:.3g})"
        metric = row["metric"].replace("_", " ")
        table.add_row(
            f"[{_STYLES[row['verdict']]}]{row['verdict']}[/]",
            row["check_kind"],
            escape(row["subject"]),
            escape(f"{metric}{figure}{': ' if row['detail'] else ''}{row['detail']}"),
        )
    return table
