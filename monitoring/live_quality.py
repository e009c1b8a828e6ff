"""What serving answered lately: the share of lists that were the popular ones for want of a personal one, and why.

In: activation.impressions of the last week. Out: findings, and a table by reason.
"""

from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Limits, judge_at_most, note

_WINDOW = timedelta(days=7)
# reasons that are ours; no consent, no history and unknown visitors are no fault
_FAULTS = ("model_missing", "features_unavailable", "deadline")
_FAULT_LIMITS = Limits(warn=0.01, fail=0.1)


def examine_answers(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Fallback answers of the last seven days by reason; those that are a fault of the system are judged."""
    del settings
    rows = connection.execute(
        "select case when is_fallback then coalesce(fallback_reason, 'no reason given') else 'personal' end as answer, "
        "count(*) as answers from activation.impressions where shown_at > %s and shown_at <= %s "
        "group by 1 order by 2 desc",
        (as_of - _WINDOW, as_of),
    ).fetchall()
    counts = {str(row["answer"]): int(row["answers"]) for row in rows}
    total = sum(counts.values())
    if not total:
        return Examination([note("serving", "fallback_share", None, "nothing was served in the last 7 days")])
    faults = {reason: counts[reason] for reason in _FAULTS if reason in counts}
    named = ", ".join(f"{reason} {count}" for reason, count in faults.items()) or "none"
    findings = [
        note("serving", "fallback_share", 1 - counts.get("personal", 0) / total, f"of {total} answers in 7 days"),
        judge_at_most(
            "serving", "faulty_fallback_share", sum(faults.values()) / total, _FAULT_LIMITS, f"by reason: {named}"
        ),
    ]
    table = report_page.table(
        "Answers of the last 7 days", ("answer", "count", "share"), [(a, n, n / total) for a, n in counts.items()]
    )
    return Examination(findings, [table])
