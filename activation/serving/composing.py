"""The last step before a list is shown: one of each title, editors' pins, caps, diversity and calibration.

In: rows of the shelf that no hard rule forbids. Out: rows in the order in which they are shown. The rules are
feature_repo.list_rules, the choice of each place is feature_repo.composition.

Legend: C contents of the shelf, K candidates, G genres.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from activation.serving.artefact import Floats
from activation.serving.shelf import Bools, Ints, Shelf, first_of_each_title
from feature_repo.columns import CONTENT_TYPES
from feature_repo.composition import Doubles, Traits, Weights, compose, distribution, genre_shares
from feature_repo.list_rules import ListRules, Pin


@dataclass(frozen=True)
class Composed:
    """What is shown, in order.

    Attributes:
        rows: of the shelf.
        scores: the model's of each; None where a content was no candidate, but pinned.
        pins: by place in `rows`.
    """

    rows: Ints
    scores: list[float | None]
    pins: Mapping[int, Pin]

    @property
    def pin_reasons(self) -> dict[int, str]:
        return {place: pin.reason for place, pin in self.pins.items()}


def pins_on(
    rules: ListRules, shelf: Shelf, allowed: Bools, surface: str, now: datetime, segments: tuple[str, ...]
) -> dict[int, Pin]:
    """What editors put there, by row of the shelf: one for a place, each title once.

    Args:
        allowed: (C,) what neither a hard rule nor having been consumed forbids.
    """
    found: dict[int, Pin] = {}
    places: set[int] = set()
    titles: set[int] = set()
    for pin in rules.pins_of(surface, now, segments):
        row = shelf.row_of.get(pin.content_id)
        if row is None or not allowed[row] or pin.place in places or int(shelf.titles[row]) in titles:
            continue
        found[row] = pin
        places.add(pin.place)
        titles.add(int(shelf.titles[row]))
    return found


def personal(
    shelf: Shelf,
    genres: Floats,
    rules: ListRules,
    rows: Ints,
    scores: Floats,
    consumed: frozenset[str],
    pins: Mapping[int, Pin],
    count: int,
) -> Composed:
    """From what a model judged.

    Args:
        genres: (C, G)
        rows, scores: (K,)
        consumed: all that says what the subscriber's taste is.
    """
    taste = distribution(genre_shares(genres[shelf.rows(consumed)]))
    order = np.argsort(-scores, kind="stable")
    return _composed(shelf, genres, rules, rows[order], scores[order], taste, rules.list_weights, pins, count)


def popular(shelf: Shelf, rules: ListRules, rows: Ints, pins: Mapping[int, Pin], count: int) -> Composed:
    """From what is popular, in that order, without any score.  # rows: (K,)"""
    # no list takes more of one type than it has places, and a title that is pinned may take one away
    most = count + len(pins)
    rows = rows[first_of_each_title(shelf.titles[rows])]
    enough = [np.flatnonzero(shelf.kinds[rows] == kind)[:most] for kind in range(len(CONTENT_TYPES))]
    rows = rows[np.sort(np.concatenate(enough))]
    order = -np.arange(len(rows), dtype=np.float32)
    nothing = np.zeros((len(shelf.contents), 0), dtype=np.float32)
    found = _composed(shelf, nothing, rules, rows, order, np.zeros(0), Weights(), pins, count)
    return Composed(found.rows, [None] * len(found.rows), found.pins)


def _composed(
    shelf: Shelf,
    genres: Floats,
    rules: ListRules,
    rows: Ints,
    scores: Floats,
    taste: Doubles,
    weights: Weights,
    pins: Mapping[int, Pin],
    count: int,
) -> Composed:
    """`rows` best first, of which a title's best stands for it, unless another one of the title is pinned."""
    pins = {row: pin for row, pin in pins.items() if pin.place <= count}
    pinned = np.array(list(pins), dtype=np.int64)
    is_other = np.isin(shelf.titles[rows], shelf.titles[pinned]) & ~np.isin(rows, pinned)
    rows, scores = rows[~is_other], scores[~is_other]
    first = first_of_each_title(shelf.titles[rows])
    rows, scores = rows[first], scores[first]
    added = pinned[~np.isin(pinned, rows)]
    rows = np.concatenate([rows, added])
    scores = np.concatenate([scores, np.full(len(added), -np.inf, dtype=np.float32)])
    place_of = {int(row): place for place, row in enumerate(rows)}
    wanted = {pin.place - 1: place_of[row] for row, pin in pins.items()}
    traits = Traits(shelf.kinds[rows], genres[rows])
    chosen = compose(scores, traits, taste, count, weights, rules.list_caps, wanted)
    shown = rows[chosen]
    return Composed(
        shown,
        [score if np.isfinite(score) else None for score in scores[chosen].tolist()],
        {place: pins[row] for place, row in enumerate(shown.tolist()) if row in pins},
    )
