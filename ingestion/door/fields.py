"""The values of a call, one at a time: text, keys, moments, shares and JSON that PostgreSQL can hold, or a violation.

In: an object of a call and the name of a field. Out: a value for a column. These run for every event, so that they
spell out what ingestion.records leaves to pydantic, by the same rules.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeGuard

import orjson

from ingestion.records import payload_of, shown

_LONGEST_KEY = 200
_LONGEST_PAYLOAD = 100_000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
# seconds since 1970 reach this in the year 2603; larger numbers are milliseconds
_FIRST_MILLISECONDS = 20_000_000_000
# a number that long is no id, and writing it out may take forever
_FIRST_HUGE = 2**64
_EMPTY: Mapping[str, object] = {}


class Violation(Exception):  # noqa: N818  it is no error of ours: the door catches it and sets the call aside
    """A call that cannot be admitted: the field, its value as text, and the reason in words."""

    def __init__(self, field: str, value: str | None, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.value, self.reason = field, value, reason


def object_of(outer: Mapping[str, object], name: str, prefix: str = "") -> Mapping[str, object]:
    """The object under `name`; empty when there is none."""
    value = outer.get(name)
    if isinstance(value, dict):
        return value
    if value is None:
        return _EMPTY
    raise Violation(prefix + name, shown(value), "is not an object")


def text_of(outer: Mapping[str, object], name: str, prefix: str = "") -> str | None:
    """The text under `name`; numbers are written out, and blank text is none."""
    value = outer.get(name)
    if value is None:
        return None
    if type(value) is str and value.isascii() and "\x00" not in value and value.strip():
        return value
    return _text(value, prefix + name)


def key_of(outer: Mapping[str, object], name: str, prefix: str = "") -> str | None:
    """An id under `name`: text of at most 200 characters."""
    value = outer.get(name)
    if value is None:
        return None
    # nearly every id is plain: asked here, that saves two calls for each
    if type(value) is str and value.isascii() and len(value) <= _LONGEST_KEY and "\x00" not in value and value.strip():
        return value
    return _key(value, prefix + name)


def content_of(said: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """The content's id under the first of `names` that holds one; of a list, its first."""
    for name in names:
        value = said.get(name)
        if value is None:
            continue
        if (
            type(value) is str
            and value.isascii()
            and len(value) <= _LONGEST_KEY
            and "\x00" not in value
            and value.strip()
        ):
            return value
        if isinstance(value, list):
            value = value[0] if value else None
        if value is not None and (key := _key(value, f"properties.{name}")) is not None:
            return key
    return None


def fraction_of(said: Mapping[str, object], has_progress: bool) -> float | None:
    """The watched share, as it is said or as position within total_length."""
    value = said.get("watched_fraction")
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise Violation("properties.watched_fraction", shown(value), "is not a number from 0 to 1")
        return float(value)
    if not has_progress:
        return None
    position, length = said.get("position"), said.get("total_length")
    if _is_number(position) and _is_number(length) and length > 0:
        share = position / length
        return round(share * 1e6) / 1e6 if 0 < share < 1 else float(share >= 1)
    return None


def moment_of(outer: Mapping[str, object], name: str) -> datetime | None:
    """An ISO 8601 moment, or seconds or milliseconds since 1970; without an offset it is UTC."""
    value = outer.get(name)
    if value is None or value == "":
        return None
    try:
        moment = _read_moment(value)
    except (ValueError, OverflowError, OSError):
        raise Violation(name, shown(value), "is not an ISO 8601 moment") from None
    if not _EARLIEST <= moment <= _LATEST:
        raise Violation(name, shown(value), "is not a moment between 1970 and 2200")
    return moment


def json_of(value: Mapping[str, object], field: str) -> str:
    """`value` as JSON for a jsonb column."""
    try:
        text = orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise Violation(field, shown(value), f"cannot be stored as JSON ({error})") from None
    # both are rare, and looking for them is slow
    if "\\u0000" in text and _holds(value, _has_nul):
        raise Violation(field, None, "holds a NUL character, which no database text can")
    if "null" in text and _holds(value, _is_not_finite):
        raise Violation(field, None, "holds a number that is not finite, which JSON cannot")
    return text


def payload_text(call: Mapping[str, object]) -> str:
    """JSON of a call that was set aside; what no database can hold goes in escaped."""
    try:
        text = json_of(call, "payload")
    except Violation:
        return payload_of(dict(call))
    return text if len(text) <= _LONGEST_PAYLOAD else payload_of(dict(call))


def _text(value: object, field: str) -> str | None:
    if not isinstance(value, str):
        return _number_text(value, field)
    if "\x00" in value:
        raise Violation(field, shown(value), "holds a NUL character, which no database text can")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise Violation(field, shown(value), "is not UTF-8")
    return value if value and not value.isspace() else None


def _number_text(value: object, field: str) -> str:
    if not _is_number(value) or abs(value) >= _FIRST_HUGE:
        raise Violation(field, shown(value), "is not text")
    return str(value)


def _key(value: object, field: str) -> str | None:
    text = _text(value, field)
    if text is not None and len(text) > _LONGEST_KEY:
        raise Violation(field, shown(text), f"is longer than {_LONGEST_KEY} characters")
    return text


def _read_moment(value: object) -> datetime:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return datetime.fromtimestamp(value / 1000 if abs(value) >= _FIRST_MILLISECONDS else value, UTC)


def _holds(value: object, is_bad: Callable[[object], bool]) -> bool:
    if isinstance(value, dict):
        return any(_holds(key, is_bad) or _holds(inner, is_bad) for key, inner in value.items())
    if isinstance(value, list):
        return any(_holds(inner, is_bad) for inner in value)
    return is_bad(value)


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\x00" in value


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_number(value: object) -> TypeGuard[float]:
    # by the exact type: a bool is an int to isinstance
    return type(value) is int or (type(value) is float and math.isfinite(value))
