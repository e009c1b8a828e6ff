"""The extract of interactions that a training run hands on: rows of the warehouse to Parquet, and back.

In: marts.fct_interactions. Out: a frame with a category an id, so that an interaction holds a number where it would
hold a text; rows come from the database and go through the file some at a time.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

_IDS = ("subscriber_id", "content_id")
_NAMES = (*_IDS, "device_type")
_NAME = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    {
        "subscriber_id": _NAME,
        "content_id": _NAME,
        "occurred_at": pa.timestamp("ns", "UTC"),
        "watched_fraction": pa.float64(),
        "device_type": _NAME,
        "is_simulated": pa.bool_(),
    }
)
# held as Python's objects at a time
_BATCH_ROWS = 2**16


def read_warehouse(connection: Connection[DictRow], until: datetime) -> pd.DataFrame:
    """Interactions with consent to personalization up to `until`, in the order of time.

    # subscriber_id, content_id, device_type (categories), occurred_at (UTC), watched_fraction, is_simulated
    """
    frame: pd.DataFrame = pa.Table.from_batches(_batches(connection, until), _SCHEMA).to_pandas()
    return frame


def _batches(connection: Connection[DictRow], until: datetime) -> Iterator[pa.RecordBatch]:
    # a cursor of the server: the rows are not all here at any time
    with connection.cursor("interactions", row_factory=tuple_row) as cursor:
        cursor.execute(
            f"select {', '.join(_SCHEMA.names)} from marts.fct_interactions "
            "where has_personalization_consent and occurred_at <= %s order by occurred_at, interaction_id".encode(),
            (until,),
        )
        while rows := cursor.fetchmany(_BATCH_ROWS):
            columns = zip(*rows, strict=True)
            yield pa.record_batch(
                [_array(values, kind) for values, kind in zip(columns, _SCHEMA.types, strict=True)], schema=_SCHEMA
            )


def _array(values: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.string()).dictionary_encode() if kind == _NAME else pa.array(values, kind)


def read(path: Path) -> pd.DataFrame:
    """A file of interactions that was written from such a frame, with categories of the ids that are there."""
    frame: pd.DataFrame = pq.read_table(path, read_dictionary=list(_NAMES)).to_pandas()
    ids = {name: frame[name].astype("category").cat.remove_unused_categories() for name in _IDS}
    return frame.assign(**ids)
