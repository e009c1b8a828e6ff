"""What the subscriber tower is told of a request, and the device's number: one definition, for training and requests.

The inputs of a version are those that its manifest names: a tower of before one of them was thought of goes without it.
"""

from collections.abc import Collection, Mapping
from typing import Literal, TypeVar, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_repo.profile_codes import PROFILES

Value = TypeVar("Value")

DeviceType = Literal["web", "mobile", "connected_tv"]
DEVICE_TYPES: tuple[DeviceType, ...] = get_args(DeviceType)
# of a device that nobody names, or of a kind that is none of these
NO_DEVICE = 0

# as `ServedTower.forward` takes them
TOWER_INPUTS = ("items", "moments", "completions", "asked", "profiles", "devices")
# of a version whose manifest says nothing
_FIRST_INPUTS = TOWER_INPUTS[:4]


def device_code(device: str | None) -> int:
    """Numbers from 1 on; NO_DEVICE of any other."""
    return DEVICE_TYPES.index(device) + 1 if device in DEVICE_TYPES else NO_DEVICE


def device_codes(devices: pd.Series) -> NDArray[np.int8]:
    """The same of a column.  # (M,)"""
    named = devices.astype("category")
    # the last is that of no value
    codes = np.array([*map(device_code, named.cat.categories), NO_DEVICE], dtype=np.int8)
    return codes[named.cat.codes]


def inputs_of(named: Collection[str], files: Collection[str]) -> tuple[str, ...]:
    """The inputs of a version's tower, in their order.

    Args:
        named: what its manifest says of them, which may be nothing.
        files: of its artefact.

    Raises:
        ValueError: one of them is not known.
    """
    if unknown := sorted(set(named) - set(TOWER_INPUTS)):
        raise ValueError(
            f"its tower wants {', '.join(unknown)}, which is not known now; use the release that made it, or train "
            "again with this one"
        )
    if named:
        return tuple(named)
    return (*_FIRST_INPUTS, "profiles") if PROFILES in files else _FIRST_INPUTS


def chosen(inputs: tuple[str, ...], values: Mapping[str, Value]) -> list[Value]:
    return [values[name] for name in inputs]
