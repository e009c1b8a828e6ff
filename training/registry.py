"""Which versions there are, which one serves, and going back.

In and out: ops.model_versions and ops.model_promotions; the artefacts lie under the models folder.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import Settings
from training.manifest import CARD, MANIFEST


class RegistryError(MarqueeError):
    """A version is not there, or there is nothing to go back to."""


@dataclass(frozen=True)
class ModelVersion:
    model_version: str
    trained_at: datetime
    data_until: datetime
    is_champion: bool
    ndcg_loo: float | None
    ndcg_temporal: float | None
    # of the newest run that judged it; none while nobody has
    verdict: str | None


@dataclass(frozen=True)
class Figure:
    """A mean over subscribers with its 95% interval."""

    value: float
    low: float
    high: float


def register(
    connection: Connection[DictRow],
    model_version: str,
    trained_at: datetime,
    data_from: datetime,
    data_until: datetime,
    metrics: list[dict[str, str | float | int | None]],
) -> None:
    """Record a version; recording it again changes nothing but its figures."""
    connection.execute(
        "insert into ops.model_versions (model_version, trained_at, data_from, data_until, metrics) "
        "values (%s, %s, %s, %s, %s) on conflict (model_version) do update set metrics = excluded.metrics",
        (model_version, trained_at, data_from, data_until, Jsonb(metrics)),
    )


def champion(connection: Connection[DictRow]) -> str | None:
    """The version that serves."""
    row = connection.execute(
        "select model_version from ops.model_promotions order by promotion_id desc limit 1"
    ).fetchone()
    return None if row is None else str(row["model_version"])


def has_served(connection: Connection[DictRow], model_version: str) -> bool:
    """Whether a version was ever promoted."""
    row = connection.execute(
        "select exists (select from ops.model_promotions where model_version = %s) as found", (model_version,)
    ).fetchone()
    return row is not None and bool(row["found"])


def versions(connection: Connection[DictRow]) -> list[ModelVersion]:
    """Every version, newest first."""
    rows = connection.execute(
        "select model_version, trained_at, data_until, metrics, verdict from ops.model_versions "
        "left join lateral (select verdict from ops.model_verdicts as judged "
        "where judged.model_version = model_versions.model_version order by decided_at desc limit 1) as newest on true "
        "order by trained_at desc, model_version desc"
    ).fetchall()
    serving = champion(connection)
    return [
        ModelVersion(
            row["model_version"],
            row["trained_at"],
            row["data_until"],
            row["model_version"] == serving,
            _ndcg(row["metrics"], "loo"),
            _ndcg(row["metrics"], "temporal"),
            row["verdict"],
        )
        for row in rows
    ]


def find(connection: Connection[DictRow], model_version: str) -> ModelVersion:
    """One version.

    Raises:
        RegistryError: it is not there.
    """
    for version in versions(connection):
        if version.model_version == model_version:
            return version
    raise _unknown(model_version)


def ndcg(connection: Connection[DictRow], model_version: str) -> dict[tuple[str, str], Figure]:
    """NDCG@10 of a version and its baselines, by protocol and model.

    Raises:
        RegistryError: the version is not there.
    """
    row = connection.execute(
        "select metrics from ops.model_versions where model_version = %s", (model_version,)
    ).fetchone()
    if row is None:
        raise _unknown(model_version)
    return {
        (metric["protocol"], metric["model"]): Figure(metric["value"], metric["low"], metric["high"])
        for metric in row["metrics"]
        if metric["metric"] == "ndcg"
    }


def deciding(connection: Connection[DictRow]) -> AbstractContextManager[None]:
    """Be the only one who decides which version serves, until the transaction ends; waits for who does."""
    return database.exclusive(connection, "marquee.models")


def promote(
    connection: Connection[DictRow], model_version: str, now: datetime, reason: str, settings: Settings
) -> bool:
    """Make a version serve; False when it does already.

    Raises:
        RegistryError: the version is not registered or its artefact is gone.
    """
    with deciding(connection):
        _assert_can_serve(connection, model_version, settings)
        if champion(connection) == model_version:
            return False
        _serve(connection, model_version, now, reason)
        return True


def roll_back(connection: Connection[DictRow], now: datetime, settings: Settings) -> str:
    """Make the champion's predecessor serve again and return it.

    A version that was itself rolled back from is none, unless it was promoted anew since: rolling back again goes
    further back.

    Raises:
        RegistryError: there was no other champion before, or its artefact is gone.
    """
    with deciding(connection):
        serving = champion(connection)
        row = connection.execute(
            "select model_version from ops.model_promotions as promoted where model_version <> %s and not exists ("
            "select from ops.model_promotions as later where later.promotion_id > promoted.promotion_id "
            "and later.rolled_back_from = promoted.model_version) order by promotion_id desc limit 1",
            (serving,),
        ).fetchone()
        if serving is None or row is None:
            raise RegistryError(
                "no other version served before the present one without being rolled back from, so there is none to go "
                "back to; `marquee models list` shows the versions, `marquee models promote VERSION` makes one serve"
            )
        before = str(row["model_version"])
        _assert_can_serve(connection, before, settings)
        _serve(connection, before, now, f"rolled back from {serving}", serving)
        return before


def card_path(connection: Connection[DictRow], model_version: str | None, settings: Settings) -> Path:
    """Where the model card of a version lies; of the champion, when none is named.

    Raises:
        RegistryError: nothing serves yet, or the version has no card.
    """
    version = model_version or champion(connection)
    if version is None:
        raise RegistryError("no version serves yet; name one of `marquee models list`")
    path = artefact_dir(version, settings) / CARD
    if not path.exists():
        raise RegistryError(
            f"{version!r} has no model card in {settings.models_dir}; `marquee models list` shows what is"
        )
    return path


def artefact_dir(model_version: str, settings: Settings) -> Path:
    return settings.models_dir / model_version


def _assert_can_serve(connection: Connection[DictRow], model_version: str, settings: Settings) -> None:
    find(connection, model_version)
    if not (artefact_dir(model_version, settings) / MANIFEST).exists():
        raise RegistryError(
            f"the artefact of {model_version!r} is gone from {settings.models_dir}; train it again, or name another of "
            "`marquee models list` to `marquee models promote`"
        )


def _serve(
    connection: Connection[DictRow],
    model_version: str,
    now: datetime,
    reason: str,
    rolled_back_from: str | None = None,
) -> None:
    connection.execute(
        "insert into ops.model_promotions (model_version, promoted_at, reason, rolled_back_from) "
        "values (%s, %s, %s, %s)",
        (model_version, now, reason, rolled_back_from),
    )


def _unknown(model_version: str) -> RegistryError:
    return RegistryError(f"no model version {model_version!r}; `marquee models list` shows them")


def _ndcg(rows: list[dict[str, object]], protocol: str) -> float | None:
    for row in rows:
        if (row["protocol"], row["model"], row["metric"]) == (protocol, "marquee", "ndcg"):
            return float(str(row["value"]))
    return None
