"""Anyone's Parquet files as frames: a file that lacks what is needed says so, with the remedy."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from marquee.errors import MarqueeError


class ColumnFileError(MarqueeError):
    """A file cannot be read as what it is meant to be; the message names file, field, value and remedy."""


def read_columns(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """Every column of a file that has those `needed` and a row.

    Raises:
        ColumnFileError: no such file, no Parquet, a column is missing, or there are no rows.
    """
    if not path.is_file():
        raise ColumnFileError(f"{path}: there is no such file")
    try:
        there = pq.read_schema(path).names
        missing = [name for name in needed if name not in there]
        if missing:
            raise ColumnFileError(
                f"{path}: has no column {', '.join(missing)}, but {', '.join(there)}; rename the columns to "
                f"{', '.join(needed)}"
            )
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except pa.ArrowInvalid as error:
        raise ColumnFileError(f"{path}: is no Parquet file ({error})") from None
    if frame.empty:
        raise ColumnFileError(f"{path}: has no rows")
    return frame


def refuse_empty(frame: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Every value of the columns `names` is there.

    Raises:
        ColumnFileError: one is empty.
    """
    for name in names:
        if frame[name].isna().any():
            row = int(frame[name].isna().to_numpy().argmax())
            raise ColumnFileError(f"{path}: row {row + 1}: {name} is empty; leave such rows out")
