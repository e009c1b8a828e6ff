"""The gate promotes what is good and fair, refuses the rest with its reasons, and decides the same again."""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from tests.training.versions import NOW, add_people, add_version
from training import gate, registry


@pytest.fixture(autouse=True)
def people(warehouse: Connection[DictRow]) -> None:
    add_people(warehouse)
    warehouse.commit()


def _failed(decision: gate.GateDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.is_passed]


def test_a_good_and_fair_version_is_promoted_once(warehouse: Connection[DictRow], settings: Settings) -> None:
    version = add_version(warehouse, settings, "v1")
    first, again = (gate.decide_promotion(version, NOW, settings) for _ in range(2))
    assert first.is_promoted
    assert again.is_passed
    assert not again.is_promoted
    assert registry.champion(warehouse) == "v1"
    row = warehouse.execute("select count(*) as n from ops.model_promotions").fetchone()
    assert row == {"n": 1}


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"loo": 0.049}, "ndcg@10 loo beside item_knn"),
        ({"temporal_high": 0.13}, "ndcg@10 temporal, upper bound, beside popularity"),
        ({"hit_women": 0.2, "hit_men": 0.8}, "ndcg@10 fairness by gender"),
    ],
)
def test_a_version_that_is_worse_or_unfair_is_refused_and_says_why(
    warehouse: Connection[DictRow], settings: Settings, figures: dict[str, Any], reason: str
) -> None:
    decision = gate.decide_promotion(add_version(warehouse, settings, "v1", **figures), NOW, settings)
    assert not decision.is_passed
    assert _failed(decision) == [reason]
    assert registry.champion(warehouse) is None
    row = warehouse.execute("select gate, is_gate_passed from ops.model_versions").fetchone()
    assert row is not None
    assert row["is_gate_passed"] is False
    assert [check["name"] for check in row["gate"] if not check["is_passed"]] == [reason]


def test_a_version_clearly_below_the_champion_does_not_replace_it(
    warehouse: Connection[DictRow], settings: Settings
) -> None:
    gate.decide_promotion(add_version(warehouse, settings, "good", loo=0.11), NOW, settings)
    worse = gate.decide_promotion(add_version(warehouse, settings, "worse", loo=0.10), NOW, settings)
    assert _failed(worse) == ["ndcg@10 loo beside the champion"]
    alike = gate.decide_promotion(add_version(warehouse, settings, "alike", loo=0.108), NOW, settings)
    assert alike.is_promoted
    assert registry.champion(warehouse) == "alike"


def test_an_unknown_version_is_named(settings: Settings) -> None:
    with pytest.raises(registry.RegistryError, match="'nowhere'"):
        gate.decide_promotion("nowhere", NOW, settings)
