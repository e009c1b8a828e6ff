"""Features of a log alone: counts up to the midnight before each cut, and nothing as late as the cut."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training.columns import DAY, contents, interactions, nowhere
from training.dataset import Split
from training.ranking_features import LoggedFeatures


def _split(users: list[int], cuts: list[int]) -> Split:
    log = interactions([(0, 1, 0)])
    return Split("loo", log, np.array(users), np.array(cuts), nowhere(len(users)), [np.array([1])] * len(users))


def test_counts_are_those_of_whole_days_before_the_cut() -> None:
    # item 1 on days 0, 20, 29 and 30; item 2 on day 30 alone
    log = interactions([(0, 1, 0), (1, 1, 20), (2, 1, 29), (0, 1, 30), (1, 2, 30)])
    features = LoggedFeatures(log, contents(3))
    noon = 30 * DAY + DAY // 2
    found = features.candidates(_split([0, 0], [noon, 31 * DAY + DAY // 2]), np.array([[1, 2], [1, 2]]))
    assert found.counts.tolist() == [[1, 1, 2, 3], [0, 0, 0, 0], [1, 2, 3, 4], [1, 1, 1, 1]]
    # of the first day, item 2 is not there yet
    assert found.days_since_published.tolist() == [30, 0, 31, 1]
    assert found.content_ids == ("c1", "c2", "c1", "c2")


def test_a_subscriber_is_known_by_what_came_before_the_cut() -> None:
    catalogue = contents(3, side_size=5)
    log = interactions([(0, 1, 1), (1, 3, 1), (0, 2, 2), (0, 3, 3)])
    features = LoggedFeatures(log, catalogue)
    before, after, nobody = features.subscribers(_split([0, 0, 1], [3 * DAY, 3 * DAY + 1, 0]))
    assert (before.interaction_count, after.interaction_count, nobody.interaction_count) == (2, 3, 0)
    # genres are the side features before the three of type
    np.testing.assert_allclose(before.genre_affinity, catalogue.side[[1, 2], :2].mean(axis=0), rtol=1e-6)
    assert nobody.genre_affinity == ()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, 40 * 24)), min_size=1, max_size=60),
    st.lists(st.integers(0, 41 * 24), min_size=1, max_size=6),
    st.sampled_from([1, 24]),
)
def test_counts_are_those_that_counting_anew_gives(
    rows: list[tuple[int, int, int]], cuts: list[int], every: int
) -> None:
    """Hours in place of days: whatever the order of the cuts, and whenever counts are made anew."""
    hour = DAY // 24
    in_hours = interactions(rows, user_count=4)
    log = replace(in_hours, moments=in_hours.moments // 24)
    moments = np.array(cuts) * hour + hour // 2
    split = Split(
        "loo", log, np.zeros(len(cuts), dtype=np.int64), moments, nowhere(len(cuts)), [np.array([1])] * len(cuts)
    )
    found = LoggedFeatures(log, contents(4), every * hour).candidates(split, np.tile([1, 2, 3, 4], (len(cuts), 1)))
    ends = moments // (every * hour) * (every * hour)
    expected = [
        [
            ((log.items == item) & (log.moments < end) & (log.moments >= end - days * DAY)).sum()
            for days in (1, 7, 28, 99)
        ]
        for end in ends
        for item in (1, 2, 3, 4)
    ]
    assert found.counts.tolist() == expected
