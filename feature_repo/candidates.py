"""Which contents the re-ranker looks at: one rule, for training and for requests alike.

What the towers find near is what a subscriber like this one would take; what everybody took in the last week may be
near to nobody's past, and is what a calendar's next day holds most of; what came out just now has had no time to be
taken by anybody, and of news it is most of the next hour.

Legend: N contents, K candidates, D embedding size, W consumed in the week, G gone.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import Floats
from feature_repo.nearest import Indices, Mask, Nearest

TRENDING_SHARE = 0.5
FRESH_SHARE = 0.25
FRESH_DAYS = 7.0
_DAY_SECONDS = 86_400


def choose_candidates(similarities: Floats, week_counts: Floats, ages: NDArray[np.floating], count: int) -> Indices:
    """The `count` nearest, half as many of the week and a quarter of the newest; nearest first, each once.  # -> (K,)

    Args:
        similarities: (N + 1,) dot products of the towers; minus infinity of what may not be shown.
        week_counts: (N + 1,) how often each was consumed in the last seven days; what nobody did is no candidate for
            it.
        ages: (N + 1,) days since each was published: negative of what will be, which is no candidate; infinity where
            nobody knows.
    """
    allowed = np.isfinite(similarities) & (ages >= 0)
    nearest = _best(similarities, allowed, count)
    trending = _best(week_counts, allowed & (week_counts > 0), _trending_count(count))
    fresh = _best(-ages, allowed & (ages < FRESH_DAYS), _fresh_count(count))
    found = np.unique(np.concatenate([nearest, trending, fresh]))
    return found[np.argsort(-similarities[found], kind="stable")]


@dataclass(frozen=True, eq=False)
class SortedCatalogue:
    """A catalogue as requests choose from it, sorted once for all of them: of a large one no request has time to.

    Attributes:
        showable: (N + 1,) what is in the catalogue.
        published: (N + 1,) seconds since 1970 of each; minus infinity where nobody knows.
        trending: (W,) what of it anybody consumed in the last seven days, the most consumed first.
        oldest_first: (N + 1,) all, in the order of `published`.
    """

    showable: Mask = field(repr=False)
    published: NDArray[np.float64] = field(repr=False)
    trending: Indices = field(repr=False)
    oldest_first: Indices = field(repr=False)

    @classmethod
    def of(cls, showable: Mask, published: NDArray[np.float64], week_counts: Floats) -> Self:
        """Sort a catalogue.  # (N + 1,) each"""
        consumed = np.flatnonzero(showable & (week_counts > 0))
        trending = consumed[np.argsort(-week_counts[consumed], kind="stable")]
        return cls(showable, published, trending, np.argsort(published, kind="stable"))

    def fresh(self, moment: float) -> Indices:
        """What came out in the `FRESH_DAYS` before `moment`, in seconds since 1970, the newest first."""
        ends = [moment - FRESH_DAYS * _DAY_SECONDS, moment]
        first, last = np.searchsorted(self.published, ends, side="right", sorter=self.oldest_first)
        return self.oldest_first[first:last][::-1]


NOTHING = SortedCatalogue.of(np.zeros(1, dtype=np.bool_), np.full(1, -np.inf), np.zeros(1, dtype=np.float32))


def find_candidates(
    nearest: Nearest, query: Floats, catalogue: SortedCatalogue, gone: Indices, moment: float, count: int
) -> tuple[Indices, Floats]:
    """What `choose_candidates` chooses, for one request, with its dot products.  # (D,), (G,) -> (K,), (K,)

    Args:
        query: the subscriber's embedding.
        gone: what may not be shown to this subscriber.
        moment: of the request, in seconds since 1970.
    """
    allowed = catalogue.showable & (catalogue.published <= moment)
    allowed[gone] = False
    fresh = catalogue.fresh(moment)
    found = np.concatenate(
        [
            nearest.search(query, allowed, count),
            catalogue.trending[allowed[catalogue.trending]][: _trending_count(count)],
            fresh[allowed[fresh]][: _fresh_count(count)],
        ]
    )
    found = np.unique(found)
    similarities = nearest.products(query, found)
    order = np.argsort(-similarities, kind="stable")
    return found[order], similarities[order]


def _trending_count(count: int) -> int:
    return round(count * TRENDING_SHARE)


def _fresh_count(count: int) -> int:
    return round(count * FRESH_SHARE)


def _best(scores: NDArray[np.floating], allowed: Mask, count: int) -> Indices:
    there = np.flatnonzero(allowed)
    if len(there) <= count:
        return there
    return there[np.argpartition(-scores[there], count - 1)[:count]]
