from datetime import timedelta

import pytest

from monitoring.checks import run_check
from tests.monitoring.world import CHAMPION, NOW, RUN, World


def test_a_warehouse_of_today_is_fresh(world: World) -> None:
    assert run_check("freshness", RUN, NOW, world.settings) == "pass"
    found = world.findings("freshness")
    assert found["events", "record_age_days"]["value"] == pytest.approx(3 / 24)
    assert found["marts", "age_days"]["value"] == pytest.approx(1 / 24)
    assert found["champion", "age_days"]["value"] == pytest.approx(1 / 24)


def test_a_source_is_as_stale_as_its_cadence_says(world: World) -> None:
    for source, days, verdict in (
        ("events", 1.9, "pass"),
        ("events", 2.1, "warn"),
        ("events", 7.1, "fail"),
        ("crm", 6, "pass"),
        ("crm", 8, "warn"),
        ("surveys", 29, "pass"),
        ("activation", 300, "pass"),
    ):
        world.load_source(source, NOW - timedelta(hours=2), NOW - timedelta(days=days))
        run_check("freshness", RUN, NOW, world.settings)
        row = world.findings("freshness")[source, "record_age_days"]
        assert (row["verdict"], row["value"]) == (verdict, pytest.approx(days)), (source, days)
        assert world.concerns("freshness") == ({} if verdict == "pass" else {source: verdict})
        world.load_source(source, NOW - timedelta(hours=2), NOW - timedelta(hours=3))


def test_a_source_that_was_not_read_for_a_week_fails_even_if_it_had_nothing_new(world: World) -> None:
    world.load_source("surveys", NOW - timedelta(days=7.5), None)
    assert run_check("freshness", RUN, NOW, world.settings) == "fail"
    assert world.findings("freshness")["surveys", "load_age_days"]["verdict"] == "fail"


def test_a_source_that_was_never_loaded_fails(world: World) -> None:
    world.connection.execute("delete from ops.ingest_batches where source = 'billing'")
    world.connection.commit()
    assert run_check("freshness", RUN, NOW, world.settings) == "fail"
    assert "never loaded" in world.findings("freshness")["billing", "load_age_days"]["detail"]


def test_a_past_day_is_judged_by_what_was_there_then(world: World) -> None:
    world.connection.execute(
        "insert into ops.ingest_batches "
        "(source, run_key, started_at, read_count, new_count, quarantined_count, watermark) "
        "values ('events', 'later', %s, 1, 1, 0, %s)",
        (NOW + timedelta(days=30), NOW + timedelta(days=30)),
    )
    world.connection.commit()
    assert run_check("freshness", RUN, NOW, world.settings) == "pass"
    found = world.findings("freshness")
    assert found["events", "record_age_days"]["value"] == pytest.approx(3 / 24)
    assert found["events", "load_age_days"]["value"] == pytest.approx(2 / 24)


def test_an_empty_view_in_the_online_store_fails(world: World) -> None:
    world.materialize("ftr_content__popularity", 0, NOW)
    assert run_check("freshness", RUN, NOW, world.settings) == "fail"
    assert world.concerns("freshness") == {"online ftr_content__popularity": "fail"}


def test_a_champion_ages_past_its_weekly_training(world: World) -> None:
    for days, verdict in ((7.5, "pass"), (9, "warn"), (16, "fail")):
        world.connection.execute("delete from ops.model_promotions")
        world.promote(CHAMPION, NOW - timedelta(days=days))
        assert run_check("freshness", RUN, NOW, world.settings) == verdict, days


def test_marts_that_were_not_built_lately_are_stale(world: World) -> None:
    for days, verdict in ((3, "warn"), (8, "fail")):
        world.connection.execute(
            "update features.ftr_subscriber__profile set created_at = %s", (NOW - timedelta(days=days),)
        )
        world.connection.commit()
        assert run_check("freshness", RUN, NOW, world.settings) == verdict, days
        assert world.concerns("freshness") == {"marts": verdict}
