"""The verdict of a training run: promote, hold or reject, with the reasons; and what follows from it.

In: the checks of the run. Out: a row of ops.model_verdicts, and a promotion where the verdict says so. A version that
was held or rejected never serves unless somebody names it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import Settings
from training import checks, registry
from training.checks import EVENNESS, STEPS, Check

_log = structlog.get_logger()

VerdictName = Literal["promote", "hold", "reject"]


class VerdictError(MarqueeError):
    """There is no verdict yet, or not everything that it needs."""


@dataclass(frozen=True)
class ModelVerdict:
    """One run's word on its version.

    Attributes:
        champion_version: what served when it was judged.
        report: the page, a path below the reports folder; none until it is drawn.
    """

    run_key: str
    model_version: str
    champion_version: str | None
    verdict: VerdictName
    reasons: tuple[str, ...]
    decided_at: datetime
    report: str | None


def decide(run_key: str, model_version: str, now: datetime, settings: Settings) -> ModelVerdict:
    """Sum the run's checks up and keep the verdict; deciding again replaces it.

    Raises:
        VerdictError: a step has not run.
        registry.RegistryError: the version is not there.
    """
    with database.connect(settings) as connection:
        registry.find(connection, model_version)
        found = checks.read(connection, run_key)
        if missing := [step for step in STEPS if not any(check.step == step for check in found)]:
            raise VerdictError(
                f"the run {run_key!r} was not checked for {', '.join(missing)}; run that task of train_recommender"
            )
        verdict, reasons = sum_up(found)
        connection.execute(
            "insert into ops.model_verdicts "
            "(run_key, model_version, champion_version, verdict, reasons, decided_at) values (%s, %s, %s, %s, %s, %s) "
            "on conflict (run_key) do update set model_version = excluded.model_version, "
            "champion_version = excluded.champion_version, verdict = excluded.verdict, reasons = excluded.reasons, "
            "decided_at = excluded.decided_at",
            (run_key, model_version, registry.champion(connection), verdict, reasons, now),
        )
        _log.info("gate.verdict", model_version=model_version, verdict=verdict, reasons=reasons)
        return of_run(connection, run_key)


def sum_up(found: list[Check]) -> tuple[VerdictName, list[str]]:
    """The verdict and its reasons: what rejects, else what holds, else how it compares."""
    for outcome in ("reject", "hold"):
        if reasons := [check.detail for check in found if check.outcome == outcome]:
            return ("reject" if outcome == "reject" else "hold"), reasons
    reasons = [check.detail for check in found if check.step in ("quality", "champion") and check.metric != EVENNESS]
    if warned := [check for check in found if check.outcome == "warn" and check.value is not None]:
        names = ", ".join(f"{check.subject} {check.metric.replace('_', ' ')}" for check in warned)
        reasons.append(f"to look at, though nothing that decides: {names}")
    return "promote", reasons


def publish(run_key: str, now: datetime, settings: Settings) -> bool:
    """Make the version serve where the verdict is to promote; True if it does so newly.

    A run publishes once: running it again does not undo a roll-back. Where another version was promoted since the
    verdict, that one stays, for nobody compared the two.

    Raises:
        VerdictError: the run has no verdict.
        registry.RegistryError: the version's artefact is gone.
    """
    with database.connect(settings) as connection, registry.deciding(connection):
        verdict = of_run(connection, run_key)
        row = connection.execute(
            "select published_at from ops.model_verdicts where run_key = %s", (run_key,)
        ).fetchone()
        assert row is not None
        if verdict.verdict != "promote" or row["published_at"] is not None:
            return False
        serving = registry.champion(connection)
        if serving not in (verdict.champion_version, verdict.model_version):
            _log.warning("gate.overtaken", model_version=verdict.model_version, champion=serving)
            return False
        connection.execute("update ops.model_verdicts set published_at = %s where run_key = %s", (now, run_key))
        return registry.promote(connection, verdict.model_version, now, verdict.reasons[0], settings)


def promote_by_hand(
    connection: Connection[DictRow],
    model_version: str,
    now: datetime,
    reason: str,
    settings: Settings,
    *,
    although_rejected: bool = False,
) -> bool:
    """Make a version serve that somebody chose; False when it does already.

    One whose newest verdict is to reject has to be insisted on.

    Raises:
        VerdictError: the newest verdict on it is to reject, and nobody insists.
        registry.RegistryError: the version is not registered or its artefact is gone.
    """
    with registry.deciding(connection):
        verdict = newest_of(connection, model_version)
        if verdict is None or verdict.verdict != "reject":
            return registry.promote(connection, model_version, now, reason, settings)
        if not although_rejected:
            raise VerdictError(
                f"{model_version!r} was rejected by the run {verdict.run_key!r}: {'; '.join(verdict.reasons)}. Choose "
                "another of `marquee models list`, or, if it is to serve all the same, say "
                f"`marquee models promote {model_version} --although-rejected`"
            )
        return registry.promote(connection, model_version, now, f"{reason}, although rejected", settings)


def of_run(connection: Connection[DictRow], run_key: str) -> ModelVerdict:
    """The verdict of a run.

    Raises:
        VerdictError: it has none.
    """
    row = connection.execute(f"{_SELECT} where run_key = %s".encode(), (run_key,)).fetchone()
    if row is None:
        raise VerdictError(f"the run {run_key!r} has no verdict; run decide_verdict of train_recommender")
    return _read(row)


def newest_of(connection: Connection[DictRow], model_version: str) -> ModelVerdict | None:
    """The newest verdict on a version: the same data may be judged by several runs."""
    row = connection.execute(
        f"{_SELECT} where model_version = %s order by decided_at desc limit 1".encode(), (model_version,)
    ).fetchone()
    return None if row is None else _read(row)


_SELECT = (
    "select run_key, model_version, champion_version, verdict, reasons, decided_at, report from ops.model_verdicts"
)


def _read(row: DictRow) -> ModelVerdict:
    return ModelVerdict(**{**row, "reasons": tuple(row["reasons"])})
