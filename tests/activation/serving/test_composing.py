"""Whatever catalogue, viewer, rules and pins: no list shows what a hard rule forbids, nor a title twice."""

from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from activation.serving.catalogue import Catalogue, Content
from activation.serving.composing import personal, pins_on, popular
from activation.serving.shelf import Shelf, Viewer
from feature_repo.columns import CONTENT_TYPES
from feature_repo.list_rules import NO_LIMIT, ListRules
from tests.activation.serving.world import NOW

_AGES = {"G": 0, "PG": 8, "R": 17}
_MOMENTS = st.none() | st.integers(-2, 2).map(lambda hours: NOW + timedelta(hours=hours))


@st.composite
def _contents(draw: st.DrawFn) -> tuple[Content, ...]:
    return tuple(
        Content(
            content_id=f"c{number}",
            content_type=draw(st.sampled_from(CONTENT_TYPES)),
            title=draw(st.sampled_from("ABCDEF")) if draw(st.booleans()) else f"Title {number}",
            genres=(),
            release_year=None,
            duration_minutes=None,
            published_at=draw(_MOMENTS),
            is_simulated=False,
            maturity_rating=draw(st.sampled_from([None, "X", *_AGES])),
            available_from=draw(_MOMENTS),
            available_until=draw(_MOMENTS),
            licensed_countries=tuple(draw(st.lists(st.sampled_from(["DE", "AT"]), max_size=2, unique=True))),
            interaction_count_7d=0,
        )
        for number in range(draw(st.integers(1, 20)))
    )


_VIEWERS = st.builds(
    Viewer,
    country=st.sampled_from([None, "DE", "FR"]),
    age_limit=st.sampled_from([0, 8, 16, NO_LIMIT]),
    shows_unrated=st.booleans(),
)
_RULES = st.builds(
    lambda pins, caps, diversity, calibration: ListRules.model_validate(
        {
            "weights": {"diversity": diversity, "calibration": calibration},
            "caps": [{"content_type": kind, "at_most": most, "of_first": first} for kind, most, first in caps],
            "pins": [
                {"content_id": f"c{number}", "place": place, "surfaces": ["homepage"],
                 "from": NOW - timedelta(hours=1), "until": NOW + timedelta(hours=1)}
                for place, number in pins.items()
            ],
        }
    ),
    st.dictionaries(st.integers(1, 12), st.integers(0, 25), max_size=4),
    st.lists(st.tuples(st.sampled_from(CONTENT_TYPES), st.integers(0, 3), st.integers(1, 12)), max_size=2),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)  # fmt: skip


def _is_forbidden(content: Content, viewer: Viewer) -> bool:
    """Each rule once more, for one content."""
    age = _AGES.get(content.maturity_rating or "")
    is_mature = viewer.age_limit < NO_LIMIT and (not viewer.shows_unrated if age is None else age > viewer.age_limit)
    return (
        (content.available_from is not None and content.available_from > NOW)
        or (content.published_at is not None and content.published_at > NOW)
        or (content.available_until is not None and content.available_until <= NOW)
        or (bool(content.licensed_countries) and viewer.country not in content.licensed_countries)
        or is_mature
    )


@given(_contents(), _VIEWERS, _RULES, st.integers(1, 15), st.data())
@settings(max_examples=150, deadline=None)
def test_no_hard_rule_is_ever_broken(
    contents: tuple[Content, ...], viewer: Viewer, rules: ListRules, count: int, data: st.DataObject
) -> None:
    shelf = Shelf.of(Catalogue(contents), _AGES)
    allowed = shelf.allowed(viewer, NOW)
    assert allowed.tolist() == [not _is_forbidden(content, viewer) for content in contents]
    consumed = frozenset(data.draw(st.sets(st.sampled_from([content.content_id for content in contents]))))
    allowed[shelf.rows(consumed)] = False
    pins = pins_on(rules, shelf, allowed, "homepage", NOW, ())
    rows = np.array(data.draw(st.permutations(np.flatnonzero(allowed).tolist())), dtype=np.int64)
    scores = np.array(data.draw(st.lists(st.floats(-5, 5, width=32), min_size=len(rows), max_size=len(rows))))
    genres = np.eye(4, dtype=np.float32)[np.arange(len(contents)) % 4]
    for found in (
        personal(shelf, genres, rules, rows, scores.astype(np.float32), consumed, pins, count),
        popular(shelf, rules, rows, pins, count),
    ):
        shown = [contents[row] for row in found.rows]
        assert not any(_is_forbidden(content, viewer) or content.content_id in consumed for content in shown)
        titles = [content.title for content in shown]
        assert len(titles) == len(set(titles)) <= count
        for cap in rules.caps:
            assert [one.content_type for one in shown[: cap.of_first]].count(cap.content_type) <= cap.at_most
        for place, pin in found.pins.items():
            assert shown[place].content_id == pin.content_id
            assert place <= pin.place - 1
        if not rules.caps:
            most = len({content.title for row, content in enumerate(contents) if allowed[row]})
            assert len(shown) == min(count, most)
            wanted = {pin.place - 1 for pin in pins.values() if pin.place <= count}
            # a list that is too short for one of them has it further up
            if all(place < most for place in wanted):
                assert {place for place, pin in found.pins.items() if place == pin.place - 1} == wanted
