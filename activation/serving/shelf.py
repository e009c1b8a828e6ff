"""The catalogue in columns: what may be shown to whom at a moment, for all contents at once.

In: a catalogue and the ages of its ratings. Out: masks over its contents.

Legend: C contents, in the order of the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray

from activation.serving.catalogue import Catalogue, Content, title_key
from feature_repo.columns import CONTENT_TYPES
from feature_repo.list_rules import NO_LIMIT

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNRATED = -1


@dataclass(frozen=True)
class Viewer:
    """What the hard rules ask of whoever looks.

    Attributes:
        country: where they are; None where nobody knows, which is no country that anything is licensed for.
        age_limit: up to which age ratings may be shown.
    """

    country: str | None = None
    age_limit: int = NO_LIMIT
    shows_unrated: bool = False


@dataclass(frozen=True, eq=False)
class Shelf:
    """Columns of C contents.

    Attributes:
        titles: (C,) a number for each title as a reader sees it.
        kinds: (C,) places in CONTENT_TYPES.
        opens, closes: (C,) microseconds since 1970: from when it is out and licensed, and until just before when.
        ages: (C,) that the rating is for, -1 without a known one.
        licensed_in: (C,) by country, of the contents that are licensed for some countries alone.
        is_licensed_everywhere: (C,)
    """

    contents: tuple[Content, ...] = field(repr=False)
    row_of: dict[str, int] = field(repr=False)
    titles: Ints = field(repr=False)
    kinds: Ints = field(repr=False)
    opens: Ints = field(repr=False)
    closes: Ints = field(repr=False)
    ages: Ints = field(repr=False)
    licensed_in: dict[str, Bools] = field(repr=False)
    is_licensed_everywhere: Bools = field(repr=False)

    @classmethod
    def of(cls, catalogue: Catalogue, ages: Mapping[str, int]) -> Self:
        contents = catalogue.contents
        numbers: dict[str, int] = {}
        licensed_in: dict[str, Bools] = {}
        for row, content in enumerate(contents):
            for country in content.licensed_countries:
                licensed_in.setdefault(country, np.zeros(len(contents), dtype=np.bool_))[row] = True

        def column(values: list[int]) -> Ints:
            return np.array(values, dtype=np.int64)

        ends = np.iinfo(np.int64)
        return cls(
            contents=contents,
            row_of={content.content_id: row for row, content in enumerate(contents)},
            titles=column([numbers.setdefault(title_key(content.title), len(numbers)) for content in contents]),
            kinds=column([CONTENT_TYPES.index(content.content_type) for content in contents]),
            opens=column(
                [
                    max(_micros(content.available_from, ends.min), _micros(content.published_at, ends.min))
                    for content in contents
                ]
            ),
            closes=column([_micros(content.available_until, ends.max) for content in contents]),
            ages=column([ages.get(content.maturity_rating or "", _UNRATED) for content in contents]),
            licensed_in=licensed_in,
            is_licensed_everywhere=np.array([not content.licensed_countries for content in contents], dtype=np.bool_),
        )

    def allowed(self, viewer: Viewer, now: datetime) -> Bools:
        """Which contents no hard rule forbids: out, licensed now and there, and not too mature.  # (C,)"""
        moment = _micros(now, 0)
        allowed = (self.opens <= moment) & (moment < self.closes)
        here = self.licensed_in.get(viewer.country or "")
        allowed &= self.is_licensed_everywhere if here is None else self.is_licensed_everywhere | here
        if viewer.age_limit < NO_LIMIT:
            is_rated = self.ages != _UNRATED
            allowed &= (is_rated & (self.ages <= viewer.age_limit)) | (~is_rated & viewer.shows_unrated)
        return allowed

    def rows(self, content_ids: frozenset[str]) -> Ints:
        """Where the contents stand that are there at all."""
        return np.array([self.row_of[name] for name in content_ids if name in self.row_of], dtype=np.int64)


def first_of_each_title(titles: Ints) -> Ints:
    """Places at which a title stands for the first time, in order.  # (K,) -> (K',)"""
    _, first = np.unique(titles, return_index=True)
    return np.sort(first)


def _micros(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else (moment - _EPOCH) // _MICROSECOND
