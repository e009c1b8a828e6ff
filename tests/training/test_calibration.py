"""Scores as probabilities, and how true they are: known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import metrics
from training.calibration import fitted_sigmoid, folds_of


def test_the_map_behind_the_outcomes_is_found() -> None:
    generator = np.random.default_rng(4)
    scores = generator.normal(size=20_000)
    happened = generator.random(20_000) < 1 / (1 + np.exp(1.0 - 2.5 * scores))
    found = fitted_sigmoid(scores, happened)
    assert found.slope == pytest.approx(2.5, abs=0.15)
    assert found.intercept == pytest.approx(-1.0, abs=0.1)


def test_outcomes_that_scores_part_without_a_fault_are_not_certain_for_ever() -> None:
    scores = np.linspace(-1, 1, 40)
    found = fitted_sigmoid(scores, scores > 0)
    highest = 1 / (1 + np.exp(-found.slope - found.intercept))
    assert 0.9 < highest < 0.999


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(2, 5))
def test_all_rows_of_one_owner_are_in_one_fold(owners: list[int], count: int) -> None:
    folds = folds_of(np.array(owners), count, seed=3)
    assert len({(owner, fold) for owner, fold in zip(owners, folds.tolist(), strict=True)}) == len(set(owners))
    assert set(folds.tolist()) <= set(range(count))
    assert len(set(folds.tolist())) == min(count, len(set(owners)))


def test_calibration_error_is_the_distance_of_what_is_said_from_what_comes() -> None:
    # ten at 0.2, of which four come; ten at 0.7, of which seven do
    chances = np.repeat(np.array([0.2, 0.7], dtype=np.float32), 10)
    happened = np.array([True] * 4 + [False] * 6 + [True] * 7 + [False] * 3)
    assert metrics.calibration_error(chances, happened, bins=2) == pytest.approx(0.1, abs=1e-6)
    expected = (4 * 0.64 + 6 * 0.04 + 7 * 0.09 + 3 * 0.49) / 20
    assert metrics.brier(chances, happened) == pytest.approx(expected, abs=1e-6)
