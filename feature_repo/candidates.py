"""Which contents the re-ranker looks at: one rule, for training and for requests alike.

What the towers find near is what a subscriber like this one would take; what everybody took in the last week may be
near to nobody's past, and is what a calendar's next day holds most of.

Legend: N contents, K candidates.
"""

import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import Floats

TRENDING_SHARE = 0.5


def choose_candidates(similarities: Floats, week_counts: Floats, count: int) -> NDArray[np.int64]:
    """The `count` nearest and half as many of the week, nearest first, each once.  # (N + 1,), (N + 1,) -> (K,)

    Args:
        similarities: dot products of the towers; minus infinity of what may not be shown.
        week_counts: how often each was consumed in the last seven days; what nobody did is no candidate for it.
    """
    allowed = np.isfinite(similarities)
    nearest = _best(similarities, allowed, count)
    trending = _best(week_counts, allowed & (week_counts > 0), round(count * TRENDING_SHARE))
    found = np.union1d(nearest, trending)
    return found[np.argsort(-similarities[found], kind="stable")]


def _best(scores: Floats, allowed: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    there = np.flatnonzero(allowed)
    if len(there) <= count:
        return there
    return there[np.argpartition(-scores[there], count - 1)[:count]]
