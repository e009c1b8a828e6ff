"""Anyone's Parquet files as columns: a file that lacks what is needed says so, with the remedy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marquee.errors import MarqueeError

# of a file, held as it is written at a time
_BATCH_ROWS = 2**16
# read at once of a column, so that a file of one row group is not held whole
_BUFFER_BYTES = 2**20


class ColumnFileError(MarqueeError):
    """A file cannot be read as what it is meant to be; the message names file, field, value and remedy."""


@dataclass(frozen=True)
class ColumnFile:
    """A file that has the columns that are needed, and a row.

    Attributes:
        types: of every column, by its name.
    """

    path: Path
    types: dict[str, pa.DataType]
    row_count: int

    @classmethod
    def opened(cls, path: Path, needed: Sequence[str]) -> "ColumnFile":
        """Look at what a file has, without reading it.

        Raises:
            ColumnFileError: no such file, no Parquet, a column is missing, or there are no rows.
        """
        if not path.is_file():
            raise ColumnFileError(f"{path}: there is no such file")
        with _as_parquet(path):
            metadata = pq.read_metadata(path)
            types = {field.name: field.type for field in metadata.schema.to_arrow_schema()}
        missing = [name for name in needed if name not in types]
        if missing:
            raise ColumnFileError(
                f"{path}: has no column {', '.join(missing)}, but {', '.join(types)}; rename the columns to "
                f"{', '.join(needed)}"
            )
        if not metadata.num_rows:
            raise ColumnFileError(f"{path}: has no rows")
        return cls(path, types, metadata.num_rows)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some rows of the columns `names` after others, so that what is held does not grow with the file.

        Raises:
            ColumnFileError: the file is damaged.
        """
        with _as_parquet(self.path), pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=list(names))


def read_columns(path: Path, needed: Sequence[str], also: Callable[[str], bool] = lambda _: True) -> pd.DataFrame:
    """A file's columns: those `needed`, and of the others what `also` says.

    Raises:
        ColumnFileError: no such file, no Parquet, a column is missing, or there are no rows.
    """
    names = [name for name in ColumnFile.opened(path, needed).types if name in needed or also(name)]
    with _as_parquet(path):
        frame: pd.DataFrame = pq.read_table(path, columns=names).to_pandas()
    return frame


def refuse_empty(frame: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Every value of the columns `names` is there.

    Raises:
        ColumnFileError: one is empty.
    """
    for name in names:
        if frame[name].isna().any():
            raise empty_value(path, name, int(frame[name].isna().to_numpy().argmax()))


def first_empty(values: pa.Array) -> int | None:
    """The place of the first value that is not there."""
    is_empty = pc.is_null(values, nan_is_null=True)
    return int(pc.index(is_empty, True).as_py()) if pc.any(is_empty).as_py() else None


def empty_value(path: Path, name: str, row: int) -> ColumnFileError:
    """What is said of a value that is not there; `row` is counted from 0."""
    return ColumnFileError(f"{path}: row {row + 1}: {name} is empty; leave such rows out")


@contextmanager
def _as_parquet(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        raise ColumnFileError(f"{path}: is no Parquet file ({error})") from None
