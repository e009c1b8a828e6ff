"""The two splits: what they hold back, and that nothing held back is in the training side."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training import columns
from tests.training.columns import DAY, interactions
from training.dataset import UNKNOWN, Split, leave_last_out, temporal, without_given_up

_ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 12), st.integers(0, 60)), min_size=4, max_size=80
)  # fmt: skip


def test_leave_last_out_holds_back_the_last_of_whoever_has_two() -> None:
    split = leave_last_out(interactions([(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 5, 1), (2, 4, 1), (2, 1, 9)]))
    assert split.users.tolist() == [0, 2]
    assert [items.tolist() for items in split.relevant] == [[3], [1]]
    assert split.cuts.tolist() == [3 * DAY, 9 * DAY]
    histories = split.histories()
    assert [histories.items_of(row).tolist() for row in range(2)] == [[1, 2], [4]]
    # the one who has a single interaction keeps it
    assert split.train.users.tolist().count(1) == 1


def test_a_content_consumed_before_is_not_to_be_found_again() -> None:
    split = leave_last_out(interactions([(0, 1, 1), (0, 1, 2), (1, 1, 1), (1, 2, 2)]))
    assert split.users.tolist() == [1]


def test_the_calendar_split_cuts_everybody_at_one_moment() -> None:
    rows = [(0, day + 1, day) for day in range(8)] + [(1, 20, 0), (1, 21, 9)]
    split = temporal(interactions(rows), share=0.8)
    assert split.train.moments.max() < split.cuts.min()
    assert len(set(split.cuts.tolist())) == 1
    assert split.users.tolist() == [0, 1]
    assert [items.tolist() for items in split.relevant] == [[8], [21]]


def test_what_was_given_up_is_not_to_be_found_unless_it_was_consumed_on_another_day() -> None:
    rows = [(0, 1, 1), (0, 2, 2), (1, 1, 1), (1, 3, 2), (1, 3, 3), (2, 1, 1), (2, 4, 2)]
    data = interactions(rows)
    completions = np.array([0.9 if item == 1 else {2: 0.02, 3: 0.01, 4: np.nan}[item] for item in data.items])
    again = (data.users == 1) & (data.moments == 3 * DAY)
    data = replace(data, completions=np.where(again, 0.8, completions).astype(np.float32))
    split = Split(
        "temporal", data.until(DAY)[0], np.arange(3), np.full(3, DAY + 1), columns.nowhere(3),
        [np.array([2]), np.array([3]), np.array([4])],
    )  # fmt: skip
    left = without_given_up(split, data, 0.1)
    assert left.users.tolist() == [1, 2]
    assert [items.tolist() for items in left.relevant] == [[3], [4]]
    assert without_given_up(split, data, 0.0) is split
    assert data.not_given_up(0.1).items.tolist() == [1, 1, 1, 4, 3]


@given(_ROWS)
def test_no_split_leaks_what_has_to_be_found(rows: list[tuple[int, int, int]]) -> None:
    data = interactions(rows, user_count=6)
    for split in (leave_last_out(data), temporal(data)):
        _assert_no_leak(split, data)


def _assert_no_leak(split: Split, data: object) -> None:
    histories = split.histories()
    for row, (user, cut, relevant) in enumerate(zip(split.users, split.cuts, split.relevant, strict=True)):
        assert len(relevant)
        assert not np.isin(relevant, histories.items_of(row)).any()
        assert (split.train.moments[split.train.users == user] <= cut).all()


@given(_ROWS)
def test_histories_hold_every_interaction_oldest_first(rows: list[tuple[int, int, int]]) -> None:
    data = interactions(rows, user_count=6)
    histories = data.histories()
    assert len(histories) == 6
    for user in range(6):
        assert histories.items_of(user).tolist() == data.items[data.users == user].tolist()


def test_what_is_not_out_yet_is_shown_to_nobody() -> None:
    contents = replace(columns.contents(3), published=np.array([UNKNOWN, 2 * DAY, UNKNOWN, 9 * DAY]))
    shown = contents.showable_at(np.array([1 * DAY, 2 * DAY + 1, 10 * DAY]))
    assert shown.tolist() == [[False, False, True, False], [False, True, True, False], [False, True, True, True]]
    assert contents.ages_at(np.array([3 * DAY])).tolist() == [[np.inf, 1.0, np.inf, -6.0]]


def test_what_was_consumed_before_its_date_came_out_then() -> None:
    contents = replace(columns.contents(3), published=np.array([UNKNOWN, 5 * DAY, 5 * DAY, UNKNOWN]))
    log = interactions([(0, 1, 2), (1, 1, 3), (0, 2, 7), (0, 3, 1)])
    assert contents.out_when_consumed(log).published.tolist() == [UNKNOWN, 2 * DAY, 5 * DAY, UNKNOWN]
