"""Fairness between groups: ratios of known means, intervals that chance does not fool, coverage at equal size."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given
from hypothesis import strategies as st

from training import fairness
from training.fairness import (
    GroupRatio,
    coverage_ratio,
    judge,
    judged_groups,
    ratio_change,
    service_ratio,
    tenure_bands,
)
from training.thresholds import LeastRatio

LEVELS = LeastRatio(warn=0.8, fail=0.5)


def _service(values: list[float], groups: list[str], least: int = 30) -> GroupRatio | None:
    return service_ratio(pd.Series(values), "ndcg", "gender", pd.Series(groups), least)


def _hits(count: int, hits: int) -> list[float]:
    return [1.0] * hits + [0.0] * (count - hits)


def test_the_ratio_is_the_worst_served_group_beside_the_best() -> None:
    found = _service([0.2] * 40 + [0.4] * 60, ["female"] * 40 + ["male"] * 60)
    assert found is not None
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert {name: (group.value, group.size) for name, group in found.by_group.items()} == {
        "female": (pytest.approx(0.2), 40),
        "male": (pytest.approx(0.4), 60),
    }
    assert (found.worst, found.best) == ("female", "male")


def test_small_and_unknown_groups_are_no_groups() -> None:
    column = pd.Series(["under_25"] * 10 + ["25_34"] * 50 + ["35_44"] * 50 + ["unknown"] * 80)
    assert judged_groups(column, 30) == ["25_34", "35_44"]
    found = _service([0.0] * 10 + [0.3] * 100 + [0.0] * 80, column.tolist())
    assert found is not None
    assert set(found.by_group) == {"25_34", "35_44"}
    assert found.ratio == pytest.approx(1.0)


def test_an_attribute_with_one_group_says_nothing() -> None:
    assert _service([1.0] * 50, ["male"] * 50) is None


def test_nobody_served_is_even() -> None:
    found = _service([0.0] * 80, ["female"] * 40 + ["male"] * 40)
    assert found is not None
    assert (found.ratio, found.high) == (1.0, 1.0)


def test_a_group_that_gets_nothing_is_rejected_and_a_doubtful_one_is_not() -> None:
    groups = ["female"] * 100 + ["male"] * 100
    nothing, doubtful, even = (
        _service(_hits(100, women) + _hits(100, 20), groups) for women in (0, 9, 20)
    )  # fmt: skip
    assert [judge(found, LEVELS) for found in (nothing, doubtful, even)] == ["reject", "warn", "pass"]  # type: ignore[arg-type]
    assert doubtful is not None
    assert doubtful.ratio < LEVELS.fail < doubtful.high


def test_the_change_of_a_ratio_is_that_of_the_same_subscribers() -> None:
    groups = pd.Series(["female"] * 40 + ["male"] * 60 + ["other"] * 9)
    ours, theirs = (pd.Series([women] * 40 + [0.4] * 60 + [0.0] * 9) for women in (0.2, 0.3))
    found = ratio_change(ours, theirs, "gender", groups, 30)
    assert found is not None
    assert (found.ours, found.theirs) == pytest.approx((0.5, 0.75))
    assert (found.difference, found.low, found.high) == pytest.approx((-0.25, -0.25, -0.25))
    assert ratio_change(ours[:40], theirs[:40], "gender", groups[:40], 30) is None


def test_what_is_as_hard_for_both_versions_is_no_change() -> None:
    values = pd.Series(_hits(50, 10) + _hits(50, 30))
    found = ratio_change(values * 0.5, values, "gender", pd.Series(["female"] * 50 + ["male"] * 50), 30)
    assert found is not None
    assert (found.ours, found.theirs) == pytest.approx((1 / 3, 1 / 3))
    assert (found.low, found.high) == pytest.approx((0.0, 0.0))


def test_chance_rarely_makes_a_version_clearly_less_even_and_a_lost_group_nearly_always_does() -> None:
    numbers = np.random.default_rng(4)
    groups = pd.Series(["a"] * 400 + ["b"] * 600)

    def held(share: float) -> int:
        """Of 40 pairs of versions that serve 19%, and `share` of that of the first group."""
        chances = np.array([0.19 * share] * 400 + [0.19] * 600)
        pairs = [(numbers.random(1000) < chances, numbers.random(1000) < 0.19) for _ in range(40)]
        found = [ratio_change(*map(pd.Series, pair), "gender", groups, 30) for pair in pairs]
        return sum(change is not None and change.high < -0.05 for change in found)

    assert held(1.0) <= 2
    assert held(0.2) >= 36


def test_two_groups_have_the_interval_that_fairlearn_s_bootstrap_gives() -> None:
    numbers = np.random.default_rng(2)
    values = np.concatenate([numbers.random(300) * 0.5, numbers.random(200)])
    groups = np.array(["a"] * 300 + ["b"] * 200)
    peer = MetricFrame(
        metrics=lambda _, figures: float(np.mean(figures)), y_true=np.zeros(500), y_pred=values,
        sensitive_features=groups, n_boot=150, ci_quantiles=[0.025, 0.975], random_state=1,
    )  # fmt: skip
    found = _service(values.tolist(), groups.tolist())
    assert found is not None
    assert found.ratio == pytest.approx(peer.ratio())
    assert (found.low, found.high) == pytest.approx(tuple(peer.ratio_ci()), abs=0.03)


def test_many_even_groups_are_not_called_unfair_by_chance() -> None:
    numbers = np.random.default_rng(3)
    groups = np.repeat([f"g{n}" for n in range(8)], 50)
    outcomes, ratios = [], []
    for _ in range(40):
        found = _service((numbers.random(400) < 0.2).astype(float).tolist(), groups.tolist())
        assert found is not None
        outcomes.append(judge(found, LEVELS))
        ratios.append(found.ratio)
    # their ratio lies below the limit all the same, so that a plain look would refuse most of them
    assert np.mean(np.array(ratios) < LEVELS.fail) > 0.5
    assert outcomes.count("reject") <= 1


def _lists(shown: dict[str, list[str]]) -> pd.DataFrame:
    rows = [(subscriber, content) for subscriber, contents in shown.items() for content in contents]
    return pd.DataFrame(rows, columns=["subscriber_id", "content_id"])


def _people(groups: dict[str, int]) -> pd.Series:
    names = [name for name, count in groups.items() for _ in range(count)]
    return pd.Series(names, index=[f"s{n:04}" for n in range(len(names))])


def test_a_large_group_is_not_wider_by_its_size() -> None:
    column = _people({"few": 40, "many": 800})
    numbers = np.random.default_rng(5)
    lists = _lists({name: [f"c{n}" for n in numbers.permutation(300)[:10]] for name in column.index})
    shown = {name: lists[lists["subscriber_id"].isin(column.index[column == name])] for name in ("few", "many")}
    # all of a group's lists together: the larger one shows far more
    assert shown["few"]["content_id"].nunique() < 0.8 * shown["many"]["content_id"].nunique()
    found = coverage_ratio(lists, "plan", column, 30)
    assert found is not None
    assert found.ratio > 0.95
    assert judge(found, LEVELS) == "pass"


def test_a_group_that_is_shown_the_same_few_titles_is_rejected() -> None:
    column = _people({"basic": 60, "premium": 60})
    numbers = np.random.default_rng(6)
    lists = _lists(
        {
            name: [f"c{n}" for n in numbers.permutation(12 if group == "basic" else 300)[:10]]
            for name, group in column.items()
        }
    )
    found = coverage_ratio(lists, "plan", column, 30)
    assert found is not None
    assert judge(found, LEVELS) == "reject"
    assert found.by_group["basic"].value == pytest.approx(12)
    assert "basic 12 (60) beside premium" in fairness.in_words(found, LEVELS)


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True), min_size=2, max_size=6),
    st.integers(1, 5),
)
def test_coverage_is_the_mean_over_every_sample_of_that_size(lists: list[list[int]], size: int) -> None:
    size = min(size, len(lists))
    shown = np.array([items + [-1] * (3 - len(items)) for items in lists])
    samples = [len({item for items in sample for item in items}) for sample in combinations(lists, size)]
    assert fairness._rarefied(shown, size) == pytest.approx(np.mean(samples))


def test_tenure_is_named_by_where_its_band_ends() -> None:
    days = pd.Series([0.0, 29.9, 30.0, 179.0, 180.0, 4_000.0, -2.0, np.nan])
    assert tenure_bands(days, (30, 180)).tolist() == [
        "under_30_days", "under_30_days", "under_180_days", "under_180_days", "180_days_or_more", "180_days_or_more",
        "under_30_days", "unknown",
    ]  # fmt: skip
