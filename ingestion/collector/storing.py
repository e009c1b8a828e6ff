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
from ingestion.door.recording import ADMITTED, DROPPED, SET_ASIDE, Treatment, count_treatments, set_aside

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
    """An admission made ready to be stored, and no more than storing it takes: thousands wait at once.

    Attributes:
        key: the key of its message id; None of a call that was set aside, which is known by all of what it says.
        line, occurred_at: of an event, its line of COPY text and when it occurred.
        treatment: what the door's counts say of it.
    """

    source: str
    key: str | None
    line: str | None
    occurred_at: datetime | None
    treatment: Treatment
    aside: SetAside | None


def offered(source: str, admission: Admission) -> Offered:
    """Make `admission` ready: all that storing it costs here rather than in the database."""
    if isinstance(admission, Admitted):
        message_id, values, withheld = admission
        treatment: Treatment = (values.received_at, ADMITTED, withheld)
        return Offered(source, _key(message_id), event_line(source, values), values.occurred_at, treatment, None)
    if isinstance(admission, Dropped):
        reasons = ((admission.purpose, admission.reason),)
        return Offered(source, _key(admission.message_id), None, None, (admission.received_at, DROPPED, reasons), None)
    return Offered(source, None, None, None, (admission.received_at, SET_ASIDE, ()), admission)


def store(connection: Connection[DictRow], source: str, admissions: Iterable[Admission]) -> StoredCounts:
    """Store admissions of one source, as `store_offered` does."""
    return store_offered(connection, [offered(source, admission) for admission in admissions])


def store_offered(connection: Connection[DictRow], offers: Sequence[Offered]) -> StoredCounts:
    """Write down what is new of `offers`, inside the caller's transaction; a message id that is known is left out.

    Raises:
        psycopg.Error: the database refuses a row, or is gone.
    """
    # a group has thousands: unpacking an offer takes half as long as asking for its fields
    keyed = [(offer[1], offer) for offer in offers if offer[1] is not None]
    # of two with one key the first is stored
    first = dict(reversed(keyed))
    for key in _claim(connection, sorted(first)):
        del first[key]
    new = list(reversed(first.values()))
    lines = [line for _, _, line, _, _, _ in new if line is not None]
    _copy_events(connection, lines)
    asides = _set_aside(connection, offers) if len(keyed) < len(offers) else []
    treatments = Counter([(source, treatment) for source, _, _, _, treatment, _ in (*new, *asides)])
    count_treatments(connection, treatments)
    return StoredCounts(len(lines), len(offers) - len(new) - len(asides), len(asides), len(new) - len(lines))


def _set_aside(connection: Connection[DictRow], offers: Iterable[Offered]) -> list[Offered]:
    """Put the calls among `offers` into quarantine, and return those that were not there yet."""
    by_source: dict[str, list[SetAside]] = defaultdict(list)
    for offer in offers:
        if offer.aside is not None:
            by_source[offer.source].append(offer.aside)
    return [
        offered(source, call) for source, calls in by_source.items() for call in set_aside(connection, source, calls)
    ]


def moments_of(admissions: Iterable[Admission]) -> list[datetime]:
    """When the events among `admissions` occurred."""
    return [one.values.occurred_at for one in admissions if isinstance(one, Admitted)]


def _claim(connection: Connection[DictRow], keys: Sequence[str]) -> list[str]:
    """Claim `keys` and return those that somebody has claimed before.

    They are sorted: two writers that meet in several keys wait for each other in one direction only.
    """
    if not keys:
        return []
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(_CLAIM_KEYS, ("{" + ",".join(keys) + "}",))
        return [key for (key,) in cursor]


def _copy_events(connection: Connection[DictRow], lines: Sequence[str]) -> None:
    if not lines:
        return
    with connection.cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        copy.write("".join(lines))


def _key(message_id: str) -> str:
    """The key of raw.event_keys, as text: an object a key would cost more than the hash."""
    return hashlib.md5(message_id.encode(), usedforsecurity=False).hexdigest()
