"""What a connector yields: a record that is fit for its raw table, a call for the door, or a row set aside.

In: one row as its file holds it, and the pydantic model of that source. Out: `Record` or `Rejection`. The field types
here refuse what PostgreSQL cannot hold (NUL, lone surrogates, impossible dates, endless keys) before it gets there.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_LONGEST_PAYLOAD = 20_000
_LONGEST_VALUE = 500
_SPELLED_MOMENTS = (
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M",
    "%d %b %Y",
)

Value: TypeAlias = str | int | float | bool | datetime | list[str] | None


@dataclass(frozen=True)
class Record:
    """A row for a raw table: its key at the source, and its values in the order of `RawTable.columns`."""

    source_key: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Rejection:
    """A row that was set aside. `payload` is JSON text of the row, so that it can be corrected and replayed."""

    file: str
    line: int
    field: str
    value: str | None
    reason: str
    payload: str


@dataclass(frozen=True)
class Call:
    """A Segment call as a file holds it; the door makes the row of it, or sets it aside with its place in the file."""

    said: Mapping[str, object]
    file: str
    line: int


Row: TypeAlias = Record | Rejection | Call


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which no database text can")
    # what a reader leaves of a byte that is no UTF-8
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not UTF-8")
    return text


def _to_utc(moment: datetime) -> datetime:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    # compared before conversion: the ends of the calendar overflow
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("is not a moment between 1970 and 2200")
    return moment.astimezone(UTC)


def _read_spelled_moment(value: object) -> object:
    """Bring the ways in which people's systems write a date to one that pydantic reads; day before month."""
    if not isinstance(value, str) or not re.match(r"\s*\d{1,2}[/ ]", value):
        return value
    for pattern in _SPELLED_MOMENTS:
        try:
            return datetime.strptime(value.strip(), pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    return value


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, AfterValidator(_storable)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S"), AfterValidator(_storable)]
Moment = Annotated[datetime, AfterValidator(_to_utc)]
SpelledMoment = Annotated[datetime, BeforeValidator(_read_spelled_moment), AfterValidator(_to_utc)]
OptionalText = Annotated[Text | None, BeforeValidator(_blank_to_none)]
OptionalKey = Annotated[Key | None, BeforeValidator(_blank_to_none)]
OptionalMoment = Annotated[SpelledMoment | None, BeforeValidator(_blank_to_none)]


class SourceModel(BaseModel):
    """A row of one source, as its system writes it; unknown fields are left alone."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, populate_by_name=True, frozen=True)

    def to_record(self) -> Record:
        """The row as its raw table takes it."""
        raise NotImplementedError

    def to_row(self) -> Record | Mapping[str, object]:
        """The record, or, of an event, what its call says."""
        return self.to_record()


def attempt(
    parse: Callable[[], Record | Mapping[str, object]], file: str, line: int, payload: Callable[[], str]
) -> Row:
    """Run `parse`; what the model refuses becomes a rejection that names the first bad field."""
    try:
        made = parse()
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_context=False)
        field = ".".join(str(part) for part in first["loc"] if part not in ("str", "datetime")) or "row"
        reason = first["msg"].removeprefix("Value error, ")
        if others:
            reason += f" (and {len(others)} more)"
        missing = first["type"] == "missing" or field == "row"
        return Rejection(file, line, field, None if missing else shown(first["input"]), reason, payload())
    return made if isinstance(made, Record) else Call(made, file, line)


def shown(value: object) -> str:
    """`value` as short text that a database can hold."""
    text = value if isinstance(value, str) else repr(value)
    return printable(text)[:_LONGEST_VALUE]


def printable(text: str) -> str:
    """`text` with what PostgreSQL refuses written as escapes."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def json_text(value: object) -> str:
    """`value` as JSON that a jsonb column takes.

    Raises:
        ValueError: it holds NaN, infinity, NUL or a lone surrogate.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if "\\u0000" in text:
        raise ValueError("holds a NUL character, which no database text can")
    # UnicodeEncodeError is a ValueError
    text.encode("utf-8")
    return text


def payload_of(row: object) -> str:
    """JSON text of a rejected row; what cannot be JSON goes in as one escaped text under `line`."""
    try:
        text = json_text(row)
        if isinstance(row, dict) and len(text) <= _LONGEST_PAYLOAD:
            return text
    except (ValueError, TypeError, RecursionError):
        text = repr(row)
    return json.dumps({"line": printable(text)[:_LONGEST_PAYLOAD]})


def row_hash(values: tuple[Value, ...]) -> str:
    """Fingerprint of what a record says, whatever its key and the moment of loading."""
    return hashlib.blake2b(repr(values).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
