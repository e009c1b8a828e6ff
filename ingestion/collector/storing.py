"""What the door decided, written down: events, set-aside events and counts, each message id once.

In: admissions of one source. Out: rows of raw.events and raw.event_keys, raw.quarantined_events and ops.door_counts,
in the caller's transaction. The message ids' keys are claimed first, for the whole lot in one statement; what is
claimed goes by COPY straight into the partitions.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow, tuple_row

from ingestion.collector.copy_text import copy_line
from ingestion.door.admission import Admission, Admitted, Dropped, SetAside
from ingestion.door.recording import count_admissions, set_aside
from ingestion.raw_tables import EVENTS

_COPY_EVENTS = sql.SQL("copy raw.events (source, {}) from stdin").format(
    sql.SQL(", ").join(map(sql.Identifier, EVENTS.columns))
)
# the repeated: what was offered and is not claimed by this statement
_CLAIM_KEYS = """
with offered as (select unnest(%s::uuid[]) as message_key),
claimed as (
    insert into raw.event_keys (message_key) select message_key from offered
    on conflict (message_key) do nothing returning message_key
)
select encode(uuid_send(message_key), 'hex') from (
    select message_key from offered except all select message_key from claimed
) as repeated
"""


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What became of admissions: new rows of raw.events, message ids seen before, set aside, dropped by policy."""

    stored: int
    repeated: int
    set_aside: int
    dropped: int

    def __add__(self, other: "StoredCounts") -> "StoredCounts":
        return StoredCounts(
            self.stored + other.stored,
            self.repeated + other.repeated,
            self.set_aside + other.set_aside,
            self.dropped + other.dropped,
        )


NOTHING_STORED = StoredCounts(0, 0, 0, 0)


def store(connection: Connection[DictRow], source: str, admissions: Iterable[Admission]) -> StoredCounts:
    """Write down what is new of `admissions`, inside the caller's transaction; a message id that is known is left out.

    Raises:
        psycopg.Error: the database refuses a row, or is gone.
    """
    offered = list(admissions)
    aside = [one for one in offered if isinstance(one, SetAside)]
    first: dict[str, Admitted | Dropped] = {}
    for admission in offered:
        if not isinstance(admission, SetAside):
            first.setdefault(_key(admission.message_id), admission)
    for key in _claim(connection, list(first)):
        del first[key]
    admitted = [one for one in first.values() if isinstance(one, Admitted)]
    dropped = [one for one in first.values() if isinstance(one, Dropped)]
    _copy_events(connection, source, admitted)
    new_aside = set_aside(connection, source, aside)
    count_admissions(connection, source, [*admitted, *new_aside, *dropped])
    repeated = len(offered) - len(admitted) - len(dropped) - len(new_aside)
    return StoredCounts(len(admitted), repeated, len(new_aside), len(dropped))


def moments_of(admissions: Iterable[Admission]) -> list[datetime]:
    """When the events among `admissions` occurred."""
    return [one.values.occurred_at for one in admissions if isinstance(one, Admitted)]


def _claim(connection: Connection[DictRow], keys: Sequence[str]) -> list[str]:
    """Claim `keys` and return those that somebody has claimed before."""
    if not keys:
        return []
    with connection.cursor(row_factory=tuple_row) as cursor:
        # sorted: two writers that meet in several keys wait for each other in one direction only
        cursor.execute(_CLAIM_KEYS, ("{" + ",".join(sorted(keys)) + "}",))
        return [key for (key,) in cursor]


def _copy_events(connection: Connection[DictRow], source: str, events: Sequence[Admitted]) -> None:
    if not events:
        return
    with connection.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
        copy.write("".join([copy_line((source, *event.values)) for event in events]))


def _key(message_id: str) -> str:
    """The key of raw.event_keys, as text: an object a key would cost more than the hash."""
    return hashlib.md5(message_id.encode(), usedforsecurity=False).hexdigest()
