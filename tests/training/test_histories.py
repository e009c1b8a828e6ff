"""Histories, windows and packed rows: every interaction is a target once, in its own company, and little is padding."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training.columns import DAY, histories
from training.histories import SECOND, filled, packed, windows

_LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(any)


def _numbered(lengths: list[int]) -> list[np.ndarray]:
    """Histories in which no item comes twice."""
    ends = np.cumsum(lengths)
    return [np.arange(end - length, end) + 1 for end, length in zip(ends, lengths, strict=True)]


@given(_LENGTHS, st.integers(1, 12), st.integers(0, 9))
def test_every_interaction_is_the_target_of_one_window(lengths: list[int], longest: int, seed: int) -> None:
    found = histories(_numbered(lengths))
    chosen = windows(found, longest, np.random.default_rng(seed))
    targets = [start + n for start, length in zip(chosen.starts, chosen.lengths, strict=True) for n in range(length)]
    assert sorted(targets) == list(range(sum(lengths)))
    assert (chosen.lengths >= 1).all() and (chosen.lengths <= longest).all()
    # all of a window is of one history
    assert (found.rows()[chosen.starts] == found.rows()[chosen.starts + chosen.lengths - 1]).all()
    # the newest window of each is as long as it can be
    ends = found.bounds[1:][[length > 0 for length in lengths]]
    newest = {start + length: length for start, length in zip(chosen.starts, chosen.lengths, strict=True)}
    assert all(newest[end] == min(longest, length) for end, length in zip(ends, filter(None, lengths), strict=True))


def test_where_older_windows_are_cut_changes_from_epoch_to_epoch() -> None:
    found, generator = histories([np.arange(1, 200)]), np.random.default_rng(0)
    assert len({tuple(windows(found, 20, generator).starts) for _ in range(10)}) > 3


@given(_LENGTHS, st.integers(40, 60), st.integers(0, 9))
def test_no_two_windows_share_a_place(lengths: list[int], width: int, seed: int) -> None:
    sizes = np.array([length for length in lengths if length])
    rows, places = packed(sizes, width, np.random.default_rng(seed))
    taken = [(row, place + n) for row, place, size in zip(rows, places, sizes, strict=True) for n in range(size)]
    assert len(set(taken)) == len(taken)
    assert max(place for _, place in taken) < width
    assert set(rows.tolist()) == set(range(rows.max() + 1))


def test_of_many_short_windows_next_to_nothing_is_padding() -> None:
    sizes = np.minimum(np.random.default_rng(1).geometric(0.15, 50_000), 51)
    rows, _ = packed(sizes, 51, np.random.default_rng(2))
    assert sizes.sum() / ((rows.max() + 1) * 51) > 0.99


@given(_LENGTHS, st.integers(2, 8), st.integers(0, 9))
def test_a_place_holds_what_came_just_before_its_target(lengths: list[int], width: int, seed: int) -> None:
    found = histories(_numbered(lengths))
    generator = np.random.default_rng(seed)
    chosen = windows(found, width, generator)
    row_of, place_of = packed(chosen.lengths, width, generator)
    rows = filled(found, chosen, row_of, place_of, int(row_of.max()) + 1, width)
    assert sorted(rows.targets[rows.targets > 0]) == list(range(1, sum(lengths) + 1))
    inside = rows.items > 0
    # items are numbered in the order of their histories
    assert (rows.targets[inside] == rows.items[inside] + 1).all()
    assert (rows.asked - rows.moments)[inside].tolist() == [DAY // SECOND] * int(inside.sum())
    assert (rows.segments[rows.targets == 0] == -1).all()
    beginnings = (rows.segments >= 0) & ~inside
    assert beginnings.sum() == len(chosen.starts)
    whose = found.rows()[rows.targets[rows.targets > 0] - 1]
    owner_of = dict(zip(rows.segments[rows.targets > 0].tolist(), whose.tolist(), strict=True))
    assert [owner_of[segment] for segment in rows.segments[rows.targets > 0].tolist()] == whose.tolist()


@given(_LENGTHS, st.integers(0, 9))
def test_some_of_the_histories_and_their_newest(lengths: list[int], count: int) -> None:
    sequences = _numbered(lengths)
    found = histories(sequences)
    chosen = np.arange(len(lengths))[::-2]
    some = found.at(chosen).newest(count)
    assert len(some) == len(chosen)
    for row, user in enumerate(chosen):
        assert some.items_of(row).tolist() == (sequences[user].tolist()[-count:] if count else [])
