"""Readers of extract files: CSV, JSON lines (gzipped or not) and a JSON document, each row read or set aside.

In: a file of a source and its pydantic model. Out: an iterator; a row that cannot be read never stops the others.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar, cast

from ingestion.records import Rejection, Row, SourceModel, attempt, payload_of, printable

csv.field_size_limit(1_000_000)

# the field of a rejection that stands for everything from there on, not for one row
WHOLE_FILE = "file"

Parsed = TypeVar("Parsed")


def read_csv(path: Path, model: type[SourceModel]) -> Iterator[Row]:
    """Rows of one CSV file; the line is the one on which the row ends."""
    # surrogateescape keeps a wrong byte visible to the model, which then refuses the row
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from _csv_rows(file, path.name, model)


def read_json_lines(path: Path, model: type[SourceModel]) -> Iterator[Row]:
    """Rows of one file of JSON lines, gzipped where its name ends with `.gz`."""
    return read_lines(path, lambda line, file, number: _json_row(line, file, number, model))


def read_lines(path: Path, parse: Callable[[bytes, str, int], Parsed]) -> Iterator[Parsed | Rejection]:
    """What `parse` makes of each line that is not blank, of its file's name and its number."""
    number = 0
    try:
        with _open_binary(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield parse(line, path.name, number)
    except (OSError, EOFError, zlib.error) as error:
        # a truncated or damaged archive: what came before the damage is loaded
        yield Rejection(path.name, number + 1, WHOLE_FILE, None, f"cannot be read on ({error})", "{}")


def read_json_items(path: Path, model: type[SourceModel]) -> Iterator[Row]:
    """Items of one JSON document (`{"items": [...]}`); the line is the item's number."""
    try:
        document = json.loads(path.read_bytes())
        items = document["items"] if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise TypeError("items is no list")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield Rejection(path.name, 1, WHOLE_FILE, None, f'is no JSON document with a list "items" ({error})', "{}")
        return
    for number, item in enumerate(items, 1):
        yield validated(item, path.name, number, model)


def validated(row: object, file: str, line: int, model: type[SourceModel]) -> Row:
    """A row that is already parsed, checked by its model."""
    return attempt(lambda: model.model_validate(row).to_row(), file, line, lambda: payload_of(row))


def _open_binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _json_row(line: bytes, file: str, number: int, model: type[SourceModel]) -> Row:
    return attempt(lambda: model.model_validate_json(line).to_row(), file, number, lambda: _json_payload(line))


def _json_payload(line: bytes) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    return payload_of(row if isinstance(row, dict) else {"line": printable(line.decode("utf-8", "backslashreplace"))})


def _csv_rows(file: TextIO, name: str, model: type[SourceModel]) -> Iterator[Row]:
    reader = csv.reader(file)
    names: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejection(name, reader.line_num, "row", None, f"is no CSV ({error})", "{}")
            continue
        if not names:
            names = [cell.strip() for cell in cells]
        elif cells:
            yield _csv_row(cells, names, name, reader.line_num, model)


def _csv_row(cells: list[str], names: list[str], file: str, line: int, model: type[SourceModel]) -> Row:
    if len(cells) != len(names):
        reason = f"has {len(cells)} cells where the header has {len(names)}"
        return Rejection(file, line, "row", None, reason, payload_of({"cells": cells}))
    return validated(dict(zip(names, cells, strict=True)), file, line, model)
