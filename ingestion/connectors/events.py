"""The event stream: Segment calls as gzipped JSON lines, which go through the same door as live ones.

In: a file of calls. Out: a `Call` for each line that says which event it is and when it was; a line without a message
id would be new at every load, and one without a timestamp would have occurred at each. What the calls say is the door's
to judge. https://segment.com/docs/connections/spec/common/
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from ingestion.raw_tables import EVENTS
from ingestion.reading import read_lines
from ingestion.records import Call, Rejection, Row, payload_of, printable, shown

TABLE = EVENTS

_NEEDED = ("messageId", "timestamp")


def read_calls(path: Path) -> Iterator[Row]:
    """Calls of one file of JSON lines, gzipped where its name ends with `.gz`."""
    return read_lines(path, _call)


def _call(line: bytes, file: str, number: int) -> Row:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        payload = payload_of({"line": printable(line.decode("utf-8", "backslashreplace"))})
        return Rejection(file, number, "row", None, f"is no JSON ({error})", payload)
    if not isinstance(said, dict):
        return Rejection(file, number, "row", shown(said), "is not an object", payload_of({"line": shown(said)}))
    for field in _NEEDED:
        if said.get(field) in (None, ""):
            return Rejection(file, number, field, None, "is missing", payload_of(said))
    return Call(said, file, number)
