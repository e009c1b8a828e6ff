"""Identity: which profiles are most likely more than one person, and why somebody should look at them.

In: marts.fct_identity_suspects, marts.dim_subscribers. Out: the share of profiles against which two things speak that
weigh much, how often each reason is found, and the profiles from the worst on, by id and kinds of identifiers only.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Limits, judge_at_most, note
from monitoring.warehouse import require_tables

# two reasons of the weightiest sort
_LIKELY_WRONG = 6
_SHARE_LIMITS = Limits(warn=0.01, fail=0.05)
_SHOWN = 30


@dataclass(frozen=True)
class Reason:
    """One thing that speaks against a profile; `link` has kinds and no values, empty where no link is meant."""

    subscriber_id: str
    reason: str
    points: int
    score: int
    link: str
    source: str
    detail: str


def examine_profiles(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """The suspects of the present graph."""
    del as_of, settings
    require_tables(connection, "marts.fct_identity_suspects", "marts.dim_subscribers")
    reasons = _read_reasons(connection)
    total_row = connection.execute("select count(*) as n from marts.dim_subscribers").fetchone()
    total = 0 if total_row is None else int(total_row["n"])
    scores = {reason.subscriber_id: reason.score for reason in reasons}
    likely_count = sum(score >= _LIKELY_WRONG for score in scores.values())
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for reason in reasons:
        counts[reason.reason, reason.points] += 1
    findings = [
        judge_at_most(
            "profiles", "likely_wrong_share", likely_count / max(total, 1), _SHARE_LIMITS,
            f"{likely_count} of {total} profiles score {_LIKELY_WRONG} or more",
        ),
        *(note(name, "profile_count", count, f"{points} points") for (name, points), count in sorted(counts.items())),
    ]  # fmt: skip
    return Examination(
        findings,
        [
            _explanation(),
            report_page.table(
                f"Profiles to look at, the worst {_SHOWN}",
                ("subscriber", "score", "points", "reason", "detail", "example", "said by"),
                [row for of_one in _worst(reasons) for row in _rows(of_one)],
            ),
        ],
    )


PARTS = (examine_profiles,)


def _read_reasons(connection: Connection[DictRow]) -> list[Reason]:
    rows = connection.execute(
        "select subscriber_id, reason, points, score, split_part(identifier, ':', 1) as kind, "
        "split_part(other_identifier, ':', 1) as other_kind, coalesce(source, '') as source, detail "
        "from marts.fct_identity_suspects order by score desc, subscriber_id, points desc, reason"
    ).fetchall()
    return [
        Reason(
            row["subscriber_id"], row["reason"], row["points"], row["score"],
            f"{row['kind']} – {row['other_kind']}" if row["kind"] else "", row["source"], row["detail"],
        )
        for row in rows
    ]  # fmt: skip


def _worst(reasons: Sequence[Reason]) -> list[list[Reason]]:
    of_profile: dict[str, list[Reason]] = defaultdict(list)
    for reason in reasons:
        of_profile[reason.subscriber_id].append(reason)
    return list(of_profile.values())[:_SHOWN]


def _rows(reasons: Sequence[Reason]) -> list[tuple[object, ...]]:
    """A line a reason; the profile and its score stand on the first."""
    return [
        (
            reason.subscriber_id if place == 0 else "",
            reason.score if place == 0 else "",
            reason.points,
            reason.reason,
            reason.detail,
            reason.link or "–",
            reason.source or "–",
        )
        for place, reason in enumerate(reasons)
    ]


def _explanation() -> object:
    return report_page.text(
        "A profile is what records join into one person. Where something speaks against that, it stands here with the "
        "clearest example; the score adds up the points. A high score is a reason to look, not a proof: people move, "
        "share tablets and have second addresses. `marquee identity suspects SUBSCRIBER` shows the identifiers, which "
        "are not on this page, and `marquee identity unlink` takes a wrong link away.",
        "Profiles that are most likely wrong",
    )
