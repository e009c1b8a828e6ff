"""What the re-ranker looks at: the nearest, the week's most consumed, each once, and never what may not be shown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.candidates import choose_candidates

_HIDDEN = -np.inf


def test_the_nearest_and_the_weeks_come_together_nearest_first() -> None:
    similarities = np.array([_HIDDEN, 0.9, 0.1, 0.8, 0.3, _HIDDEN, 0.2], dtype=np.float32)
    week = np.array([0, 0, 7, 9, 0, 99, 3], dtype=np.float32)
    # two nearest (1, 3), and one of the week, which is 3 already; 5 is the week's best and may not be shown
    assert choose_candidates(similarities, week, 2).tolist() == [1, 3]
    # of four nearest (1, 3, 4, 6) and two of the week (3, 2), each once
    assert choose_candidates(similarities, week, 4).tolist() == [1, 3, 4, 6, 2]


def test_what_nobody_consumed_in_the_week_is_no_candidate_for_it() -> None:
    similarities = np.array([_HIDDEN, 0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    assert choose_candidates(similarities, np.zeros(5, dtype=np.float32), 2).tolist() == [1, 2]


@given(
    rows=st.lists(st.tuples(st.floats(-1, 1, width=32) | st.just(_HIDDEN), st.integers(0, 5)), min_size=1, max_size=40),
    count=st.integers(1, 12),
)
def test_nobody_better_is_left_out(rows: list[tuple[float, int]], count: int) -> None:
    similarities, week = (np.array(column, dtype=np.float32) for column in zip(*rows, strict=True))
    found = choose_candidates(similarities, week, count)
    assert len(np.unique(found)) == len(found)
    assert np.isfinite(similarities[found]).all()
    assert (np.diff(similarities[found]) <= 0).all()
    outside = np.setdiff1d(np.flatnonzero(np.isfinite(similarities)), found)
    nearest = np.sort(similarities[found])[::-1][:count]
    if len(outside):
        assert len(nearest) == count
        assert similarities[outside].max() <= nearest[-1]
