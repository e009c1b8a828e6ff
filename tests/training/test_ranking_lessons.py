"""What teaches the re-ranker leaves out what another split holds back."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.ranking_inputs import NAMES
from tests.training.columns import interactions, nowhere
from training.dataset import Split
from training.ranking_lessons import Started

_NUMBERS = st.integers(0, 6)


@given(
    st.lists(st.tuples(_NUMBERS, st.lists(st.integers(1, 9), max_size=4)), max_size=6),
    st.lists(st.tuples(_NUMBERS, st.integers(0, 12)), max_size=20),
)
def test_what_is_held_back_teaches_nothing_and_all_else_does(
    held_back: list[tuple[int, list[int]]], pairs: list[tuple[int, int]]
) -> None:
    relevant = [np.array(items, dtype=np.int64) for _, items in held_back]
    users = np.array([user for user, _ in held_back], dtype=np.int32)
    split = Split("loo", interactions([(0, 1, 0)]), users, np.zeros(len(users)), nowhere(len(users)), relevant)
    count = len(pairs)
    numbers = np.array(pairs, dtype=np.int32).reshape(count, 2)
    shares = np.arange(count, dtype=np.float32)
    started = Started(numbers[:, 0], numbers[:, 1], np.zeros((count, len(NAMES)), dtype=np.float32), shares, shares)
    plain = {(user, item) for user, items in held_back for item in items}
    expected = [number for number, pair in enumerate(pairs) if pair not in plain]
    assert started.without(split).finished.tolist() == expected


def test_what_is_held_back_takes_some_numbers_a_pair_and_no_object() -> None:
    """57 bytes, where a set of tuples takes 125."""
    count = 50_000
    relevant = np.arange(1, count + 1).reshape(-1, 10)
    users = np.arange(len(relevant))
    split = Split("loo", interactions([(0, 1, 0)]), users, users, nowhere(len(users)), list(relevant))
    started = Started(users, relevant[:, 0], np.zeros((len(users), 1), dtype=np.float32), users, users)
    tracemalloc.start()
    try:
        left = started.without(split)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not len(left.users)
    assert most < 90 * count
