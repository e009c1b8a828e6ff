"""Keeps what the checks found, and sums a run up: its verdict, and whether the model should be trained again.

In: findings. Out: rows of ops.quality_verdicts; a `Verdict` of one run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from marquee.settings import Settings
from monitoring.findings import Finding, Kind, VerdictName, worst

# Training again sooner would chase noise; it also keeps a version that the gate refused from being asked for at once.
MINIMUM_TRAINING_AGE = timedelta(days=2)


@dataclass(frozen=True)
class CheckKey:
    """Which rows a check owns, when it looked, and the report that it wrote (a path below the reports folder)."""

    run_key: str
    kind: Kind
    checked_at: datetime
    report: str


@dataclass(frozen=True)
class Verdict:
    """A run's findings, summed up; `reason` says why the model should be trained again, or why not."""

    run_key: str
    verdict: VerdictName
    pass_count: int
    warn_count: int
    fail_count: int
    wants_retraining: bool
    reason: str


def replace(connection: Connection[DictRow], key: CheckKey, findings: Sequence[Finding]) -> None:
    """Keep `findings` in place of what an earlier attempt of the same check of the same run found."""
    connection.execute(
        "delete from ops.quality_verdicts where run_key = %s and check_kind = %s", (key.run_key, key.kind)
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.quality_verdicts "
            "(run_key, check_kind, subject, metric, value, threshold, verdict, detail, report, checked_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    key.run_key, key.kind, finding.subject, finding.metric, finding.value, finding.threshold,
                    finding.verdict, finding.detail, key.report, key.checked_at,
                )
                for finding in findings
            ],
        )  # fmt: skip


def overall(run_key: str, settings: Settings) -> Verdict:
    """Sum up every check of a run."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            "select check_kind, verdict, checked_at from ops.quality_verdicts where run_key = %s", (run_key,)
        ).fetchall()
        if not rows:
            return Verdict(run_key, "warn", 0, 0, 0, False, "no check of this run has written a finding")
        verdicts = [row["verdict"] for row in rows]
        if any(row["check_kind"] == "drift" and row["verdict"] == "fail" for row in rows):
            moment = max(row["checked_at"] for row in rows)
            wants_retraining, reason = _judge_retraining(connection, moment)
        else:
            wants_retraining, reason = False, "drift has not failed"
    return Verdict(
        run_key, worst(verdicts), verdicts.count("pass"), verdicts.count("warn"), verdicts.count("fail"),
        wants_retraining, reason,
    )  # fmt: skip


def _judge_retraining(connection: Connection[DictRow], moment: datetime) -> tuple[bool, str]:
    """Whether training now could give a better champion than training did the last time.

    A champion's own training ends with these checks, so each condition here also ends a circle of the two DAGs.
    """
    if connection.execute("select from ops.model_promotions limit 1").fetchone() is None:
        return False, "drift failed, but no champion serves yet"
    # of every version, promoted or not: one that the gate refused would be refused again
    row = connection.execute(
        "select max(trained_at) as at, max(data_until) as data_until from ops.model_versions"
    ).fetchone()
    assert row is not None
    age = moment - row["at"]
    if age < MINIMUM_TRAINING_AGE:
        return False, f"drift failed, but the newest version is only {age / timedelta(days=1):.1f} days old"
    # the same data makes the same version again, however long ago that was
    if not _has_interactions_between(connection, row["data_until"], moment):
        return False, f"drift failed, but nothing was watched after {row['data_until']}, where training data ended"
    return True, f"drift failed and the newest version is {age / timedelta(days=1):.1f} days old"


def _has_interactions_between(connection: Connection[DictRow], after: datetime, until: datetime) -> bool:
    there = connection.execute("select to_regclass('marts.fct_interactions') is not null as found").fetchone()
    if there is None or not there["found"]:
        return False
    row = connection.execute(
        "select exists (select from marts.fct_interactions where has_personalization_consent "
        "and occurred_at > %s and occurred_at <= %s) as found",
        (after, until),
    ).fetchone()
    return row is not None and bool(row["found"])
