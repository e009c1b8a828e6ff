"""The staged copies of a user's files, from which an import and every later run of the ingest DAG read.

In: a staging folder (`var/imported`). Out: for each source, the loads that it takes. A row without a key of its own
gets a fingerprint of itself as key, and the n-th such row of a file another: nothing is lost, and the same file again
adds nothing.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.connectors import FILE_CONNECTORS
from ingestion.connectors.imported import IMPORT_FILES, ImportedContent, ImportedSubscriber
from ingestion.door.fields import object_of
from ingestion.loading import NOTHING_LOADED, LoadCounts, load_rows
from ingestion.raw_tables import CMS_CONTENT, CONSENT_RECORDS, ConsentRow
from ingestion.reading import read_csv, validated
from ingestion.records import Call, Record, Rejection, Row, SourceModel, json_text, shown
from ingestion.source_files import HandedFile
from marquee.errors import MarqueeError
from marquee.settings import Settings

ASSUMPTION_SOURCE = "import assumption"
OPTIONS_FILE = "options.json"

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_PURPOSES = ("personalization", "email_marketing", "advertising", "analytics")
_BATCH_ROWS = 10_000


class UnreadableFileError(MarqueeError):
    """A file is not what its name says."""


def staging_folder(settings: Settings) -> Path:
    """Where the copies of the imported files lie."""
    return settings.var_dir / "imported"


def staged_files(source: str, folder: Path) -> Iterator[HandedFile]:
    """The staged files that `source` takes; a damaged one raises UnreadableFileError while its rows are read."""
    for file in IMPORT_FILES:
        path = find_file(folder, file.name)
        if file.source == source and path is not None:
            rows = _read(path, file.model)
            if file.name == "events":
                rows = _typed_by_content(rows, folder)
            handover = FILE_CONNECTORS[source].handover
            yield HandedFile(
                # the same data as Parquet today and as CSV tomorrow
                file.name, path, source, file.table, _keyed(rows), handover, file.columns[0], is_whole=True
            )  # fmt: skip


def assumed_consents(connection: Connection[DictRow], folder: Path, now: datetime) -> LoadCounts:
    """Record consent for every staged subscriber, if the import said so; what is on record is not added again."""
    if not _is_consent_assumed(folder):
        return NOTHING_LOADED
    return load_rows(connection, ASSUMPTION_SOURCE, CONSENT_RECORDS, _assumed_consents(folder), now)


def find_file(folder: Path, name: str) -> Path | None:
    """The file called `name`, Parquet or CSV."""
    return next((path for path in (folder / f"{name}.parquet", folder / f"{name}.csv") if path.is_file()), None)


def columns_of(path: Path) -> list[str]:
    """Column names of a CSV or Parquet file.

    Raises:
        UnreadableFileError: the file is not what its name says.
    """
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [shown(name.strip()) for name in next(csv.reader(file), [])]
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise UnreadableFileError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    kind = "Parquet" if path.suffix == ".parquet" else "CSV in UTF-8"
    return f"{path.name} cannot be read as {kind} ({error}); export it again"


def _read(path: Path, model: type[SourceModel]) -> Iterator[Row]:
    if path.suffix == ".csv":
        yield from read_csv(path, model)
        return
    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in _rows(batch):
                    line += 1
                    yield validated(row, path.name, line, model)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(_unreadable(path, error)) from error


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
    names = list(batch.schema.names)
    columns = [_cells(batch.column(place)) for place in range(len(names))]
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _cells(column: pa.Array) -> list[object]:
    """Values of a column; one that Python cannot hold (a date past the year 9999) as text, for the model to refuse."""
    try:
        cells: list[object] = column.to_pylist()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        cells = [_cell(value) for value in column]
    return [_whole(value) for value in cells] if pa.types.is_floating(column.type) else cells


def _cell(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return shown(f"unreadable {value.type}")


def _whole(value: object) -> object:
    """A data frame keeps whole numbers with gaps as floats: 12.0 is the id 12, and NaN is no value."""
    if not isinstance(value, float):
        return value
    if value != value:
        return None
    return int(value) if value.is_integer() else value


def _keyed(rows: Iterator[Row]) -> Iterator[Row]:
    """Give a key to the rows that have none."""
    seen: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, Rejection) or _has_key(row):
            yield row
            continue
        fingerprint = hashlib.blake2b(repr(_fingerprinted(row)).encode("utf-8"), digest_size=12).hexdigest()
        seen[fingerprint] += 1
        key = f"{fingerprint}-{seen[fingerprint]}"
        yield replace(row, said={**row.said, "messageId": key}) if isinstance(row, Call) else Record(key, row.values)


def _has_key(row: Record | Call) -> bool:
    return row.said["messageId"] is not None if isinstance(row, Call) else bool(row.source_key)


def _fingerprinted(row: Record | Call) -> tuple[object, ...]:
    """What a row says. Of an event in the order in which it has always been fingerprinted, with the places of columns
    that an import does not fill: another order would make every event that was imported before look new.
    """
    if isinstance(row, Record):
        return row.values
    said, properties = row.said, object_of(row.said, "properties")
    device = object_of(object_of(said, "context"), "device")
    rest = json_text({name: properties[name] for name in ("interaction_type", "query") if name in properties})
    return (
        "", "track", said["event"], said["userId"], said["anonymousId"], device.get("id"), device.get("type"), None,
        properties.get("content_id"), properties.get("watched_fraction"), rest,
        datetime.fromisoformat(str(said["timestamp"])), None, False,
    )  # fmt: skip


def _typed_by_content(rows: Iterator[Row], folder: Path) -> Iterator[Row]:
    """Name the event of a row without interaction_type by what its content is."""
    names = {"article": "Article Read", "podcast": "Podcast Played"}
    content = find_file(folder, "content")
    events: dict[object, str] = {}
    if content is not None:
        id_place, type_place = (CMS_CONTENT.columns.index(name) for name in ("content_id", "content_type"))
        for item in _read(content, ImportedContent):
            if isinstance(item, Record) and item.values[type_place] in names:
                events[item.values[id_place]] = names[str(item.values[type_place])]
    for row in rows:
        properties = object_of(row.said, "properties") if isinstance(row, Call) else {}
        event = events.get(properties.get("content_id"))
        if isinstance(row, Call) and event is not None and "interaction_type" not in properties:
            yield replace(row, said={**row.said, "event": event})
        else:
            yield row


def _is_consent_assumed(folder: Path) -> bool:
    path = folder / OPTIONS_FILE
    return path.exists() and bool(json.loads(path.read_text())["assume_consent"])


def _assumed_consents(folder: Path) -> Iterator[Record]:
    """All purposes granted for every subscriber, dated before anything that a person could have said."""
    path = find_file(folder, "subscribers")
    if path is None:
        return
    for row in _read(path, ImportedSubscriber):
        if isinstance(row, Record):
            for purpose in _PURPOSES:
                key = f"{row.source_key}|{purpose}"
                yield Record(
                    key,
                    ConsentRow("user_id", row.source_key, purpose, True, _BEGINNING, recorded_via="import_assumption"),
                )
