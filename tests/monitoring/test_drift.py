from datetime import timedelta

import numpy as np
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring.checks import run_check
from tests.monitoring.world import CHAMPION, NOW, RUN, World


def test_identical_features_and_traffic_do_not_drift(world: World) -> None:
    assert run_check("drift", RUN, NOW, world.settings) == "pass"
    found = world.findings("drift")
    assert found["interaction_count", "drift_score"]["value"] == 0
    assert found["all columns", "drifted_share"]["value"] == 0
    assert ("traffic device_type", "drift_score") in found


@pytest.mark.parametrize(
    ("column", "move"),
    [
        ("mean_watched_fraction_28d", lambda values: values / 2),
        ("interaction_count_7d", lambda values: values + 3),
        ("plan", lambda values: np.where(np.arange(len(values)) % 5 == 0, "free", "premium")),
        ("genre_affinity", lambda values: [[0.9, 0.05, 0.03, 0.02]] * len(values)),
    ],
)
def test_drift_in_one_column_is_found_and_named(world: World, column: str, move) -> None:
    world.features[column] = move(world.features[column])
    world.write_features()
    assert run_check("drift", RUN, NOW, world.settings) == "warn"
    assert world.concerns("drift") == {column: "warn"}
    score = world.findings("drift")[column, "drift_score"]
    assert score["value"] > score["threshold"] == pytest.approx(0.1)
    assert world.findings("drift")["all columns", "drifted_share"]["detail"] == f"drifted: {column}"


def test_drift_in_many_columns_fails(world: World) -> None:
    numbers = ["interaction_count_7d", "interaction_count_28d", "interaction_count", "distinct_genre_count_28d"]
    world.features[numbers] = world.features[numbers] * 3
    world.features["lifecycle_stage"] = "at_risk"
    world.write_features()
    assert run_check("drift", RUN, NOW, world.settings) == "fail"
    share = world.findings("drift")["all columns", "drifted_share"]
    assert (share["verdict"], share["value"]) == ("fail", pytest.approx(5 / 13))


def test_only_the_newest_feature_row_of_a_subscriber_counts_and_none_after_the_moment(world: World) -> None:
    for age, count in ((timedelta(days=400), 10_000), (timedelta(days=-1), 20_000)):
        world.connection.execute(
            "insert into features.ftr_subscriber__activity (subscriber_id, event_timestamp, interaction_count) "
            "select distinct subscriber_id, %s::timestamptz, %s from features.ftr_subscriber__activity",
            (NOW - age, count),
        )
    world.connection.commit()
    assert run_check("drift", RUN, NOW, world.settings) == "pass"


def test_traffic_from_other_devices_warns_but_never_fails(world: World) -> None:
    world.connection.execute(
        "update marts.fct_interactions set device_type = 'connected_tv', interaction_type = 'listen' "
        "where occurred_at > %s",
        (NOW - timedelta(days=28),),
    )
    world.connection.commit()
    assert run_check("drift", RUN, NOW, world.settings) == "warn"
    assert world.concerns("drift") == {"traffic device_type": "warn", "traffic interaction_type": "warn"}


def test_a_column_that_became_empty_is_said_to_be_so(world: World) -> None:
    world.features["mean_watched_fraction_28d"] = None
    world.write_features()
    assert run_check("drift", RUN, NOW, world.settings) == "warn"
    row = world.findings("drift")["mean_watched_fraction_28d", "drift_score"]
    assert (row["value"], row["verdict"]) == (None, "warn")


def test_without_a_champion_it_is_named_and_traffic_is_still_looked_at(world: World) -> None:
    world.connection.execute("delete from ops.model_promotions")
    world.connection.commit()
    assert run_check("drift", RUN, NOW, world.settings) == "warn"
    found = world.findings("drift")
    assert "no model serves yet" in found["champion", "availability"]["detail"]
    assert found["traffic device_type", "drift_score"]["verdict"] == "pass"


def test_a_champion_whose_artefact_is_gone_fails_by_name(world: World) -> None:
    (world.settings.models_dir / CHAMPION / "reference_features.parquet").unlink()
    assert run_check("drift", RUN, NOW, world.settings) == "fail"
    assert CHAMPION in world.findings("drift")["champion", "availability"]["detail"]


def test_too_few_subscribers_are_not_compared(world: World) -> None:
    world.features = world.features.head(40)
    world.write_features()
    assert run_check("drift", RUN, NOW, world.settings) == "warn"
    assert "40 rows now" in world.findings("drift")["subscriber features", "availability"]["detail"]


@pytest.mark.parametrize("kind", ["drift", "quality", "fairness", "freshness"])
def test_an_empty_installation_gives_findings_and_a_page(
    kind: str, warehouse: Connection[DictRow], settings: Settings
) -> None:
    assert run_check(kind, RUN, NOW, settings) in {"warn", "fail"}
    rows = warehouse.execute("select detail, report from ops.quality_verdicts where verdict <> 'pass'").fetchall()
    assert rows
    assert all(row["detail"] and (settings.reports_dir / row["report"]).is_file() for row in rows)
