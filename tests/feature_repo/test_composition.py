"""Composition of a list: steps worked out by hand, and what holds of any candidates, weights, caps and pins."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.columns import CONTENT_TYPES
from feature_repo.composition import Cap, Traits, Weights, compose, distribution, divergence, genre_shares

VIDEO, ARTICLE = 0, 1
NO_TASTE = np.zeros(2)
DRAMA, COMEDY = (1.0, 0.0), (0.0, 1.0)


def traits(*genres: tuple[float, float], kinds: list[int] | None = None) -> Traits:
    return Traits(np.array(kinds or [VIDEO] * len(genres)), np.array(genres, dtype=np.float32))


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_diversity_is_paid_for_by_the_relevance_that_it_costs() -> None:
    # beside the first drama: a second one is wholly alike, a comedy shares the type, so that their cosine is a half
    two_dramas = traits(DRAMA, DRAMA, COMEDY)
    found = {
        weight: compose(scores(1.0, 0.9, 0.0), two_dramas, NO_TASTE, 3, Weights(diversity=weight)).tolist()
        # second drama: (1 - d) 0.9 - d; comedy: -d / 2; equal where d = 0.9 / 1.4 = 0.643
        for weight in (0.0, 0.64, 0.65)
    }
    assert found == {0.0: [0, 1, 2], 0.64: [0, 1, 2], 0.65: [0, 2, 1]}


def test_the_divergence_is_that_of_the_paper() -> None:
    taste = np.array([0.75, 0.25])
    assert divergence(taste, np.array([1.0, 0.0])) == pytest.approx(
        0.75 * np.log(0.75 / 0.9975) + 0.25 * np.log(0.25 / 0.0025)
    )
    shown = np.array([taste, [0.5, 0.5]])
    half = 0.75 * np.log(0.75 / 0.5025) + 0.25 * np.log(0.25 / 0.4975)
    assert divergence(taste, shown) == pytest.approx([0.0, half])
    assert divergence(NO_TASTE, np.array([1.0, 0.0])) == 0.0


def test_calibration_takes_the_lacking_genre_once_it_is_worth_the_relevance() -> None:
    # two dramas diverge by 0.9374, drama and comedy by 0.1283; equal where c / (1 - c) = 0.98 / 0.8091, c = 0.5478
    taste = np.array([0.75, 0.25])
    candidates = traits(DRAMA, DRAMA, COMEDY)
    found = {
        weight: compose(scores(1.0, 0.98, 0.0), candidates, taste, 3, Weights(calibration=weight)).tolist()
        for weight in (0.54, 0.55)
    }
    assert found == {0.54: [0, 1, 2], 0.55: [0, 2, 1]}


def test_a_calibrated_list_has_the_genres_of_the_history_in_their_shares() -> None:
    candidates = traits(*[DRAMA] * 10, *[COMEDY] * 10)
    taste = distribution(genre_shares(np.array([DRAMA] * 4 + [COMEDY], dtype=np.float32)))
    found = compose(np.linspace(1, 0, 20, dtype=np.float32), candidates, taste, 10, Weights(calibration=0.9))
    assert np.count_nonzero(found >= 10) == 2


def test_a_genre_of_several_counts_in_shares() -> None:
    shares = genre_shares(np.array([[1, 1], [0, 1], [0, 0]], dtype=np.float32))
    assert shares.tolist() == [[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]
    assert distribution(shares).tolist() == [0.25, 0.75]
    assert distribution(shares[2:]).tolist() == [0.0, 0.0]


def test_a_cap_sends_what_is_too_many_behind_the_places_that_it_speaks_of() -> None:
    kinds = [ARTICLE, ARTICLE, ARTICLE, VIDEO, VIDEO]
    candidates = traits(*[DRAMA] * 5, kinds=kinds)
    found = compose(scores(5, 4, 3, 2, 1), candidates, NO_TASTE, 5, Weights(), [Cap("article", 1, 3)])
    assert found.tolist() == [0, 3, 4, 1, 2]


def test_where_only_what_is_capped_is_left_the_list_ends() -> None:
    candidates = traits(*[DRAMA] * 4, kinds=[ARTICLE] * 3 + [VIDEO])
    found = compose(scores(4, 3, 2, 1), candidates, NO_TASTE, 4, Weights(), [Cap("article", 1, 10)])
    assert found.tolist() == [0, 3]


def test_a_cap_keeps_room_for_what_is_pinned_further_down() -> None:
    candidates = traits(*[DRAMA] * 4, kinds=[ARTICLE, VIDEO, VIDEO, ARTICLE])
    found = compose(
        scores(4, 3, 2, -np.inf), candidates, NO_TASTE, 4, Weights(), [Cap("article", 1, 3)], {2: 3}
    ).tolist()
    assert found == [1, 2, 3, 0]


def test_a_pin_beyond_a_short_list_stands_at_its_end() -> None:
    found = compose(scores(2, 1, -np.inf), traits(DRAMA, DRAMA, DRAMA), NO_TASTE, 10, Weights(), (), {7: 2})
    assert found.tolist() == [0, 1, 2]


def test_without_candidates_there_is_no_list() -> None:
    nothing = Traits(np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.float32))
    assert compose(scores(), nothing, NO_TASTE, 5, Weights(0.1, 0.1)).tolist() == []


@dataclass(frozen=True)
class _Case:
    scores: np.ndarray
    traits: Traits
    taste: np.ndarray
    count: int
    weights: Weights
    caps: list[Cap]
    pins: dict[int, int]


@st.composite
def _cases(draw: st.DrawFn) -> _Case:
    size = draw(st.integers(1, 25))
    found = st.lists(st.floats(-20, 20, width=32), min_size=size, max_size=size)
    genres = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4), min_size=size, max_size=size)
    kinds = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    diversity = draw(st.floats(0, 1))
    taste = np.array(draw(st.lists(st.integers(0, 9), min_size=4, max_size=4)), dtype=np.float64)
    cap = st.builds(Cap, st.sampled_from(CONTENT_TYPES), st.integers(0, 5), st.integers(1, 15))
    pins = draw(st.dictionaries(st.integers(0, 30), st.integers(0, size - 1), max_size=4))
    values = np.array(draw(found), dtype=np.float32)
    # some contents stand only where they are pinned
    for row in draw(st.sets(st.sampled_from(sorted(pins.values())))) if pins else ():
        values[row] = -np.inf
    return _Case(
        values,
        Traits(np.array(kinds), np.array(draw(genres), dtype=np.float32)),
        taste / taste.sum() if taste.sum() > 0 else taste,
        draw(st.integers(1, 30)),
        Weights(diversity, draw(st.floats(0, 1 - diversity))),
        draw(st.lists(cap, max_size=3)),
        pins,
    )


@given(_cases())
@settings(max_examples=60, deadline=None)
def test_whatever_is_declared_nothing_comes_twice_and_no_cap_is_broken(case: _Case) -> None:
    found = compose(case.scores, case.traits, case.taste, case.count, case.weights, case.caps, case.pins).tolist()
    assert len(found) == len(set(found)) <= case.count
    for cap in case.caps:
        kinds = case.traits.kinds[found[: cap.of_first]].tolist()
        assert kinds.count(CONTENT_TYPES.index(cap.content_type)) <= cap.at_most
    unpinned = set(found) - set(case.pins.values())
    assert np.isfinite(case.scores[list(unpinned)]).all()


@given(_cases())
@settings(max_examples=60, deadline=None)
def test_without_caps_every_candidate_stands_and_pins_stand_where_they_were_declared(case: _Case) -> None:
    found = compose(case.scores, case.traits, case.taste, case.count, case.weights, (), case.pins).tolist()
    said: dict[int, int] = {}
    for place in sorted(place for place in case.pins if place < case.count):
        if case.pins[place] not in said.values():
            said[place] = case.pins[place]
    there = set(np.flatnonzero(np.isfinite(case.scores)).tolist()) | set(said.values())
    assert len(found) == min(case.count, len(there))
    for place, row in said.items():
        # where the list is too short for its place it stands further up
        assert found.index(row) == place or (place >= len(there) and found.index(row) < place) or (
            any(other >= len(there) for other in said)
        )  # fmt: skip


@given(_cases())
@settings(max_examples=60, deadline=None)
def test_zero_weights_leave_the_order_of_the_scores(case: _Case) -> None:
    found = compose(case.scores, case.traits, case.taste, case.count, Weights())
    order = np.argsort(-case.scores, kind="stable")
    assert found.tolist() == order[np.isfinite(case.scores[order])][: case.count].tolist()


@given(_cases())
@settings(max_examples=60, deadline=None)
def test_each_place_is_given_to_the_best_by_the_formula_itself(case: _Case) -> None:
    """The objective of every candidate written out anew at every place, as it stands in the module's first lines."""
    found = compose(case.scores, case.traits, case.taste, case.count, case.weights).tolist()
    rows = np.flatnonzero(np.isfinite(case.scores)).tolist()
    values = case.scores[rows].astype(float)
    spread = max(values.max() - values.min(), 1e-9) if rows else 1.0
    sides = case.traits.unit_sides()
    shares = genre_shares(case.traits.genres)
    weights = case.weights

    def value(row: int, listed: list[int]) -> float:
        relevance = (float(case.scores[row]) - values.min()) / spread
        alike = max((float(sides[row] @ sides[other]) for other in listed), default=0.0)
        missed = float(divergence(case.taste, shares[[*listed, row]].mean(axis=0)))
        rest = 1 - weights.diversity - weights.calibration
        return rest * relevance - weights.diversity * alike - weights.calibration * missed

    for place, row in enumerate(found):
        left = [other for other in rows if other not in found[:place]]
        assert value(row, found[:place]) >= max(value(other, found[:place]) for other in left) - 1e-6
