"""Which contents the re-ranker looks at: one rule, for training and for requests alike.

What the towers find near is what a subscriber like this one would take; what everybody took in the last week may be
near to nobody's past, and is what a calendar's next day holds most of; what came out just now has had no time to be
taken by anybody, and of news it is most of the next hour.

Legend: N contents, K candidates.
"""

import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import Floats

TRENDING_SHARE = 0.5
FRESH_SHARE = 0.25
FRESH_DAYS = 7.0


def choose_candidates(
    similarities: Floats, week_counts: Floats, ages: NDArray[np.floating], count: int
) -> NDArray[np.int64]:
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
    trending = _best(week_counts, allowed & (week_counts > 0), round(count * TRENDING_SHARE))
    fresh = _best(-ages, allowed & (ages < FRESH_DAYS), round(count * FRESH_SHARE))
    found = np.unique(np.concatenate([nearest, trending, fresh]))
    return found[np.argsort(-similarities[found], kind="stable")]


def _best(scores: NDArray[np.floating], allowed: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    there = np.flatnonzero(allowed)
    if len(there) <= count:
        return there
    return there[np.argpartition(-scores[there], count - 1)[:count]]
