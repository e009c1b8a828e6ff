"""How a source hands over what it has: the whole each time, or what changed since.

Each connector declares one of the two; the loads, the inventory and the documentation read it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True)
class Snapshot:
    """Every file is a whole export: a record that it lacks is gone.

    Attributes:
        largest_loss: share of the living records that a file may lack; one that lacks more is held as truncated.
    """

    largest_loss: float = 0.3

    kind: Literal["snapshot"] = "snapshot"


@dataclass(frozen=True)
class Feed:
    """Files hold what changed (`incremental`) or what happened (`events`) since the one before.

    Attributes:
        overlap: how far behind the watermark a row of a file that was read before can still be new. A file that was
            never read is taken whole, however old its rows are.
    """

    kind: Literal["incremental", "events"]
    overlap: timedelta


Handover = Snapshot | Feed
