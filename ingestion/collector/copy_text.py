"""Events as PostgreSQL's COPY text: tab between values, newline after a row, nothing at all for NULL.

psycopg's own writer asks an adapter for each value, and a loop over the values asks for the type of each: written out,
a row costs half of that. https://www.postgresql.org/docs/current/sql-copy.html
"""

import re
from datetime import datetime
from functools import lru_cache

from psycopg import sql

from ingestion.raw_tables import EVENTS, EventRow

# no column of an event can hold empty text: the door takes what is blank for none
COPY_EVENTS = sql.SQL("copy raw.events (source, {}) from stdin (null '')").format(
    sql.SQL(", ").join(map(sql.Identifier, EVENTS.columns))
)
_TABS = len(EVENTS.columns)
_CACHED = 512
_MEANT = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
_ESCAPES = str.maketrans({meant: escape for escape, meant in _MEANT.items()})
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED_IN_LIST = re.compile(r'\\(["\\])')
_ESCAPED = re.compile(r"\\[\\tnr]")
# the events of a request share the moments at which it was sent and came
_written_moment = lru_cache(_CACHED)(datetime.isoformat)


def event_line(source: str, event: EventRow) -> str:
    """The line that `COPY_EVENTS` takes for an event, its newline included; empty text is written as none."""
    (
        message_id, event_type, occurred_at, name, user_id, anonymous_id, previous_id, group_id, device_id,
        advertising_id, device_type, email, phone, content_id, watched_fraction, properties, context, sent_at,
        received_at, consent_purposes, consent_signals, schema_version, is_simulated,
    ) = event  # fmt: skip
    texts = (
        source,
        message_id,
        event_type,
        _written_moment(occurred_at),
        name or "",
        user_id or "",
        anonymous_id or "",
        previous_id or "",
        group_id or "",
        device_id or "",
        advertising_id or "",
        device_type or "",
        email or "",
        phone or "",
        content_id or "",
        "" if watched_fraction is None else repr(watched_fraction),
        properties,
        context,
        "" if sent_at is None else _written_moment(sent_at),
        "" if received_at is None else _written_moment(received_at),
        "" if consent_purposes is None else _written_list(tuple(consent_purposes)),
        consent_signals or "",
        schema_version or "",
        "t" if is_simulated else "f",
    )
    line = "\t".join(texts)
    # hardly a row has something to escape, and looking at the whole line is quicker than at each value
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") != _TABS:
        line = "\t".join([text.translate(_ESCAPES) for text in texts])
    return line + "\n"


def row_of_line(line: str) -> dict[str, str]:
    """The columns of a line that `event_line` has made, as it wrote them; without those that have no value."""
    texts = [_ESCAPED.sub(lambda found: _MEANT[found[0]], text) for text in line.removesuffix("\n").split("\t")]
    return {name: text for name, text in zip(("source", *EVENTS.columns), texts, strict=True) if text}


def read_list(text: str) -> list[str]:
    """The texts of a list as `event_line` writes one."""
    return [_ESCAPED_IN_LIST.sub(r"\1", found[1]) for found in _QUOTED.finditer(text)]


@lru_cache(_CACHED)
def _written_list(texts: tuple[str, ...]) -> str:
    # each element in quotes, so that NULL, commas and braces are text
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join([f'"{text}"' for text in escaped]) + "}"
