"""Who consumed what, in columns: histories by subscriber, windows cut from them, and rows packed from windows.

In: interactions ordered by time. Out: rows of a fixed width in which windows stand side by side, so that next to
nothing of a batch is padding, whatever the histories' lengths are.

Legend: M interactions, U subscribers, V windows, R rows of W places, F properties of a subscriber.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Items = NDArray[np.int32]
Floats = NDArray[np.float32]
Devices = NDArray[np.int8]

SECOND = 10**9


@dataclass(frozen=True)
class Histories:
    """Interactions of U subscribers, oldest first: those of subscriber u are at places bounds[u] to bounds[u + 1].

    Attributes:
        items: (M,) item numbers.
        moments: (M,) nanoseconds since 1970.
        completions: (M,) share of the content that was consumed, 0 to 1; NaN where nobody knows.
        devices: (M,) on what, as `feature_repo.tower_inputs` numbers devices.
        bounds: (U + 1,)
        profiles: (U, F) codes of what else is known of each, as `feature_repo.profile_codes` has them.
    """

    items: Items
    moments: Ints
    completions: Floats
    devices: Devices
    bounds: Ints
    profiles: Ints

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> Ints:
        """How many interactions each has.  # (U,)"""
        return np.diff(self.bounds)

    def items_of(self, row: int) -> Items:
        return self.items[self.bounds[row] : self.bounds[row + 1]]

    def before(self, row: int, moment: int) -> Items:
        """What one subscriber, of a number that may be that of none, consumed before `moment` (nanoseconds)."""
        if not 0 <= row < len(self):
            return self.items[:0]
        low, high = self.bounds[row], self.bounds[row + 1]
        return self.items[low : low + int(np.searchsorted(self.moments[low:high], moment, side="left"))]

    def rows(self) -> Ints:
        """Whose each interaction is.  # (M,)"""
        return np.repeat(np.arange(len(self)), self.lengths)

    def at(self, rows: Ints) -> Self:
        """Those of `rows`, in that order."""
        return self._pieces(rows, self.bounds[rows], self.lengths[rows])

    def before_each(self, rows: Ints, moments: Ints) -> Self:
        """Those of `rows`, in that order, each up to before its moment.  # (E,), (E,) nanoseconds"""
        lengths = np.array([len(self.before(row, moment)) for row, moment in zip(rows, moments, strict=True)])
        return self._pieces(rows, self.bounds[rows], lengths.astype(np.int64))

    def renumbered(self, number_of: Ints) -> Self:
        """The same with other item numbers, without the items that have none.  # (N + 1,), 0 where none"""
        items = number_of[self.items].astype(np.int32)
        kept = items > 0
        before = np.concatenate([[0], np.cumsum(kept)])
        return type(self)(
            items[kept],
            self.moments[kept],
            self.completions[kept],
            self.devices[kept],
            before[self.bounds],
            self.profiles,
        )

    def newest(self, count: int) -> Self:
        """The `count` newest of each."""
        kept = np.minimum(self.lengths, count)
        return self._pieces(np.arange(len(self)), self.bounds[1:] - kept, kept)

    def _pieces(self, rows: Ints, starts: Ints, lengths: Ints) -> Self:
        """Of each of `rows` what stands at `lengths` places from `starts` on."""
        places = _ranges(starts, lengths)
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        return type(self)(
            self.items[places],
            self.moments[places],
            self.completions[places],
            self.devices[places],
            bounds,
            self.profiles[rows],
        )


@dataclass(frozen=True)
class Windows:
    """V pieces of histories: `lengths` targets each from `starts` on."""

    starts: Ints
    lengths: Ints


@dataclass(frozen=True)
class Rows:
    """R packed rows of W places. A window takes a place for its beginning and one for each of its items but the last.

    Attributes:
        items: (R, W) what was consumed there; 0 at a window's beginning and where no window is.
        segments: (R, W) which window of the row a place belongs to, -1 where none is.
        moments: (R, W) seconds since 1970 of the interaction there; at a beginning that of the first target.
        completions: (R, W) NaN where nobody knows, and at beginnings.
        targets: (R, W) what was consumed next; 0 where no window is.
        asked: (R, W) seconds since 1970 of the target.
        devices: (R, W) of the target.
        target_completions: (R, W)
        profiles: (R, W, F) whose window begins there; 0 elsewhere.
    """

    items: Ints
    segments: Ints
    moments: Ints
    completions: Floats
    targets: Ints
    asked: Ints
    devices: Ints
    target_completions: Floats
    profiles: Ints


def windows(histories: Histories, length: int, generator: np.random.Generator) -> Windows:
    """Every interaction as the target of one window of at most `length`; where long histories are cut is drawn anew.

    The newest window of a history is whole where the history allows it, for it is the one that is asked about.
    """
    counts = histories.lengths
    there = np.flatnonzero(counts)
    count = counts[there]
    # the newest has `length`; the next one a length that is drawn, so that the cuts behind it lie elsewhere each time
    newest = np.minimum(count, length)
    left = count - newest
    second = np.minimum(left, generator.integers(max(length // 2, 1), length + 1, len(left)))
    left = left - second
    older = -(-left // length)
    pieces_of = (newest > 0).astype(np.int64) + (second > 0) + older
    begins_of = np.repeat(histories.bounds[there], pieces_of)
    place = _ranges(np.zeros(len(there), dtype=np.int64), pieces_of)  # 0 is the newest piece
    row = np.repeat(np.arange(len(there)), pieces_of)
    stops = np.where(
        place == 0,
        count[row],
        np.where(place == 1, left[row] + second[row], left[row] - (place - 2) * length),
    )
    begins = np.where(
        place == 0, count[row] - newest[row], np.where(place == 1, left[row], np.maximum(stops - length, 0))
    )
    return Windows(begins_of + begins, stops - begins)


def packed(lengths: Ints, width: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """A row and a first place in it for each window, rows in random order.  # (V,) -> (V,), (V,)

    Best fit over the histogram of lengths, longest first (Krell et al. 2021, "Efficient sequence packing without
    cross-contamination"): with lengths of at most `width` the steps are few, however many windows there are.
    """
    order = generator.permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]
    row_of, place_of = np.empty(len(lengths), dtype=np.int64), np.empty(len(lengths), dtype=np.int64)
    # rows with `room` places left, by room
    open_rows: list[Ints] = [np.empty(0, dtype=np.int64) for _ in range(width + 1)]
    row_count = 0
    sizes, firsts = np.unique(-lengths[order], return_index=True)
    for size, chosen in zip((-sizes).tolist(), np.split(order, firsts[1:]), strict=True):
        waiting = chosen
        for room in range(size, width + 1):
            while len(waiting) and len(open_rows[room]):
                count = min(len(waiting), len(open_rows[room]))
                taken, open_rows[room] = open_rows[room][:count], open_rows[room][count:]
                row_of[waiting[:count]], place_of[waiting[:count]] = taken, width - room
                open_rows[room - size] = np.concatenate([open_rows[room - size], taken])
                waiting = waiting[count:]
        if len(waiting):
            fit = width // size
            new = -(-len(waiting) // fit)
            index = np.arange(len(waiting))
            row_of[waiting], place_of[waiting] = row_count + index // fit, index % fit * size
            used = np.bincount(index // fit, minlength=new) * size
            for taken_width in np.unique(used).tolist():
                rows = row_count + np.flatnonzero(used == taken_width)
                open_rows[width - taken_width] = np.concatenate([open_rows[width - taken_width], rows])
            row_count += new
    return generator.permutation(row_count)[row_of], place_of


def filled(histories: Histories, chosen: Windows, rows: Ints, places: Ints, row_count: int, width: int) -> Rows:
    """The rows that hold `chosen`, each at its row and place.  # rows, places (V,)"""
    sizes = chosen.lengths
    at = _ranges(rows * width + places, sizes)
    target = _ranges(chosen.starts, sizes)
    is_first = np.zeros(len(at), dtype=bool)
    is_first[np.cumsum(sizes) - sizes] = True
    before = target - ~is_first

    def laid(values: NDArray, empty: float) -> NDArray:  # type: ignore[type-arg]
        flat = np.full((row_count * width, *values.shape[1:]), empty, dtype=values.dtype)
        flat[at] = values
        return flat.reshape(row_count, width, *values.shape[1:])

    seconds = histories.moments[target] // SECOND
    whose = np.searchsorted(histories.bounds, chosen.starts, side="right") - 1
    profiles = np.zeros((len(at), histories.profiles.shape[1]), dtype=np.int64)
    profiles[is_first] = histories.profiles[whose]
    return Rows(
        items=laid(np.where(is_first, 0, histories.items[before]).astype(np.int64), 0),
        segments=laid(np.repeat(np.arange(len(sizes)), sizes), -1),
        moments=laid(histories.moments[before] // SECOND, 0),
        completions=laid(np.where(is_first, np.float32(np.nan), histories.completions[before]), np.nan),
        targets=laid(histories.items[target].astype(np.int64), 0),
        asked=laid(seconds, 0),
        devices=laid(histories.devices[target].astype(np.int64), 0),
        target_completions=laid(histories.completions[target], np.nan),
        profiles=laid(profiles, 0),
    )


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """starts[i], starts[i] + 1, ... of lengths[i] each, one after another."""
    there = lengths > 0
    starts, lengths = starts[there], lengths[there]
    if not len(lengths):
        return np.empty(0, dtype=np.int64)
    # the sum of steps, made in place: of one, but for where the next begins
    steps = np.ones(int(lengths.sum()), dtype=np.int64)
    steps[0] = starts[0]
    steps[np.cumsum(lengths)[:-1]] = starts[1:] - (starts[:-1] + lengths[:-1] - 1)
    return np.cumsum(steps, out=steps)
