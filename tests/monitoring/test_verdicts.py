from datetime import datetime, timedelta
from itertools import product

import pytest

from monitoring import verdicts
from monitoring.findings import Finding, Limits, judge_at_least, judge_at_most, worst
from monitoring.verdicts import CheckKey
from tests.monitoring.world import CHAMPION, NOW, RUN, World


def keep(world: World, kind, *found: str) -> None:
    key = CheckKey(RUN, kind, NOW, f"{kind}.html")
    verdicts.replace(
        world.connection, key, [Finding(f"subject {n}", "m", 1.0, 0.5, verdict) for n, verdict in enumerate(found)]
    )
    world.connection.commit()


def test_a_run_is_as_bad_as_its_worst_finding_and_counts_all(world: World) -> None:
    keep(world, "freshness", "pass", "pass", "warn")
    keep(world, "quality", "pass", "fail")
    found = verdicts.overall(RUN, world.settings)
    assert (found.verdict, found.pass_count, found.warn_count, found.fail_count) == ("fail", 3, 1, 1)


def test_a_run_without_findings_is_no_pass(world: World) -> None:
    found = verdicts.overall("never ran", world.settings)
    assert (found.verdict, found.wants_retraining) == ("warn", False)


def test_retraining_is_wanted_only_for_failed_drift_of_an_old_version_with_new_data(world: World) -> None:
    # nothing but drift asks for training
    keep(world, "quality", "fail")
    for drift, trained_days_ago, data_days_ago in product(("pass", "warn", "fail"), (0, 1, 10), (0, 10)):
        world.register(CHAMPION, NOW - timedelta(days=trained_days_ago), NOW - timedelta(days=data_days_ago))
        keep(world, "drift", "pass", drift)
        found = verdicts.overall(RUN, world.settings)
        expected = drift == "fail" and trained_days_ago == 10 and data_days_ago == 10
        assert found.wants_retraining == expected, (drift, trained_days_ago, data_days_ago, found.reason)
        assert found.reason


def age(world: World, moment: datetime = NOW - timedelta(days=10)) -> None:
    world.register(CHAMPION, moment, moment)
    keep(world, "drift", "fail")


def test_a_version_that_the_gate_refused_today_is_not_asked_for_again(world: World) -> None:
    age(world)
    assert verdicts.overall(RUN, world.settings).wants_retraining
    world.register("refused", NOW - timedelta(hours=1), NOW - timedelta(hours=1))
    assert not verdicts.overall(RUN, world.settings).wants_retraining


def test_interactions_that_training_may_not_use_are_no_reason_to_train(world: World) -> None:
    age(world)
    world.connection.execute("update marts.fct_interactions set has_personalization_consent = false")
    world.connection.commit()
    assert not verdicts.overall(RUN, world.settings).wants_retraining


def test_interactions_after_the_check_are_no_reason_to_train(world: World) -> None:
    age(world)
    world.connection.execute(
        "update marts.fct_interactions set occurred_at = %s where occurred_at > %s",
        (NOW + timedelta(days=1), NOW - timedelta(days=11)),
    )
    world.connection.commit()
    assert not verdicts.overall(RUN, world.settings).wants_retraining


def test_without_a_champion_there_is_nothing_to_retrain(world: World) -> None:
    age(world)
    world.connection.execute("delete from ops.model_promotions")
    world.connection.commit()
    assert not verdicts.overall(RUN, world.settings).wants_retraining


@pytest.mark.parametrize(
    ("value", "verdict", "threshold"), [(1.0, "pass", 2.0), (2.0, "pass", 2.0), (2.5, "warn", 2.0), (8.0, "fail", 7.0)]
)
def test_a_finding_names_the_limit_that_it_passed(value: float, verdict: str, threshold: float) -> None:
    small = judge_at_most("s", "m", value, Limits(warn=2, fail=7))
    large = judge_at_least("s", "m", -value, Limits(warn=-2, fail=-7))
    assert (small.verdict, small.threshold) == (verdict, threshold)
    assert (large.verdict, large.threshold) == (verdict, -threshold)


def test_a_value_that_is_not_a_number_never_passes() -> None:
    found = judge_at_most("s", "m", float("nan"), Limits(fail=1))
    assert (found.value, found.verdict) == (None, "warn")
    assert worst([]) == "pass"
