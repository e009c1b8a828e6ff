"""Interactions as columns, and the two ways of splitting them.

In: marts.fct_interactions (with consent), marts.dim_content. Out: numpy columns, ordered by time; items are numbered
from 1, 0 is padding.

Legend: M interactions, N contents, U subscribers, G genres.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_repo.columns import CONTENT_TYPES

# nanoseconds
DAY = 86_400 * 10**9
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Contents:
    """The catalogue: ids (N), side features (N + 1, S) with row 0 for padding, and which items are real (N + 1)."""

    content_ids: tuple[str, ...]
    side: Floats
    is_real: Bools


@dataclass(frozen=True)
class Interactions:
    """M interactions ordered by time: subscriber number, item number, moment in nanoseconds since the epoch."""

    subscriber_ids: tuple[str, ...]
    users: Ints
    items: Ints
    moments: Ints

    def where(self, chosen: Bools) -> Self:
        """The chosen ones, numbered as before."""
        return type(self)(self.subscriber_ids, self.users[chosen], self.items[chosen], self.moments[chosen])

    def sequences(self) -> list[Ints]:
        """Each subscriber's items, oldest first; empty where there are none."""
        order = np.argsort(self.users, kind="stable")
        bounds = np.searchsorted(self.users[order], np.arange(1, len(self.subscriber_ids)))
        return np.split(self.items[order], bounds)


@dataclass(frozen=True)
class Split:
    """A training side, and what has to be found.

    Attributes:
        train: interactions before each cut.
        users: (E,) subscribers to recommend to.
        cuts: (E,) moment of each recommendation, nanoseconds.
        relevant: E arrays of items, none of them in the subscriber's training side.
    """

    protocol: str
    train: Interactions
    users: Ints
    cuts: Ints
    relevant: list[Ints]

    def histories(self) -> list[Ints]:
        """What each of the E subscribers consumed on the training side, oldest first."""
        sequences = self.train.sequences()
        return [sequences[user] for user in self.users]


def read_frames(interactions: pd.DataFrame, contents: pd.DataFrame) -> tuple[Interactions, Contents]:
    """Columns of the two extracts.

    Args:
        interactions: subscriber_id, content_id, occurred_at; in the order of time, ties in the order of events.
        contents: content_id, content_type, genre_vector, is_simulated.
    """
    contents = contents.sort_values("content_id", kind="stable").reset_index(drop=True)
    content_ids = tuple(contents["content_id"])
    number = {content_id: index + 1 for index, content_id in enumerate(content_ids)}
    users, subscriber_ids = pd.factorize(interactions["subscriber_id"], sort=True)
    genres = np.stack([np.asarray(vector, dtype=np.float32) for vector in contents["genre_vector"]])
    types = np.stack([contents["content_type"] == name for name in CONTENT_TYPES], axis=1)
    side = np.concatenate([genres, types.astype(np.float32)], axis=1)
    return (
        Interactions(
            subscriber_ids=tuple(subscriber_ids),
            users=users.astype(np.int64),
            items=interactions["content_id"].map(number).to_numpy(dtype=np.int64),
            moments=interactions["occurred_at"].dt.as_unit("ns").astype("int64").to_numpy(),
        ),
        Contents(
            content_ids=content_ids,
            side=np.concatenate([np.zeros((1, side.shape[1]), dtype=np.float32), side]),
            is_real=np.concatenate([[False], ~contents["is_simulated"].to_numpy(dtype=bool)]),
        ),
    )


def leave_last_out(interactions: Interactions, shortest: int = 2) -> Split:
    """Each subscriber's last interaction is what has to be found, by whoever has `shortest` or more."""
    positions = _positions_from_end(interactions)
    counts = np.bincount(interactions.users, minlength=len(interactions.subscriber_ids))
    is_last = (positions == 0) & (counts[interactions.users] >= shortest)
    last = interactions.where(is_last)
    order = np.argsort(last.users, kind="stable")
    return _drop_seen(
        Split(
            "loo",
            interactions.where(~is_last),
            last.users[order],
            last.moments[order],
            [np.array([item]) for item in last.items[order]],
        )
    )


def temporal(interactions: Interactions, share: float = 0.8) -> Split:
    """What lies before the moment by which `share` of the interactions happened trains; what follows is to be found."""
    cut = int(np.quantile(interactions.moments, share, method="lower"))
    is_train = interactions.moments <= cut
    train, test = interactions.where(is_train), interactions.where(~is_train)
    warm = np.intersect1d(np.unique(train.users), np.unique(test.users))
    relevant = [np.unique(test.items[test.users == user]) for user in warm]
    return _drop_seen(Split("temporal", train, warm, np.full(len(warm), cut + 1), relevant))


def _drop_seen(split: Split) -> Split:
    relevant = [np.setdiff1d(items, seen) for seen, items in zip(split.histories(), split.relevant, strict=True)]
    kept = np.array([len(items) > 0 for items in relevant], dtype=bool)
    return Split(
        split.protocol,
        split.train,
        split.users[kept],
        split.cuts[kept],
        [r for r, k in zip(relevant, kept, strict=True) if k],
    )


def _positions_from_end(interactions: Interactions) -> Ints:
    """How many interactions of the same subscriber follow each."""
    order = np.argsort(interactions.users, kind="stable")
    ordered = interactions.users[order]
    ends = np.searchsorted(ordered, ordered, side="right")
    positions = np.empty(len(order), dtype=np.int64)
    positions[order] = ends - 1 - np.arange(len(order))
    return positions
