"""Whether a version may serve: quality beside the baselines and the champion, and fairness between groups.

In: a registered version. Out: a decision with its reasons, recorded with the version; a promotion when all hold.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from marquee import database
from marquee.settings import Settings
from training import fairness, registry
from training.evaluation import per_subscriber

MINIMUM_FAIRNESS_RATIO = 0.5
# a new version may measure this share below the champion: week to week the test sets differ by more
CHAMPION_TOLERANCE = 0.05


@dataclass(frozen=True)
class Check:
    name: str
    value: float
    limit: float
    is_passed: bool


@dataclass(frozen=True)
class GateDecision:
    model_version: str
    is_passed: bool
    is_promoted: bool
    checks: list[Check]


def decide_promotion(model_version: str, now: datetime, settings: Settings) -> GateDecision:
    """Judge a version, record the judgement, and promote it when it passes; judging again promotes nothing twice.

    Raises:
        registry.RegistryError: the version is not there.
    """
    with database.connect(settings) as connection, database.exclusive(connection, "marquee.models"):
        checks = judge(model_version, connection, settings)
        is_passed = all(check.is_passed for check in checks)
        connection.execute(
            "update ops.model_versions set gate = %s, is_gate_passed = %s where model_version = %s",
            (Jsonb([asdict(check) for check in checks]), is_passed, model_version),
        )
        is_promoted = is_passed and registry.promote(connection, model_version, now, "passed the gate", settings)
    return GateDecision(model_version, is_passed, is_promoted, checks)


def judge(model_version: str, connection: Connection[DictRow], settings: Settings) -> list[Check]:
    """Every check of a version."""
    values = _metrics(model_version, connection)
    checks = [_at_least("ndcg@10 loo beside item_knn", values["loo", "marquee"].value, values["loo", "item_knn"].value)]
    # a short history has no calendar split, and few subscribers are warm on one: only a clear loss counts
    if ("temporal", "marquee") in values:
        checks.append(
            _at_least(
                "ndcg@10 temporal, upper bound, beside popularity",
                values["temporal", "marquee"].high,
                values["temporal", "popularity"].value,
            )
        )
    serving = registry.champion(connection)
    if serving is not None and serving != model_version:
        limit = _metrics(serving, connection)["loo", "marquee"].value * (1 - CHAMPION_TOLERANCE)
        checks.append(_at_least("ndcg@10 loo beside the champion", values["loo", "marquee"].value, limit))
    return [*checks, *_fairness_checks(model_version, settings, connection)]


def _fairness_checks(model_version: str, settings: Settings, connection: Connection[DictRow]) -> list[Check]:
    folder = registry.artefact_dir(model_version, settings) / "evaluation"
    topk = pd.read_parquet(folder / "topk.parquet")
    relevant = pd.read_parquet(folder / "relevant.parquet")
    lists = topk[(topk["protocol"] == "loo") & (topk["model"] == "marquee")]
    ndcg = per_subscriber(lists, relevant[relevant["protocol"] == "loo"])["ndcg"]
    groups = pd.DataFrame(
        connection.execute("select subscriber_id, gender, age_band from marts.dim_subscribers").fetchall()
    ).set_index("subscriber_id")
    found = fairness.group_fairness(ndcg.to_numpy(), groups.reindex(ndcg.index))
    return [_at_least(f"ndcg@10 fairness by {group.attribute}", group.ratio, MINIMUM_FAIRNESS_RATIO) for group in found]


@dataclass(frozen=True)
class _Metric:
    value: float
    high: float


def _metrics(model_version: str, connection: Connection[DictRow]) -> dict[tuple[str, str], _Metric]:
    row = connection.execute(
        "select metrics from ops.model_versions where model_version = %s", (model_version,)
    ).fetchone()
    if row is None:
        raise registry.RegistryError(f"no model version {model_version!r}; `marquee models list` shows them")
    return {
        (metric["protocol"], metric["model"]): _Metric(metric["value"], metric["high"])
        for metric in row["metrics"]
        if metric["metric"] == "ndcg"
    }


def _at_least(name: str, value: float, limit: float) -> Check:
    return Check(name, round(value, 4), round(limit, 4), value >= limit)
