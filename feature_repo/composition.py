"""From ranked candidates to the list that is shown: relevance, diversity, calibration, pins and caps in one pass.

In: candidates with the ranker's scores and their genres, the subscriber's taste, weights, caps and pins. Out: which
candidate stands at which place. What may not be shown at all is left out before.

Each place is given to the candidate with the highest

    (1 - d - c) * relevance - d * similarity to the most similar that stands already - c * divergence from the taste

where d and c are the weights. The first two terms are maximal marginal relevance (Carbonell and Goldstein 1998), the
third is calibration (Steck 2018): the Kullback-Leibler divergence between the genres of the history and those of the
list as it would be with the candidate. Of lists of one length it orders as the submodular sum over genres of
p(g) log sum of q(g|i) does, so that one greedy pass is near the best.

Legend: K candidates, G genres, S side features, T content types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import CONTENT_TYPES, Floats

# as in Steck (2018): a genre that a list lacks must not cost infinitely much
SMOOTHING = 0.01

Doubles = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Weights:
    """Shares of the objective that are not relevance's; both 0 leave the ranker's order."""

    diversity: float = 0.0
    calibration: float = 0.0


@dataclass(frozen=True)
class Cap:
    """At most `at_most` contents of one type among the first `of_first` places."""

    content_type: str
    at_most: int
    of_first: int


@dataclass(frozen=True, eq=False)
class Traits:
    """What is alike and unlike about K candidates.

    Attributes:
        kinds: (K,) places in CONTENT_TYPES.
        genres: (K, G) 1 where a candidate has a genre.
    """

    kinds: NDArray[np.int64]
    genres: Floats

    @classmethod
    def of(cls, genres: Floats, types: Floats) -> Self:
        """From one-hot types.  # (K, G), (K, T)"""
        return cls(types.argmax(axis=1), genres)

    def at(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self.kinds[rows], self.genres[rows])

    def unit_sides(self) -> Doubles:
        """Genres and type of each candidate as a vector of length 1.  # (K, G + T)"""
        side = np.concatenate([self.genres, np.eye(len(CONTENT_TYPES))[self.kinds]], axis=1)
        return np.asarray(side / np.linalg.norm(side, axis=1, keepdims=True), dtype=np.float64)


def genre_shares(genres: Floats) -> Doubles:
    """Each content's genres in equal shares of 1; zeros where it has none.  # (N, G) -> (N, G)"""
    totals = genres.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(genres / np.maximum(totals, 1e-9), dtype=np.float64)


def distribution(shares: Doubles) -> Doubles:
    """The genres of several contents, as shares of 1; zeros where none has any.  # (N, G) -> (G,)"""
    sums = shares.sum(axis=0)
    total = sums.sum()
    return np.asarray(sums / total if total > 0 else sums, dtype=np.float64)


def divergence(taste: Doubles, shown: Doubles) -> Doubles:
    """Kullback-Leibler divergence of lists' genres from tastes, smoothed by them: 0 is calibrated (Steck 2018).

    Args:
        taste: (..., G) shares of 1, or zeros of somebody without taste, which diverges from nothing.
        shown: (..., G)
    """
    smoothed = (1 - SMOOTHING) * shown + SMOOTHING * taste
    ratio = np.divide(taste, smoothed, out=np.ones_like(smoothed), where=taste > 0)
    return np.asarray((taste * np.log(ratio)).sum(axis=-1), dtype=np.float64)


class Room:
    """How many of each type still fit under the caps, place by place."""

    def __init__(self, caps: Sequence[Cap]) -> None:
        self._kinds = np.array([CONTENT_TYPES.index(cap.content_type) for cap in caps], dtype=np.int64)
        self._until = np.array([cap.of_first for cap in caps], dtype=np.int64)
        self._left = np.array([cap.at_most for cap in caps], dtype=np.int64)

    def is_full(self, place: int) -> NDArray[np.bool_]:
        """Which types have no room at `place`, counted from 0.  # (T,)"""
        full = np.zeros(len(CONTENT_TYPES), dtype=np.bool_)
        full[self._kinds[(self._until > place) & (self._left <= 0)]] = True
        return full

    def take(self, kind: int, place: int, count: int = 1) -> None:
        """Something of `kind` stands at `place`; a negative `count` takes it away."""
        self._left[(self._kinds == kind) & (self._until > place)] -= count


def compose(
    scores: Floats,
    traits: Traits,
    taste: Doubles,
    count: int,
    weights: Weights,
    caps: Sequence[Cap] = (),
    pins: Mapping[int, int] | None = None,
) -> Places:
    """Rows of the candidates in the order in which they are shown, at most `count`.

    Pins stand at their places, or at the end of a list that is shorter; one that would break a cap, and one whose row
    stands already, is left out. Where no candidate fits under the caps any more, the list ends.

    Args:
        scores: (K,) the ranker's, higher is better; of a row that stands only where it is pinned, minus infinity.
        taste: (G,) the genres of what the subscriber consumed, as `distribution` has them.
        pins: rows by place, counted from 0.
    """
    room = Room(caps)
    waiting = _accepted(pins or {}, traits.kinds, count, room)
    is_free = np.isfinite(scores)
    is_free[list(waiting.values())] = False
    objective = _Objective(scores, traits, taste, weights)
    chosen: list[int] = []
    while len(chosen) < count:
        place = len(chosen)
        row = waiting.pop(place, None)
        if row is None:
            values = np.where(is_free & ~room.is_full(place)[traits.kinds], objective.values(), -np.inf)
            row = int(values.argmax()) if len(values) else -1
            if row < 0 or values[row] == -np.inf:
                row = _pulled_up(waiting, traits.kinds, place, room)
                if row is None:
                    break
            else:
                room.take(int(traits.kinds[row]), place)
        is_free[row] = False
        objective.add(row)
        chosen.append(row)
    return np.array(chosen, dtype=np.int64)


class _Objective:
    """The value of each candidate for the next place; what depends on the list is renewed as it grows."""

    def __init__(self, scores: Floats, traits: Traits, taste: Doubles, weights: Weights) -> None:
        self._fixed = scores.astype(np.float64)
        if weights.diversity or weights.calibration:
            self._fixed = (1 - weights.diversity - weights.calibration) * _scaled(self._fixed)
        self._diversity, self._calibration = weights.diversity, weights.calibration
        self._count = 0
        if self._diversity:
            self._sides = traits.unit_sides()
            self._nearest = np.zeros(len(scores))
        there = taste > 0
        if not there.any():
            self._calibration = 0.0
        if self._calibration:
            self._taste = taste[there]
            # q(g|i), smoothed, over p(g): the divergence is then the mean of its logarithm alone
            shares = genre_shares(traits.genres)[:, there]
            self._ratios = (1 - SMOOTHING) * shares / self._taste + SMOOTHING  # (K, G')
            self._listed = np.zeros(len(self._taste))

    def values(self) -> Doubles:  # (K,)
        values = self._fixed
        if self._diversity:
            values = values - self._diversity * self._nearest
        if self._calibration:
            ratios = (self._listed + self._ratios) / (self._count + 1)
            values = values + self._calibration * (np.log(ratios) @ self._taste)
        return values

    def add(self, row: int) -> None:
        self._count += 1
        if self._diversity:
            np.maximum(self._nearest, self._sides @ self._sides[row], out=self._nearest)
        if self._calibration:
            self._listed = self._listed + self._ratios[row]


def _scaled(scores: Doubles) -> Doubles:
    """Scores from 0 to 1, which the other terms are measured in; what has none is 0."""
    there = np.isfinite(scores)
    if not there.any():
        return np.zeros_like(scores)
    low, high = scores[there].min(), scores[there].max()
    return np.asarray(np.where(there, scores - low, 0.0) / max(high - low, 1e-9), dtype=np.float64)


def _accepted(pins: Mapping[int, int], kinds: NDArray[np.int64], count: int, room: Room) -> dict[int, int]:
    """The pins that can stand, by place; what they take of the caps is gone for everything else."""
    accepted: dict[int, int] = {}
    for place in sorted(pins):
        row = pins[place]
        kind = int(kinds[row])
        if place < count and row not in accepted.values() and not room.is_full(place)[kind]:
            accepted[place] = row
            room.take(kind, place)
    return accepted


def _pulled_up(waiting: dict[int, int], kinds: NDArray[np.int64], place: int, room: Room) -> int | None:
    """The next pin of those whose places the list does not reach, if one fits at `place`."""
    while waiting:
        pinned = min(waiting)
        row = waiting.pop(pinned)
        kind = int(kinds[row])
        room.take(kind, pinned, -1)
        if not room.is_full(place)[kind]:
            room.take(kind, place)
            return row
    return None
