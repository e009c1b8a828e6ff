"""What the door decided, written down: events, set-aside events and counts, each message id once.

In: admissions, and the source of each. Out: rows of raw.events and raw.event_keys, raw.quarantined_events and
ops.door_counts, in the caller's transaction. The message ids' keys are claimed first, for the whole lot in one
statement; what is claimed goes by COPY straight into the partitions.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from ingestion.collector.copy_text import COPY_EVENTS, event_line
from ingestion.door.admission import Admission, Admitted, Dropped, SetAside
from ingestion.door.recording import count_admissions, set_aside

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


class Offered(NamedTuple):
    """An admission made ready to be stored: the key of its message id and, of an event, its line of COPY text.

    A call that was set aside has neither: it is known by all of what it says.
    """

    source: str
    admission: Admission
    key: str | None
    line: str | None


def offered(source: str, admission: Admission) -> Offered:
    """Make `admission` ready: all that storing it costs here rather than in the database."""
    if isinstance(admission, Admitted):
        return Offered(source, admission, _key(admission.message_id), event_line(source, admission.values))
    return Offered(source, admission, _key(admission.message_id) if isinstance(admission, Dropped) else None, None)


def store(connection: Connection[DictRow], source: str, admissions: Iterable[Admission]) -> StoredCounts:
    """Store admissions of one source, as `store_offered` does."""
    return store_offered(connection, [offered(source, admission) for admission in admissions])


def store_offered(connection: Connection[DictRow], offers: Sequence[Offered]) -> StoredCounts:
    """Write down what is new of `offers`, inside the caller's transaction; a message id that is known is left out.

    Raises:
        psycopg.Error: the database refuses a row, or is gone.
    """
    first: dict[str, Offered] = {}
    for offer in offers:
        if offer.key is not None:
            first.setdefault(offer.key, offer)
    for key in _claim(connection, list(first)):
        del first[key]
    _copy_events(connection, [offer.line for offer in first.values() if offer.line is not None])
    new: dict[str, list[Admission]] = defaultdict(list)
    for offer in first.values():
        new[offer.source].append(offer.admission)
    aside: dict[str, list[SetAside]] = defaultdict(list)
    for offer in offers:
        if isinstance(offer.admission, SetAside):
            aside[offer.source].append(offer.admission)
    for source, calls in aside.items():
        new[source] += set_aside(connection, source, calls)
    for source, admissions in sorted(new.items()):
        count_admissions(connection, source, admissions)
    return _counted(new.values(), len(offers))


def _counted(new: Iterable[Sequence[Admission]], offered_count: int) -> StoredCounts:
    kinds = Counter(type(admission) for admissions in new for admission in admissions)
    return StoredCounts(kinds[Admitted], offered_count - kinds.total(), kinds[SetAside], kinds[Dropped])


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


def _copy_events(connection: Connection[DictRow], lines: Sequence[str]) -> None:
    if not lines:
        return
    with connection.cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        copy.write("".join(lines))


def _key(message_id: str) -> str:
    """The key of raw.event_keys, as text: an object a key would cost more than the hash."""
    return hashlib.md5(message_id.encode(), usedforsecurity=False).hexdigest()
