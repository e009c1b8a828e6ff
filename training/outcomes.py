"""What became of what a split holds back: whether a start was finished, and whether the subscriber came back after it.

In: a split, and a log that reaches past its cuts. Out: labels for the re-ranker's heads; NaN where nobody can know:
the log does not say how much was consumed, the days of waiting are not over at its end (right-censored), or the split
holds back the last of each history, after which there is nothing by construction.

Legend: R starts, E subscribers, K candidates.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from training.dataset import DAY, Bools, Interactions, Split
from training.histories import Floats, Ints
from training.ranker_config import RankerConfig

_PAIRS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Outcomes:
    """Labels of R starts.

    Attributes:
        users, items: (R,) who started what; a pair is there once.
        finished: (R,) 1 where at least the declared share was consumed, else 0.
        returned: (R,) 1 where something was consumed on a later day (UTC), within the declared days, else 0.
    """

    users: Ints
    items: Ints
    finished: Floats
    returned: Floats

    @classmethod
    def of(cls, split: Split, log: Interactions, until: int, config: RankerConfig) -> Self:
        """Of what `split` holds back.

        Args:
            log: everything that may be known, numbered as in `split`; completions are NaN where nobody knows.
            until: the moment (nanoseconds) after which nothing may be known.
        """
        held_back = pd.DataFrame(
            {
                "user": np.repeat(split.users, [len(items) for items in split.relevant]),
                "item": np.concatenate([*split.relevant, np.zeros(0, dtype=np.int64)]),
                "cut": np.repeat(split.cuts, [len(items) for items in split.relevant]),
            }
        )
        known, _ = log.until(until)
        rows = _rows_of(known, held_back["user"].to_numpy(), held_back["item"].to_numpy())
        happened = pd.DataFrame(
            {
                "user": known.users[rows].astype(np.int64),
                "item": known.items[rows].astype(np.int64),
                "moment": known.moments[rows],
                "completion": known.completions[rows],
            }
        )
        found = held_back.merge(happened, on=["user", "item"])
        found = found[found["moment"] >= found["cut"]].drop_duplicates(["user", "item"])
        completions = found["completion"].to_numpy(dtype=np.float32)
        users, moments = found["user"].to_numpy(), found["moment"].to_numpy()
        return cls(
            users,
            found["item"].to_numpy(),
            np.where(np.isnan(completions), np.nan, completions >= config.finish_share).astype(np.float32),
            _returned(known, users, moments, until, config.return_days * DAY)
            if split.protocol == "temporal"
            else np.full(len(found), np.nan, dtype=np.float32),
        )

    def at(self, users: Ints, items: Ints) -> tuple[Floats, Floats]:
        """finished and returned of each candidate, NaN where it was not started.  # (E,), (E, K) -> (E, K) twice"""
        width = int(max(self.items.max(initial=0), items.max(initial=0))) + 1
        keys = self.users * width + self.items
        order = np.argsort(keys)
        asked = users[:, None] * width + items
        places = np.minimum(np.searchsorted(keys[order], asked), max(len(keys) - 1, 0))
        if not len(keys):
            nothing = np.full(items.shape, np.nan, dtype=np.float32)
            return nothing, nothing
        is_there = keys[order][places] == asked
        finished, returned = (
            np.where(is_there, labels[order][places], np.nan).astype(np.float32)
            for labels in (self.finished, self.returned)
        )
        return finished, returned


def _rows_of(log: Interactions, users: Ints, items: Ints) -> Ints:
    """Rows of the log with a pair of user and item that is asked for.  # (R,), (R,)"""
    width = int(max(items.max(initial=0), log.items.max(initial=0))) + 1
    asked = np.unique(users * width + items)
    found = [np.empty(0, dtype=np.int64)]
    # pairs of the whole log, in 64 bits, would be as large as what they are made from
    for low in range(0, len(log.users), _PAIRS_AT_ONCE):
        piece = slice(low, low + _PAIRS_AT_ONCE)
        pairs = log.users[piece].astype(np.int64) * width + log.items[piece]
        found.append(low + np.flatnonzero(np.isin(pairs, asked)))
    return np.concatenate(found)


def _returned(log: Interactions, users: Ints, moments: Ints, until: int, wait: int) -> Floats:
    """1 or 0 for each start, NaN where `wait` nanoseconds are not over by `until`.  # (R,)"""
    histories = log.histories()
    midnights = (moments // DAY + 1) * DAY
    came_back: Bools = np.zeros(len(users), dtype=bool)
    for row, (user, midnight) in enumerate(zip(users, midnights, strict=True)):
        own = histories.moments[histories.bounds[user] : histories.bounds[user + 1]]
        place = int(np.searchsorted(own, midnight))
        came_back[row] = place < len(own) and own[place] <= moments[row] + wait
    return np.where(moments + wait <= until, came_back, np.nan).astype(np.float32)
