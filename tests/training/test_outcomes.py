"""What became of a start: known answers, what nobody can know yet, and that nothing beyond the known end counts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.columns import DAY, interactions, nowhere
from training import dataset, outcomes
from training.dataset import Interactions, Split
from training.outcomes import Outcomes
from training.ranker_config import RankerConfig

_CONFIG = RankerConfig(finish_share=0.9, return_days=7)


def _split(log: Interactions, pairs: list[tuple[int, int]], cut: int, protocol: str = "temporal") -> Split:
    """Each (subscriber, item) is to be found, from day `cut` on."""
    users = np.array(sorted({user for user, _ in pairs}))
    relevant = [np.array([item for user, item in pairs if user == one]) for one in users]
    return Split(
        protocol,
        log.where(log.moments < cut * DAY),
        users,
        np.full(len(users), cut * DAY),
        nowhere(len(users)),
        relevant,
    )


@pytest.mark.parametrize("at_once", [outcomes._PAIRS_AT_ONCE, 3])
def test_who_comes_back_within_the_days_does_so_on_a_later_day(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_PAIRS_AT_ONCE", at_once)
    log = interactions(
        [
            (0, 1, 10), (0, 2, 13),  # three days after
            (1, 1, 10), (1, 2, 18),  # too late
            (2, 1, 10), (2, 2, 10),  # the same day
            (3, 1, 10),  # never, and the days are over
            (4, 1, 25),  # the days are not over
            (5, 2, 30),  # the end
        ]
    )  # fmt: skip
    split = _split(log, [(user, 1) for user in range(5)], 9)
    found = Outcomes.of(split, log, 30 * DAY, _CONFIG)
    labels = dict(zip(found.users.tolist(), found.returned.tolist(), strict=True))
    assert [labels[user] for user in range(4)] == [1, 0, 0, 0]
    assert np.isnan(labels[4])


def test_a_return_that_came_does_not_count_before_its_days_are_over() -> None:
    """Else those who come back would be known sooner than those who do not, and be too many."""
    log = interactions([(0, 1, 10), (0, 2, 12), (1, 3, 14)])
    found = Outcomes.of(_split(log, [(0, 1)], 9), log, 14 * DAY, _CONFIG)
    assert np.isnan(found.returned).all()


def test_what_nobody_measured_is_neither_finished_nor_given_up() -> None:
    log = interactions([(0, 1, 10), (1, 1, 10), (2, 1, 10)])
    log = replace(log, completions=np.array([0.95, 0.2, np.nan], dtype=np.float32))
    found = Outcomes.of(_split(log, [(user, 1) for user in range(3)], 9), log, 10 * DAY, _CONFIG)
    assert found.finished[:2].tolist() == [1, 0]
    assert np.isnan(found.finished[2])


def test_the_last_of_a_history_says_nothing_of_a_return() -> None:
    log = interactions([(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 40)])
    split = dataset.leave_last_out(log)
    assert np.isnan(Outcomes.of(split, log, 40 * DAY, _CONFIG).returned).all()


def test_a_candidate_finds_its_own_label() -> None:
    outcomes = Outcomes(np.array([4, 2]), np.array([7, 9]), np.array([1, 0], np.float32), np.array([0, np.nan]))
    finished, returned = outcomes.at(np.array([2, 4]), np.array([[9, 7, 0], [9, 7, 0]]))
    np.testing.assert_array_equal(finished, [[0, np.nan, np.nan], [np.nan, 1, np.nan]])
    np.testing.assert_array_equal(returned, [[np.nan] * 3, [np.nan, 0, np.nan]])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, 40)), min_size=2, max_size=40),
    st.integers(5, 35),
)
def test_what_happens_after_the_known_end_changes_nothing(rows: list[tuple[int, int, int]], end: int) -> None:
    """A leak that is planted: the same log with another future gives the same labels."""
    log = interactions(rows, user_count=4)
    known = [row for row in rows if row[2] <= end]
    if not known:
        return
    pairs = sorted({(user, item) for user, item, day in rows if day >= 3})
    if not pairs:
        return
    split = _split(log, pairs, 3)
    ours = Outcomes.of(split, log, end * DAY, _CONFIG)
    theirs = Outcomes.of(split, interactions(known, user_count=4), end * DAY, _CONFIG)
    order, other = np.lexsort((ours.items, ours.users)), np.lexsort((theirs.items, theirs.users))
    np.testing.assert_array_equal(ours.users[order], theirs.users[other])
    np.testing.assert_array_equal(ours.returned[order], theirs.returned[other])
