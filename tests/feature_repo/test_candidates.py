"""What the re-ranker looks at: the nearest, the week's most consumed, the newest, and never what may not be shown."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.candidates import FRESH_DAYS, SortedCatalogue, choose_candidates, find_candidates
from feature_repo.nearest import Nearest

_HIDDEN = -np.inf
_SIMILARITIES = np.array([_HIDDEN, 0.9, 0.8, 0.7, 0.6], dtype=np.float32)
_NEVER = np.zeros(5, dtype=np.float32)
_OLD = np.full(5, 1_000.0)
_NOW = 1_772_000_000.0


def test_the_nearest_and_the_weeks_come_together_nearest_first() -> None:
    similarities = np.array([_HIDDEN, 0.9, 0.1, 0.8, 0.3, _HIDDEN, 0.2], dtype=np.float32)
    week = np.array([0, 0, 7, 9, 0, 99, 3], dtype=np.float32)
    ages = np.full(7, np.inf)
    # two nearest (1, 3), and one of the week, which is 3 already; 5 is the week's best and may not be shown
    assert choose_candidates(similarities, week, ages, 2).tolist() == [1, 3]
    # of four nearest (1, 3, 4, 6) and two of the week (3, 2), each once
    assert choose_candidates(similarities, week, ages, 4).tolist() == [1, 3, 4, 6, 2]


def test_what_nobody_consumed_in_the_week_is_no_candidate_for_it() -> None:
    assert choose_candidates(_SIMILARITIES, _NEVER, _OLD, 2).tolist() == [1, 2]


def test_the_newest_is_a_candidate_though_it_is_near_to_nobody() -> None:
    ages = np.array([0, 30.0, 30.0, 2.0, 1.0])
    # a quarter of four is one: the youngest, which is the farthest
    assert choose_candidates(_SIMILARITIES[:4], _NEVER[:4], ages[:4], 2).tolist() == [1, 2]
    assert choose_candidates(_SIMILARITIES, _NEVER, ages, 3).tolist() == [1, 2, 3, 4]


def test_what_is_out_for_longer_is_not_new() -> None:
    ages = np.array([0, 30.0, 30.0, 30.0, FRESH_DAYS])
    assert choose_candidates(_SIMILARITIES, _NEVER, ages, 3).tolist() == [1, 2, 3]


def test_what_is_not_out_yet_is_no_candidate_however_near() -> None:
    ages = np.array([0, -0.001, 0.0, 1.0, np.inf])
    assert choose_candidates(_SIMILARITIES, _NEVER + 9, ages, 4).tolist() == [2, 3, 4]


@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1, 1, width=32) | st.just(_HIDDEN), st.integers(0, 5), st.floats(-3, 30) | st.just(np.inf)
        ),
        min_size=1,
        max_size=40,
    ),
    count=st.integers(1, 12),
)
def test_nobody_better_is_left_out(rows: list[tuple[float, int, float]], count: int) -> None:
    similarities, week, ages = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    found = choose_candidates(similarities, week, ages, count)
    assert len(np.unique(found)) == len(found)
    assert np.isfinite(similarities[found]).all()
    assert (ages[found] >= 0).all()
    assert (np.diff(similarities[found]) <= 0).all()
    outside = np.setdiff1d(np.flatnonzero(np.isfinite(similarities) & (ages >= 0)), found)
    nearest = np.sort(similarities[found])[::-1][:count]
    if len(outside):
        assert len(nearest) == count
        assert similarities[outside].max() <= nearest[-1]


# shortlists hold 30 of each that is wanted, so that of so few contents an index finds all
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(16, 300), count=st.integers(10, 40))
@settings(deadline=None)
def test_the_rule_is_one_in_training_and_in_requests_with_an_index_and_without(
    seed: int, rows: int, count: int
) -> None:
    chance = np.random.default_rng(seed)
    embeddings = chance.normal(size=(rows, 6)).astype(np.float32)
    query = chance.normal(size=6).astype(np.float32)
    week = np.maximum(0, chance.permutation(rows) - rows // 2).astype(np.float32)
    # some of the future, some of this week, some of nobody knows when
    ages = np.where(chance.random(rows) < 0.2, np.inf, chance.uniform(-2, 30, rows))
    showable = chance.random(rows) < 0.8
    gone = np.flatnonzero(chance.random(rows) < 0.1)
    similarities = np.where(showable, embeddings @ query, _HIDDEN).astype(np.float32)
    similarities[gone] = _HIDDEN
    expected = choose_candidates(similarities, week, ages, count)
    catalogue = SortedCatalogue.of(showable, _NOW - ages * 86_400, week)
    for indexed_from in (0, rows + 1):
        nearest = Nearest.build(embeddings, indexed_from)
        found, products = find_candidates(nearest, query, catalogue, gone, _NOW, count)
        assert found.tolist() == expected.tolist()
        np.testing.assert_allclose(products, similarities[expected], atol=1e-5)


def test_what_came_out_within_the_week_before_is_fresh_newest_first() -> None:
    week = FRESH_DAYS * 86_400
    published = np.array([-np.inf, _NOW - 5, _NOW + 1, _NOW - week, _NOW, _NOW - week + 1])
    catalogue = SortedCatalogue.of(np.ones(6, dtype=np.bool_), published, np.zeros(6, dtype=np.float32))
    assert catalogue.fresh(_NOW).tolist() == [4, 1, 5]


def test_the_weeks_most_consumed_come_first_and_only_what_may_be_shown() -> None:
    week = np.array([9, 0, 3, 7, 3, 8], dtype=np.float32)
    showable = np.array([False, True, True, True, True, True])
    assert SortedCatalogue.of(showable, np.full(6, -np.inf), week).trending.tolist() == [5, 3, 2, 4]
