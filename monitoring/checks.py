"""Runs one kind of check: looks, writes the report's page, keeps the findings.

In: the kind, the run's key and its moment. Out: rows of ops.quality_verdicts, an HTML file under the reports folder,
the worst verdict. Running a check of a run again replaces what it wrote.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import get_args

import structlog
from psycopg import Connection, IsolationLevel
from psycopg.rows import DictRow

from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import Settings
from monitoring import report_files, verdicts
from monitoring.findings import Examination, Finding, Kind, MissingInputError, worst

_log = structlog.get_logger()

KINDS: tuple[Kind, ...] = get_args(Kind)

# A part of a check: it sees the warehouse as of one moment.
Part = Callable[[Connection[DictRow], datetime, Settings], Examination]


class CheckError(MarqueeError):
    """There is no such check."""


def run_check(kind: str, run_key: str, as_of: datetime, settings: Settings) -> str:
    """Run the check `kind` and return its worst verdict: `pass`, `warn` or `fail`.

    What is missing (a champion, a table, an artefact) is a finding, not an error.

    Raises:
        CheckError: `kind` is none of `KINDS`.
    """
    known = _kind(kind)
    # Evidently takes seconds to import: only whoever runs a check pays for it
    from monitoring import report_page

    with database.connect(settings) as connection:
        # one view of the warehouse for all parts, while other DAGs go on writing
        connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        connection.set_read_only(True)
        findings, widgets, is_simulated = _examine(connection, _parts(known), as_of, settings)
    head = report_page.PageHead(known.capitalize(), run_key, f"{as_of:%-d %B %Y, %H:%M %Z}", is_simulated)
    report = report_files.write(report_page.render(head, findings, widgets), known, run_key, settings)
    with database.connect(settings) as connection:
        verdicts.replace(connection, verdicts.CheckKey(run_key, known, as_of, report), findings)
    verdict = worst(finding.verdict for finding in findings)
    _log.info("monitoring.checked", kind=known, verdict=verdict, finding_count=len(findings))
    return verdict


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind == name:
            return kind
    raise CheckError(f"there is no check {name!r}; the checks are {', '.join(KINDS)}")


def _parts(kind: Kind) -> Sequence[Part]:
    from monitoring import drift, fairness, freshness, identity, quality

    parts: dict[Kind, Sequence[Part]] = {
        "drift": drift.PARTS,
        "quality": quality.PARTS,
        "fairness": fairness.PARTS,
        "freshness": freshness.PARTS,
        "identity": identity.PARTS,
    }
    return parts[kind]


def _examine(
    connection: Connection[DictRow], parts: Sequence[Part], as_of: datetime, settings: Settings
) -> tuple[list[Finding], list[object], bool]:
    from monitoring.warehouse import is_simulated

    findings: list[Finding] = []
    widgets: list[object] = []
    for part in parts:
        try:
            examination = part(connection, as_of, settings)
        except MissingInputError as missing:
            # parts of one check can miss the same thing: it is said once
            examination = Examination([] if missing.finding in findings else [missing.finding])
        findings.extend(examination.findings)
        widgets.extend(examination.widgets)
    return findings, widgets, is_simulated(connection)
