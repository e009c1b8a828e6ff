"""Rows as PostgreSQL's COPY text: tab between values, newline after a row.

psycopg's own writer asks an adapter for each value, which takes most of the time of a small row.
https://www.postgresql.org/docs/current/sql-copy.html
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from ingestion.records import Value

_NULL = "\\N"
_CACHED = 512
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_line(values: Sequence[Value]) -> str:
    """One row, its newline included."""
    texts = [
        value if type(value) is str else _NULL if value is None else _WRITERS[type(value)](value) for value in values
    ]
    line = "\t".join(texts)
    # hardly a row has something to escape, and looking at the whole line is quicker than at each value
    if (
        line.count("\\") != values.count(None)
        or line.count("\t") != len(values) - 1
        or "\n" in line
        or "\r" in line
    ):  # fmt: skip
        line = "\t".join([_NULL if value is None else _escaped(value) for value in values])
    return line + "\n"


def _escaped(value: Value) -> str:
    text = value if isinstance(value, str) else _WRITERS[type(value)](value)
    return text.translate(_ESCAPES)


def _write_list(texts: list[str]) -> str:
    return _written_list(tuple(texts))


@lru_cache(_CACHED)
def _written_list(texts: tuple[str, ...]) -> str:
    # each element in quotes, so that NULL, commas and braces are text
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join([f'"{text}"' for text in escaped]) + "}"


_WRITERS: dict[type, Callable[..., str]] = {
    type(None): lambda _: _NULL,
    bool: lambda value: "t" if value else "f",
    int: str,
    float: repr,
    # the events of a request share the moments at which it was sent and came
    datetime: lru_cache(_CACHED)(datetime.isoformat),
    list: _write_list,
}
