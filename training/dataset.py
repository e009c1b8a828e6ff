"""Interactions as columns, and the two ways of splitting them.

In: marts.fct_interactions (with consent), marts.dim_content. Out: numpy columns, ordered by time; items are numbered
from 1, 0 is no item.

Legend: M interactions, N contents, U subscribers, G genres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from feature_repo.columns import CONTENT_TYPES
from feature_repo.content_text import WordWeights
from feature_repo.profile_codes import ProfileCodes
from feature_repo.tower_inputs import NO_DEVICE, device_codes
from marquee.errors import MarqueeError
from training.histories import SECOND, Devices, Floats, Histories, Ints, Items

# nanoseconds
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
UNKNOWN = np.iinfo(np.int64).max
Bools = NDArray[np.bool_]


class CatalogueError(MarqueeError):
    """Interactions and catalogue do not fit together."""


@dataclass(frozen=True)
class Contents:
    """The catalogue; row 0 of every column stands for no content.

    Attributes:
        content_ids: (N,)
        side: (N + 1, S) genres, then the type, one-hot.
        words, word_weights: (N + 1, T) as `weighing` has them.
        published: (N + 1,) nanoseconds since 1970, UNKNOWN where nobody knows.
        is_real: (N + 1,) what may be learnt from real interactions and measured.
    """

    content_ids: tuple[str, ...]
    side: Floats
    words: Ints
    word_weights: Floats
    weighing: WordWeights
    published: Ints
    is_real: Bools

    def out_when_consumed(self, interactions: "Interactions") -> Self:
        """The same, but that what somebody consumed before it was published came out then."""
        first = np.full(len(self.published), UNKNOWN)
        np.minimum.at(first, interactions.items, interactions.moments)
        earlier = np.where(self.published == UNKNOWN, UNKNOWN, np.minimum(self.published, first))
        return replace(self, published=earlier)

    def ages_at(self, moments: Ints) -> Floats:
        """Days since each content was published, infinity where nobody knows.  # (E,) -> (E, N + 1)"""
        days = (moments[:, None] - self.published) / DAY
        return np.where(self.published == UNKNOWN, np.inf, days).astype(np.float32)

    def showable_at(self, moments: Ints) -> Bools:
        """What is measured and was out already.  # (E,) -> (E, N + 1)"""
        is_out = (self.published == UNKNOWN) | (self.published < moments[:, None])
        showable: Bools = self.is_real & is_out
        return showable

    @classmethod
    def of(
        cls, content_ids: tuple[str, ...], side: Floats, texts: Sequence[str], published: Ints, is_real: Bools
    ) -> Self:
        """From columns of N contents."""
        weighing = WordWeights.of(texts)
        words, weights = weighing.words_of(texts)

        def after_none(values: NDArray, none: float) -> NDArray:  # type: ignore[type-arg]
            first = np.full((1, *values.shape[1:]), none, dtype=values.dtype)
            return np.concatenate([first, values])

        return cls(
            content_ids,
            after_none(side, 0),
            after_none(words, 0),
            after_none(weights, 0),
            weighing,
            after_none(published, UNKNOWN),
            after_none(is_real, False),
        )


@dataclass(frozen=True)
class Interactions:
    """M interactions ordered by time.

    Attributes:
        subscriber_ids: (U,)
        users: (M,) subscriber numbers.
        items: (M,) item numbers.
        moments: (M,) nanoseconds since the epoch.
        completions: (M,) share of the content that was consumed; NaN where nobody knows.
        devices: (M,) on what, as `feature_repo.tower_inputs` numbers devices.
        profiles: (U, F) codes of what else is known of each subscriber, as `feature_repo.profile_codes` has them.
        profile_size: codes are below it.
    """

    subscriber_ids: tuple[str, ...]
    users: Items
    items: Items
    moments: Ints
    completions: Floats
    devices: Devices
    profiles: Ints
    profile_size: int

    def where(self, chosen: Bools | slice) -> Self:
        """The chosen ones, numbered as before; of a slice no column is copied."""
        return replace(
            self,
            users=self.users[chosen],
            items=self.items[chosen],
            moments=self.moments[chosen],
            completions=self.completions[chosen],
            devices=self.devices[chosen],
        )

    def not_given_up(self, below: float) -> Self:
        """All but those of which less than the share `below` was consumed; what nobody knows of stays."""
        return self.where(~(self.completions < below))

    def until(self, moment: int) -> tuple[Self, Self]:
        """Those up to `moment` (nanoseconds) and those after it, numbered as before; no column is copied."""
        place = int(np.searchsorted(self.moments, moment, side="right"))
        return self.where(slice(place)), self.where(slice(place, None))

    def histories(self) -> Histories:
        """Of each of the U subscribers; empty where there is nothing."""
        order, bounds = self.by_user()
        return Histories(
            self.items[order],
            self.moments[order],
            self.completions[order],
            self.devices[order],
            bounds,
            self.profiles,
        )

    def by_user(self) -> tuple[Items, Ints]:
        """Places of interactions, subscriber by subscriber and oldest first, and where those of each begin.

        # (M,), (U + 1,)
        """
        places = np.arange(len(self.users), dtype=np.int32)
        there = np.ones(len(self.users), dtype=np.int8)
        # a matrix in rows is a sort by counting: of 32 bits, and linear
        by_row = sparse.coo_matrix((there, (self.users, places)), (len(self.subscriber_ids), len(places))).tocsr()
        return by_row.indices, by_row.indptr.astype(np.int64)


@dataclass(frozen=True)
class Split:
    """A training side, and what has to be found.

    Attributes:
        train: interactions before each cut.
        users: (E,) subscribers to recommend to.
        cuts: (E,) moment of each recommendation, nanoseconds.
        devices: (E,) on what it is shown.
        relevant: E arrays of items, none of them in the subscriber's training side.
    """

    protocol: str
    train: Interactions
    users: Ints
    cuts: Ints
    devices: Devices
    relevant: list[Ints]

    def histories(self) -> Histories:
        """What each of the E subscribers consumed on the training side."""
        return self.train.histories().at(self.users)

    def wanted(self) -> tuple[Ints, Ints]:
        """Subscriber and item of everything that has to be found, subscriber by subscriber."""
        counts = [len(items) for items in self.relevant]
        items = np.concatenate([np.zeros(0, dtype=np.int64), *self.relevant]).astype(np.int64)
        return np.repeat(self.users, counts).astype(np.int64), items

    def at(self, rows: Ints) -> Self:
        """The same split for some of its subscribers."""
        return type(self)(
            self.protocol,
            self.train,
            self.users[rows],
            self.cuts[rows],
            self.devices[rows],
            [self.relevant[row] for row in rows],
        )

    def with_relevant(self, relevant: list[Ints]) -> Self:
        """The same split with other items to be found, without those who are left with none.  # E arrays"""
        kept = np.array([len(items) > 0 for items in relevant], dtype=bool)
        return replace(self, relevant=relevant).at(np.flatnonzero(kept))


def without_given_up(split: Split, log: Interactions, below: float) -> Split:
    """`split` without what was given up, of which less than `below` was consumed, among what has to be found.

    Args:
        log: interactions in which what is held back stands, with the numbers of `split`.
    """
    given_up, rest = log.where(log.completions < below), log.not_given_up(below)
    if not len(given_up.items) or not len(split.users):
        return split
    users, items = split.wanted()
    # what was given up one day and consumed on another was not given up
    is_bad = is_among(users, items, given_up.users, given_up.items) & ~is_among(users, items, rest.users, rest.items)
    bounds = np.cumsum([len(found) for found in split.relevant])[:-1]
    kept = np.split(~is_bad, bounds)
    return split.with_relevant([found[there] for found, there in zip(split.relevant, kept, strict=True)])


def is_among(users: Ints, items: Ints, other_users: Ints | Items, other_items: Ints | Items) -> Bools:
    """Which pairs of a subscriber and an item are among others.  # (S,), (S,), (M,), (M,) -> (S,)"""
    # a number for each pair
    width = max(int(items.max(initial=0)), int(other_items.max(initial=0))) + 1
    found: Bools = np.isin(users.astype(np.int64) * width + items, other_users.astype(np.int64) * width + other_items)
    return found


def read_frames(
    interactions: pd.DataFrame,
    contents: pd.DataFrame,
    profiles: pd.DataFrame | None = None,
    codes: ProfileCodes | None = None,
) -> tuple[Interactions, Contents]:
    """Columns of the two extracts.

    Args:
        interactions: subscriber_id, content_id, occurred_at, watched_fraction, device_type; in the order of time, ties
            in the order of events.
        contents: content_id, content_type, title, genre_vector, published_at, is_simulated.
        profiles: by subscriber_id, what `codes` are of; nothing is known of anybody without them.

    Raises:
        CatalogueError: a content was consumed that is not among `contents`.
    """
    codes = codes or ProfileCodes.none()
    profiles = pd.DataFrame() if profiles is None else profiles
    contents = contents.sort_values("content_id", kind="stable").reset_index(drop=True)
    content_ids = tuple(contents["content_id"])
    users, subscriber_ids = _numbered(interactions["subscriber_id"])
    items, consumed_ids = _numbered(interactions["content_id"])
    number = {content_id: index + 1 for index, content_id in enumerate(content_ids)}
    if unknown := [content_id for content_id in consumed_ids if content_id not in number]:
        raise CatalogueError(
            f"content_id {unknown[0]!r} and {len(unknown) - 1} others were consumed and are not in the catalogue; "
            "bring them into the source of contents, or build the profiles again"
        )
    genres = np.stack([np.asarray(vector, dtype=np.float32) for vector in contents["genre_vector"]])
    types = np.stack([contents["content_type"] == name for name in CONTENT_TYPES], axis=1)
    side = np.concatenate([genres, types.astype(np.float32)], axis=1)
    consumed = Interactions(
        subscriber_ids=subscriber_ids,
        users=users,
        items=np.array([number[content_id] for content_id in consumed_ids], dtype=np.int32)[items],
        moments=interactions["occurred_at"].dt.as_unit("ns").astype("int64").to_numpy(),
        # as ftr_subscriber__sequence has it
        completions=interactions["watched_fraction"].astype(np.float32).fillna(0.5).to_numpy(),
        devices=device_codes(interactions["device_type"]),
        profiles=codes.codes(profiles.reindex(list(subscriber_ids))),
        profile_size=codes.size,
    )
    catalogue = Contents.of(
        content_ids,
        side,
        contents["title"].fillna("").tolist(),
        moments_of(contents["published_at"]),
        ~contents["is_simulated"].to_numpy(dtype=bool),
    )
    return consumed, catalogue.out_when_consumed(consumed)


def _numbered(ids: pd.Series) -> tuple[Items, tuple[str, ...]]:
    """The number of each row's id, and the ids that are there in their order.  # (M,), (U,)"""
    named = ids.astype("category").cat.remove_unused_categories()
    numbers, known = pd.factorize(named.cat.categories, sort=True)
    return numbers.astype(np.int32)[named.cat.codes], tuple(known)


def moments_of(moments: pd.Series) -> Ints:
    """Nanoseconds since 1970, UNKNOWN where there is none."""
    nanoseconds = moments.dt.as_unit("ns").astype("int64").to_numpy()
    return np.where(moments.isna(), UNKNOWN, nanoseconds)


def leave_last_out(interactions: Interactions, shortest: int = 2) -> Split:
    """Each subscriber's last interaction is what has to be found, by whoever has `shortest` or more."""
    order, bounds = interactions.by_user()
    users = np.flatnonzero(np.diff(bounds) >= shortest)
    last = order[bounds[users + 1] - 1]
    is_train = np.ones(len(interactions.users), dtype=bool)
    is_train[last] = False
    return _drop_seen(
        Split(
            "loo",
            interactions.where(is_train),
            users,
            interactions.moments[last],
            interactions.devices[last],
            list(interactions.items[last].astype(np.int64).reshape(-1, 1)),
        )
    )


def temporal(interactions: Interactions, share: float = 0.8) -> Split:
    """What lies before the moment by which `share` of the interactions happened trains; what follows is to be found."""
    cut = int(interactions.moments[int((len(interactions.moments) - 1) * share)])
    train, test = interactions.until(cut)
    is_warm = np.zeros(len(interactions.subscriber_ids), dtype=bool)
    is_warm[train.users] = True
    later = test.histories()
    warm = np.flatnonzero(is_warm & (later.lengths > 0))
    relevant = [np.unique(later.items_of(user)).astype(np.int64) for user in warm.tolist()]
    # who comes when and on what is not known at the cut
    nowhere = np.full(len(warm), NO_DEVICE, dtype=np.int8)
    return _drop_seen(Split("temporal", train, warm, np.full(len(warm), cut + 1), nowhere, relevant))


def _drop_seen(split: Split) -> Split:
    seen = split.train.histories()
    return split.with_relevant(
        [
            np.setdiff1d(items, seen.items_of(user))
            for user, items in zip(split.users.tolist(), split.relevant, strict=True)
        ]
    )
