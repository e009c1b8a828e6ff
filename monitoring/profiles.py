"""Profiles: whether content is tagged so that it can be placed, and which paths lead to an outcome.

In: marts.fct_content_tag_issues, marts.dim_content, marts.fct_high_value_paths. Out: shares of content that editors
should look at, with the rows; the paths with the clearest lift, as a plot and a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Finding, Limits, judge_at_most, note
from monitoring.warehouse import require_tables

_TITLES = {
    "untagged": "without any tag",
    "unknown_tag": "with a tag that nobody mapped",
    "unplaced_tag": "that no tag places in the taxonomy",
    "conflicting_tags": "with tags that contradict each other",
    "conflicting_rating": "for children and rated for adults",
}
_ISSUE_LIMITS = Limits(warn=0.02, fail=0.2)
_SHOWN_ISSUES = 50
# of each outcome, the paths that are most clearly above and most clearly below the base rate
_SHOWN_PATHS = 8


def examine_contents(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Share of the catalogue with each kind of tag issue, and the issues themselves."""
    del as_of, settings
    require_tables(connection, "marts.fct_content_tag_issues", "marts.dim_content")
    total = _read(connection, "select count(*) as n from marts.dim_content")[0]["n"]
    counts = {
        row["issue"]: row["contents"]
        for row in _read(
            connection,
            "select issue, count(distinct content_id) as contents from marts.fct_content_tag_issues group by issue",
        )
    }
    findings = [
        judge_at_most(
            "content", f"{issue}_share", counts.get(issue, 0) / max(total, 1), _ISSUE_LIMITS,
            f"{counts.get(issue, 0)} of {total} contents {title}",
        )
        for issue, title in _TITLES.items()
    ]  # fmt: skip
    issues = _read(
        connection,
        "select title, content_type, issue, coalesce(tags, '') as tags, detail from marts.fct_content_tag_issues "
        f"order by issue, title limit {_SHOWN_ISSUES}",
    )
    table = report_page.table(
        f"Tags for the editors (seeds/content_tags.csv), the first {_SHOWN_ISSUES}",
        ("content", "type", "issue", "tags", "detail"),
        [tuple(row.values()) for row in issues],
    )
    return Examination(findings, [table])


@dataclass(frozen=True)
class PathLift:
    """A path to an outcome, and by how much those who went it reached the outcome more often than all who could."""

    outcome: str
    path: str
    subscriber_count: int
    support: float
    lift: report_page.Bar
    is_simulated: bool

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out that the path makes no difference."""
        return self.lift.low > 1 or self.lift.high < 1


def examine_paths(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """The clearest paths before a subscription, an upgrade and a cancellation."""
    del as_of, settings
    require_tables(connection, "marts.fct_high_value_paths")
    paths = read_paths(connection)
    outcomes = sorted({path.outcome for path in paths})
    findings: list[Finding] = []
    widgets: list[object] = [_explanation(paths)]
    for outcome in outcomes:
        of_outcome = [path for path in paths if path.outcome == outcome]
        clear_count = sum(path.is_clear for path in of_outcome)
        findings.append(
            note(f"paths to {outcome}", "clear_count", clear_count, f"of {len(of_outcome)} with enough subscribers")
        )
        widgets += _widgets(outcome, clearest(of_outcome))
    return Examination(findings, widgets)


def read_paths(connection: Connection[DictRow]) -> list[PathLift]:
    """Every path of the mart."""
    rows = _read(
        connection,
        "select outcome, array_to_string(path, ' → ') as path, subscriber_count, support, lift, lift_low, lift_high, "
        "is_simulated from marts.fct_high_value_paths order by outcome, lift desc, path",
    )
    return [
        PathLift(
            row["outcome"], row["path"].replace("_", " "), row["subscriber_count"], row["support"],
            report_page.Bar(row["lift"], row["lift_low"], row["lift_high"]), row["is_simulated"],
        )
        for row in rows
    ]  # fmt: skip


def clearest(paths: Sequence[PathLift]) -> list[PathLift]:
    """Half of the shown from above (highest lower end), half from below (lowest upper end), by lift."""
    half = _SHOWN_PATHS // 2
    above = sorted(paths, key=lambda path: (-path.lift.low, path.path))[:half]
    rest = [path for path in paths if path not in above]
    below = sorted(rest, key=lambda path: (path.lift.high, path.path))[:half]
    return sorted(above + below, key=lambda path: (-path.lift.value, path.path))


def _explanation(paths: Sequence[PathLift]) -> object:
    simulated = " **The data is simulated: these lifts say nothing about real people.**"
    return report_page.text(
        "Steps within 30 days before an outcome, repeats taken as one. A subscriber counts once for a path; the base "
        "rate is that of all who could have reached the outcome. Intervals hold 95% for each path alone: of many "
        "paths without any effect, one in twenty seems to have one. A path that precedes an outcome need not cause it."
        + (simulated if any(path.is_simulated for path in paths) else ""),
        "High-value paths",
    )


def _widgets(outcome: str, paths: Sequence[PathLift]) -> list[object]:
    return [
        report_page.ranges(
            f"Lift of paths before: {outcome}",
            [path.path for path in paths],
            [path.lift for path in paths],
            "lift over the base rate (1 is no difference)",
            reference=1,
        ),
        report_page.table(
            f"Paths before: {outcome}",
            ("path", "subscribers", "support", "lift", "from", "to"),
            [(p.path, p.subscriber_count, p.support, p.lift.value, p.lift.low, p.lift.high) for p in paths],
        ),
    ]


def _read(connection: Connection[DictRow], query: str) -> list[DictRow]:
    return connection.execute(query.encode()).fetchall()
