"""Ids of any kind as dense numbers in the order of the ids, while they come in batches.

In: Arrow arrays, one after another. Out: the ids that were there, each once, and 32 bits an entry; no id is held more
often than it takes to know it again.

Legend: M entries, U ids.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from training.histories import Items

# of batches' own ids, held before they are taken together, or as many as are known where these are more: each id is
# looked up a few times, however many batches there are
_WAITING_IDS = 2**20
_ENTRIES_AT_ONCE = 2**20


class IdNumbers:
    """Numbers of `count` ids; those of a batch are its own until it is taken together with the others."""

    def __init__(self, count: int) -> None:
        self._numbers: Items = np.empty(count, dtype=np.int32)
        self._known: list[pa.Array] = []
        # ids of batches, and where the entries of each begin and end
        self._waiting: list[tuple[pa.Array, int, int]] = []
        self._end = 0

    def add(self, ids: pa.Array) -> None:
        """Take the next ids in, none of which is empty."""
        encoded = _plain(ids).dictionary_encode()
        begin, self._end = self._end, self._end + len(ids)
        self._numbers[begin : self._end] = encoded.indices.to_numpy()
        self._waiting.append((encoded.dictionary, begin, self._end))
        if sum(len(waiting) for waiting, *_ in self._waiting) > max(_WAITING_IDS, *map(len, self._known), 0):
            self._take_together()

    def sorted(self) -> tuple[np.ndarray, Items]:
        """The ids in their order, and the number of each entry.  # (U,), (M,)"""
        if self._waiting:
            self._take_together()
        (known,) = self._known
        numbers, ids = pd.factorize(known.to_pandas().to_numpy(), sort=True)
        self._renumber(numbers.astype(np.int32), 0, self._end)
        return ids, self._numbers

    def _take_together(self) -> None:
        encoded = pa.concat_arrays([*self._known, *(ids for ids, *_ in self._waiting)]).dictionary_encode()
        numbers = encoded.indices.to_numpy()
        first = sum(map(len, self._known))
        for ids, begin, end in self._waiting:
            self._renumber(numbers[first : first + len(ids)], begin, end)
            first += len(ids)
        self._known, self._waiting = [encoded.dictionary], []

    def _renumber(self, numbers: Items, begin: int, end: int) -> None:
        # in pieces, since an index is copied to 64 bits
        for low in range(begin, end, _ENTRIES_AT_ONCE):
            piece = slice(low, min(low + _ENTRIES_AT_ONCE, end))
            self._numbers[piece] = numbers[self._numbers[piece]]


def _plain(ids: pa.Array) -> pa.Array:
    if isinstance(ids, pa.ExtensionArray):
        ids = ids.storage
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_decode()
    # 32 bits count no more than 2 GiB of text
    return ids.cast(pa.large_string()) if pa.types.is_string(ids.type) else ids
