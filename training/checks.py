"""What a training run found of its version, figure by figure: rows of ops.model_checks, from which the verdict is made.

In: measured figures with their limits. Out: the rows of one step of one run, replaced whole when the step runs again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from psycopg import Connection
from psycopg.rows import DictRow

Step = Literal["batch", "quality", "fairness", "champion"]
# from the best on: the worst of a run's decides
Outcome = Literal["pass", "warn", "hold", "reject"]

# the metric of the checks that compare how even a version and the champion are
EVENNESS = "ndcg_ratio_difference"
STEPS: tuple[Step, ...] = get_args(Step)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Check:
    """One figure and what follows from it; without a threshold it is told, and decides nothing.

    Attributes:
        low, high: the figure's 95% interval, where it has one.
        detail: in plain words; of a check that holds or rejects, a whole reason.
    """

    step: Step
    subject: str
    metric: str
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    detail: str = ""


def replace(connection: Connection[DictRow], run_key: str, step: Step, checks: Sequence[Check]) -> None:
    """Keep `checks` in place of what an earlier attempt of the same step of the same run found."""
    connection.execute("delete from ops.model_checks where run_key = %s and step = %s", (run_key, step))
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.model_checks "
            "(run_key, step, subject, metric, outcome, value, low, high, threshold, detail) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    run_key, step, check.subject, check.metric, check.outcome, check.value, check.low, check.high,
                    check.threshold, check.detail,
                )
                for check in checks
            ],
        )  # fmt: skip


def read(connection: Connection[DictRow], run_key: str) -> list[Check]:
    """Every check of a run: in the order of the steps, within one the worst first."""
    rows = connection.execute(
        "select step, subject, metric, outcome, value, low, high, threshold, detail from ops.model_checks "
        "where run_key = %s order by array_position(%s, step), array_position(%s, outcome) desc, subject, metric",
        (run_key, list(STEPS), list(OUTCOMES)),
    ).fetchall()
    return [Check(**row) for row in rows]
