"""Fairness between groups: ratios of known means, and who is left out."""

import numpy as np
import pandas as pd
import pytest

from training.fairness import group_fairness


def test_the_ratio_is_the_worst_served_group_beside_the_best() -> None:
    values = np.array([0.2] * 40 + [0.4] * 60)
    groups = pd.DataFrame({"gender": ["female"] * 40 + ["male"] * 60})
    (found,) = group_fairness(values, groups)
    assert found.ratio == pytest.approx(0.5)
    assert found.by_group == pytest.approx({"female": 0.2, "male": 0.4})
    assert found.group_sizes == {"female": 40, "male": 60}


def test_small_and_unknown_groups_are_no_groups() -> None:
    values = np.array([0.0] * 10 + [0.3] * 50 + [0.3] * 50 + [0.0] * 80)
    groups = pd.DataFrame({"age_band": ["under_25"] * 10 + ["25_34"] * 50 + ["35_44"] * 50 + ["unknown"] * 80})
    (found,) = group_fairness(values, groups)
    assert set(found.by_group) == {"25_34", "35_44"}
    assert found.ratio == pytest.approx(1.0)


def test_an_attribute_with_one_group_says_nothing() -> None:
    assert group_fairness(np.ones(50), pd.DataFrame({"gender": ["male"] * 50})) == []


def test_nobody_served_is_even() -> None:
    groups = pd.DataFrame({"gender": ["female"] * 40 + ["male"] * 40})
    assert group_fairness(np.zeros(80), groups)[0].ratio == 1.0
