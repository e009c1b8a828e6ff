"""The re-ranker's inputs: one definition, for training and for requests alike.

Legend: K candidates of one request, F inputs, L contents of the recent sequence.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import CONTENT_TYPES, ContentFeatures, Floats, SubscriberFeatures

if TYPE_CHECKING:
    from torch import Tensor

Seconds = TypeVar("Seconds", int, NDArray[np.int64], "Tensor")

NAMES = (
    "retrieval_score",
    "retrieval_rank",
    "neighbour_score",
    "taste_score",
    "popularity_1d",
    "popularity_7d",
    "popularity_28d",
    "popularity",
    "trend_7d",
    "popularity_rank_7d",
    "watched_fraction",
    "freshness",
    "genre_match",
    "is_video",
    "is_article",
    "is_podcast",
    "subscriber_activity",
    "type_match",
    "daypart_type_match",
    "hours_since_last",
)
# what crosses a subscriber's habits with content and moment
CONTEXT_NAMES = ("type_match", "daypart_type_match", "hours_since_last")
# the same for all candidates of a request, so that it says nothing of their order
REQUEST_NAMES = ("hours_since_last",)
# item-kNN looks at this many of the newest contents: an old one says little about what comes next
NEIGHBOUR_WINDOW = 10
# the newest contents that say what is consumed when; ftr_subscriber__sequence holds as many
CONTEXT_WINDOW = 50
_HOUR, _DAY = 3_600, 86_400
DAYPARTS = 8
# of a subscriber without history
_LONG_AGO_HOURS = 24.0 * 365
# how many contents' worth the whole day's habit weighs beside that of one daypart
_HABIT = 4.0


def daypart(seconds: Seconds) -> Seconds:
    """Which of the DAYPARTS of a day (UTC) moments lie in, in seconds since 1970: numbers, arrays or tensors."""
    return seconds % _DAY // (_DAY // DAYPARTS)


@dataclass(frozen=True)
class Context:
    """The moment of a request, and what the subscriber consumed before it.

    Attributes:
        asked: seconds since 1970.
        consumed: (L,) when, seconds since 1970, oldest first.
        types: (L, 3) of what type, one-hot in the order of CONTENT_TYPES.
    """

    asked: int
    consumed: NDArray[np.int64]
    types: Floats

    @property
    def hours_since_last(self) -> float:
        """A year where nothing was consumed; never below 0, whatever clocks say."""
        if not len(self.consumed):
            return _LONG_AGO_HOURS
        return min(max(self.asked - int(self.consumed[-1]), 0) / _HOUR, _LONG_AGO_HOURS)

    @property
    def type_shares(self) -> Floats:
        """Share of each type in what was consumed; even where nothing was.  # (3,)"""
        if not len(self.types):
            return np.full(len(CONTENT_TYPES), 1.0 / len(CONTENT_TYPES), dtype=np.float32)
        shares: Floats = self.types.mean(axis=0, dtype=np.float64).astype(np.float32)
        return shares

    @property
    def daypart_shares(self) -> Floats:
        """The same of the part of the day (UTC) in which the request is, drawn to the whole day's.  # (3,)"""
        is_now = daypart(self.consumed) == daypart(self.asked)
        counts = self.types[is_now].sum(axis=0, dtype=np.float64)
        habit = self.type_shares
        # as a difference, so that a habit without an exception is met exactly
        shares: Floats = (habit + (counts - counts.sum() * habit) / (counts.sum() + _HABIT)).astype(np.float32)
        return shares


def ranking_inputs(
    subscriber: SubscriberFeatures,
    contents: ContentFeatures,
    retrieval_scores: Floats,
    neighbour_scores: Floats,
    taste_scores: Floats,
    context: Context,
) -> Floats:
    """The matrix (K, F) of the candidates `contents`, columns in the order of NAMES.

    Scores are taken relative to the request (standardised over its candidates): the ranker orders within a request, and
    their scale moves from one training to the next.

    Args:
        retrieval_scores: (K,) dot products of the towers.
        neighbour_scores: (K,) item-kNN scores of the recent sequence.
        taste_scores: (K,) EASE's scores of all that was consumed.
    """
    counts = np.log1p(contents.counts)  # (K, 4)
    order = np.empty(len(retrieval_scores), dtype=np.float32)
    order[np.argsort(-retrieval_scores, kind="stable")] = np.arange(len(retrieval_scores), dtype=np.float32)
    week_order = np.empty_like(order)
    week_order[np.argsort(-contents.counts[:, 1], kind="stable")] = np.arange(len(order), dtype=np.float32)
    affinity = np.zeros(contents.genres.shape[1], dtype=np.float32)
    if len(subscriber.genre_affinity) == len(affinity):
        affinity[:] = subscriber.genre_affinity
    genre_total = np.maximum(contents.genres.sum(axis=1), 1.0)
    columns = [
        _standardised(retrieval_scores),
        -np.log1p(order),
        _standardised(neighbour_scores),
        _standardised(taste_scores),
        counts[:, 0],
        counts[:, 1],
        counts[:, 2],
        counts[:, 3],
        counts[:, 1] - np.log1p(contents.counts[:, 2] / 4),
        -np.log1p(week_order),
        contents.mean_watched_fraction,
        -np.log1p(np.maximum(contents.days_since_published, 0.0)),
        (contents.genres @ affinity) / genre_total,
        contents.types[:, 0],
        contents.types[:, 1],
        contents.types[:, 2],
        np.full(len(order), np.log1p(subscriber.interaction_count), dtype=np.float32),
        contents.types @ context.type_shares,
        # what this part of the day is beyond the whole day's habit
        contents.types @ (context.daypart_shares - context.type_shares),
        np.full(len(order), np.log1p(context.hours_since_last), dtype=np.float32),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _standardised(values: Floats) -> Floats:
    spread = float(values.std())
    if spread == 0.0:
        return np.zeros_like(values, dtype=np.float32)
    return np.asarray((values - values.mean()) / spread, dtype=np.float32)
