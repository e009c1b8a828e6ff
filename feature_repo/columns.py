"""Feature values as columns: what training reads from history and a request reads online, in one shape.

Legend: N contents, G genres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CONTENT_TYPES = ("video", "article", "podcast")
_POPULARITY = "ftr_content__popularity__"
_PROFILE = "ftr_content__profile__"
_ACTIVITY = "ftr_subscriber__activity__"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SubscriberFeatures:
    """What is known of one subscriber; every default means 'nothing yet'.

    Attributes:
        recent_consumed_seconds: since 1970.
        profile: PROFILE_COLUMNS of `feature_repo.profile_codes`.
    """

    recent_content_ids: tuple[str, ...] = ()
    recent_watched_fractions: tuple[float, ...] = ()
    recent_consumed_seconds: tuple[int, ...] = ()
    has_personalization_consent: bool = False
    interaction_count_7d: float = 0.0
    interaction_count: float = 0.0
    mean_watched_fraction_28d: float = 0.5
    genre_affinity: tuple[float, ...] = ()
    profile: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ContentFeatures:
    """What is known of N contents, a column a feature.

    Attributes:
        counts: (N, 4) interactions of 1, 7 and 28 days, and ever.
        mean_watched_fraction: (N,), 0.5 where nobody consumed it.
        days_since_published: (N,)
        genres: (N, G)
        types: (N, 3) one-hot in the order of CONTENT_TYPES.
    """

    content_ids: tuple[str, ...]
    counts: Floats
    mean_watched_fraction: Floats
    days_since_published: Floats
    genres: Floats
    types: Floats
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {content_id: row for row, content_id in enumerate(self.content_ids)})

    def at(self, rows: NDArray[np.int64]) -> Self:
        """The same columns at `rows`, without their ids."""
        return type(self)(
            content_ids=(),
            counts=self.counts[rows],
            mean_watched_fraction=self.mean_watched_fraction[rows],
            days_since_published=self.days_since_published[rows],
            genres=self.genres[rows],
            types=self.types[rows],
        )

    def take(self, content_ids: Sequence[str]) -> Self:
        """The same columns for `content_ids`, in their order; one that is not known has no interactions yet."""
        rows = np.array([self._rows.get(content_id, -1) for content_id in content_ids], dtype=np.int64)
        known = rows >= 0

        def pick(column: Floats, missing: float) -> Floats:
            if not len(column):
                return np.full((len(rows), *column.shape[1:]), missing, dtype=np.float32)
            shape = (len(rows),) + (1,) * (column.ndim - 1)
            return np.where(known.reshape(shape), column[rows], np.float32(missing)).astype(np.float32)

        return type(self)(
            content_ids=tuple(content_ids),
            counts=pick(self.counts, 0.0),
            mean_watched_fraction=pick(self.mean_watched_fraction, 0.5),
            days_since_published=pick(self.days_since_published, 0.0),
            genres=pick(self.genres, 0.0),
            types=pick(self.types, 0.0),
        )


def content_features(frame: pd.DataFrame, genre_count: int) -> ContentFeatures:
    """Columns of a frame that has `content_id` and the content views' features under their full names."""

    def numbers(name: str, missing: float) -> Floats:
        return pd.to_numeric(frame[name], errors="coerce").fillna(missing).to_numpy(dtype=np.float32)

    counts = [numbers(f"{_POPULARITY}interaction_count{window}", 0.0) for window in ("_1d", "_7d", "_28d", "")]
    types = frame[f"{_PROFILE}content_type"].to_numpy()
    genres = np.zeros((len(frame), genre_count), dtype=np.float32)
    for row, vector in enumerate(frame[f"{_PROFILE}genre_vector"]):
        if vector is not None and not np.isscalar(vector) and len(vector) == genre_count:
            genres[row] = vector
    return ContentFeatures(
        content_ids=tuple(frame["content_id"]),
        counts=np.stack(counts, axis=1),
        mean_watched_fraction=numbers(f"{_POPULARITY}mean_watched_fraction", 0.5),
        days_since_published=numbers(f"{_POPULARITY}days_since_published", 0.0),
        genres=genres,
        types=np.stack([types == name for name in CONTENT_TYPES], axis=1).astype(np.float32),
    )
