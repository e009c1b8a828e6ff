"""Sites that other parts write as files: dbt's documentation, and the quality reports with their verdicts.

In: dbt's target folder, the reports folder, ops.quality_verdicts, ops.model_verdicts. Out: the files, an index of the
reports, and a word on how to make what is not there yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse
from psycopg import Connection
from psycopg.rows import DictRow
from starlette.exceptions import HTTPException

from activation.serving.model_cards import card_of
from activation.serving.runtime import RuntimeDep
from marquee.errors import MarqueeError

router = APIRouter(include_in_schema=False)

_SHOWN_RUNS = 20
_SHOWN_MODELS = 5


@dataclass(frozen=True)
class Finding:
    subject: str
    metric: str
    value: float | None
    threshold: float | None
    verdict: str
    detail: str


@dataclass
class Check:
    """One kind of check in one run: what it found, worst first, and the reports it wrote."""

    kind: str
    findings: list[Finding] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        verdicts = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in ("fail", "warn") if verdict in verdicts), "pass")

    @property
    def passed_count(self) -> int:
        return sum(finding.verdict == "pass" for finding in self.findings)

    @property
    def concerns(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict != "pass"]


@dataclass
class CheckedRun:
    run_key: str
    checked_at: datetime
    checks: dict[str, Check] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelVerdict:
    """What was decided on a trained model, and why."""

    model_version: str
    verdict: str
    reasons: tuple[str, ...]
    decided_at: datetime
    report: str | None


@router.get("/dbt-docs", response_class=HTMLResponse)
@router.get("/dbt-docs/", response_class=HTMLResponse)
def show_dbt_docs(runtime: RuntimeDep) -> Response:
    index = runtime.settings.dbt_target_dir / "static_index.html"
    if index.is_file():
        return FileResponse(index, media_type="text/html", headers={"Cache-Control": "no-cache"})
    return runtime.pages.render(
        "message.html",
        status_code=404,
        title="The data docs are not made yet",
        text="They are written when the DAG build_profiles runs. Start it with `marquee run`, or in the Airflow UI, "
        "and come back.",
    )


@router.get("/reports", response_class=HTMLResponse)
@router.get("/reports/", response_class=HTMLResponse)
def show_reports(runtime: RuntimeDep) -> Response:
    runs: list[CheckedRun] = []
    models: list[ModelVerdict] = []
    problem = None
    try:
        with runtime.warehouse.connection() as connection:
            runs = read_runs(connection, runtime.settings.reports_dir)
            models = read_model_verdicts(connection, runtime.settings.reports_dir)
    except MarqueeError:
        problem = "The verdicts cannot be read just now; the report files are still here."
    listed = {report for run in runs for check in run.checks.values() for report in check.reports}
    listed |= {model.report for model in models if model.report}
    others = [report for report in _files(runtime.settings.reports_dir) if report not in listed]
    return runtime.pages.render(
        "reports.html",
        runs=runs,
        models=models,
        carded={model.model_version for model in models if card_of(model.model_version, runtime.settings.models_dir)},
        others=others[:100],
        problem=problem,
    )


@router.get("/reports/{path:path}")
def show_report(path: str, runtime: RuntimeDep) -> Response:
    folder = runtime.settings.reports_dir.resolve()
    file = _within(folder, path)
    if file is None:
        raise HTTPException(404, "There is no such report; /reports lists those that exist.")
    return FileResponse(file, headers={"Cache-Control": "no-cache"})


def read_runs(connection: Connection[DictRow], reports_dir: Path) -> list[CheckedRun]:
    """The newest runs of checks, newest first, each with its checks and their findings, worst first."""
    rows = connection.execute(
        """
        with newest as (
            select run_key, max(checked_at) as run_at
            from ops.quality_verdicts
            group by run_key
            order by run_at desc
            limit %s
        )
        select newest.run_key, run_at, check_kind, subject, metric, value, threshold, verdict, detail, report
        from ops.quality_verdicts inner join newest using (run_key)
        order by run_at desc, check_kind, array_position(array['fail', 'warn', 'pass'], verdict), subject, metric
        """,
        (_SHOWN_RUNS,),
    ).fetchall()
    runs: dict[str, CheckedRun] = {}
    for row in rows:
        run = runs.setdefault(row["run_key"], CheckedRun(row["run_key"], row["run_at"]))
        check = run.checks.setdefault(row["check_kind"], Check(row["check_kind"]))
        check.findings.append(
            Finding(row["subject"], row["metric"], row["value"], row["threshold"], row["verdict"], row["detail"])
        )
        report = _report_path(reports_dir, row["report"])
        if report is not None and report not in check.reports:
            check.reports.append(report)
    return list(runs.values())


def read_model_verdicts(connection: Connection[DictRow], reports_dir: Path) -> list[ModelVerdict]:
    """The newest verdicts on trained models, newest first."""
    rows = connection.execute(
        "select model_version, verdict, reasons, decided_at, report from ops.model_verdicts "
        "order by decided_at desc limit %s",
        (_SHOWN_MODELS,),
    ).fetchall()
    return [
        ModelVerdict(
            row["model_version"], row["verdict"], tuple(row["reasons"]), row["decided_at"],
            _report_path(reports_dir, row["report"]),
        )
        for row in rows
    ]  # fmt: skip


def _report_path(reports_dir: Path, report: str | None) -> str | None:
    """Path below /reports of a report that a verdict names, if the file is there."""
    if not report:
        return None
    folder = reports_dir.resolve()
    file = _within(folder, report)
    return None if file is None else file.relative_to(folder).as_posix()


def _within(folder: Path, path: str) -> Path | None:
    if "\x00" in path:
        return None
    try:
        file = (folder / path).resolve()
        return file if file.is_relative_to(folder) and file.is_file() else None
    except OSError:
        return None


def _files(folder: Path) -> Iterable[str]:
    files = sorted(folder.rglob("*.html"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [file.relative_to(folder).as_posix() for file in files]
