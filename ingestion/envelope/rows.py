"""Rows of a frame as values with types: columns are drawn together, and read one row at a time.

In: a frame, and a dataclass whose fields are named as the frame's columns. Out: its rows as such values, in order.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)


def rows_of(table: pd.DataFrame, row_type: type[Row]) -> list[Row]:
    """The rows of `table` as Python's own int, float, str and bool; columns without a field are left out."""
    columns = (table[field.name].tolist() for field in fields(row_type))
    return [row_type(*values) for values in zip(*columns, strict=True)]
