"""The pipeline's progress on a terminal, redrawn in place; off a terminal one line a change, for logs."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from marquee.services.airflow_client import DagRun, TaskInstance
from marquee.services.pipeline_run import StepProgress

_GLYPHS = {
    "success": ("✔", "green"),
    "failed": ("✘", "bold red"),
    "upstream_failed": ("✘", "red"),
    "skipped": ("↷", "dim"),
    "running": ("▶", "cyan"),
    "deferred": ("▶", "cyan"),
    "up_for_retry": ("↻", "yellow"),
}
_SHOWN_TASKS = 6


def follow(snapshots: Iterable[list[StepProgress]], console: Console) -> list[StepProgress]:
    """Draw each snapshot and return the last one."""
    return _follow_live(snapshots, console) if console.is_terminal else _follow_lines(snapshots, console)


def _follow_live(snapshots: Iterable[list[StepProgress]], console: Console) -> list[StepProgress]:
    last: list[StepProgress] = []
    with Live(console=console, refresh_per_second=8) as live:
        for last in snapshots:
            live.update(_drawing(last))
    return last


def _follow_lines(snapshots: Iterable[list[StepProgress]], console: Console) -> list[StepProgress]:
    last: list[StepProgress] = []
    seen: set[tuple[str, str, str]] = set()
    for last in snapshots:
        for step in last:
            changes = [("", step.state)] if step.run else []
            changes += [(task.name, task.state) for task in step.tasks if task.state in _GLYPHS]
            for name, state in changes:
                if (change := (step.dag_id, name, state)) not in seen and state != "deferred":
                    seen.add(change)
                    moment = datetime.now(UTC).strftime("%H:%M:%S")
                    console.print(f"{moment} {step.dag_id} {name} {state}".replace("  ", " "), highlight=False)
    return last


def _drawing(progress: list[StepProgress]) -> RenderableType:
    table = Table("DAG", "state", "tasks", "time", title="Pipeline (Airflow)", title_justify="left", expand=False)
    for step in progress:
        done = sum(task.state in ("success", "skipped") for task in step.tasks)
        count = f"{done}/{len(step.tasks)}" if step.tasks else ""
        table.add_row(step.dag_id, _state(step.state), count, _duration(step.run))
        if step.state in ("running", "failed"):
            for line in _task_lines(step.tasks):
                table.add_row(line, "", "", "")
    return Group(table)


def _state(state: str) -> RenderableType:
    if state == "running":
        return Spinner("dots", "running", style="cyan")
    glyph, style = _GLYPHS.get(state, ("·", "dim"))
    return Text(f"{glyph} {state}", style=style)


def _task_lines(tasks: list[TaskInstance]) -> list[Text]:
    notable = [task for task in tasks if task.state in ("running", "deferred", "up_for_retry", "failed")]
    finished = [task for task in tasks if task.state == "success" and task.end_date]
    finished.sort(key=lambda task: str(task.end_date), reverse=True)
    shown = (notable + finished)[:_SHOWN_TASKS]
    lines = []
    for task in shown:
        glyph, style = _GLYPHS.get(task.state or "", ("·", "dim"))
        seconds = f" {task.duration:.1f} s" if task.duration else ""
        lines.append(Text(f"  {glyph} {task.name}{seconds}", style=style))
    return lines


def _duration(run: DagRun | None) -> str:
    if run is None or run.start_date is None:
        return ""
    return f"{((run.end_date or datetime.now(UTC)) - run.start_date).total_seconds():.0f} s"
