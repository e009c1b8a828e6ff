"""Links that wait for a person: those that would join two users, or more of a kind than one profile may hold.

In: what resolution held back. Out: a decision about a pair, which stands in `identity.decisions` above what records say
and the limits of a profile, until somebody takes it back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg import Connection
from psycopg.rows import DictRow

from marquee.errors import MarqueeError


class UnknownIdentifierError(MarqueeError):
    """No record has named this identifier."""


@dataclass(frozen=True)
class HeldLink:
    """Two identifiers (`kind:value`) of two profiles, and the record that names them together."""

    one: str
    other: str
    source: str
    evidence: str
    first_seen_at: datetime


_HELD = """
select distinct on (held.low_id, held.high_id)
    lk.kind || ':' || l.value as one,
    hk.kind || ':' || h.value as other,
    links.source,
    links.evidence,
    links.first_seen_at
from identity.held_links as held
inner join identity.links
    on links.low_id = held.low_id and links.high_id = held.high_id and links.retracted_at is null
inner join identity.identifiers as l on l.identifier_id = held.low_id
inner join identity.identifiers as h on h.identifier_id = held.high_id
inner join identity.kinds as lk on lk.kind_id = l.kind_id
inner join identity.kinds as hk on hk.kind_id = h.kind_id
order by held.low_id, held.high_id, links.first_seen_at
"""


def read_held(connection: Connection[DictRow]) -> list[HeldLink]:
    """What waits, oldest first."""
    rows = connection.execute(_HELD.encode()).fetchall()
    return sorted((HeldLink(**row) for row in rows), key=lambda held: (held.first_seen_at, held.one, held.other))


def decide(
    connection: Connection[DictRow],
    one: str,
    other: str,
    decision: Literal["joined", "parted"] | None,
    reason: str,
    now: datetime,
) -> bool:
    """Decide about a pair, or with None leave it to the rules; True if the two are one profile then.

    Parting takes away this link only: two that other links join as well stay together.

    Raises:
        UnknownIdentifierError: one of them was never seen.
    """
    for identifier in (one, other):
        known = connection.execute(
            "select from identity.identifiers where identifier_key = md5(%s)::uuid", (identifier,)
        ).fetchone()
        if known is None:
            raise UnknownIdentifierError(
                f"no record names {identifier!r}; write it as `kind:value`, such as user_id:42"
            )
    connection.execute("select identity.decide(%s, %s, %s, %s, %s)", (one, other, decision, reason, now))
    row = connection.execute(
        "select count(distinct profile_id) = 1 as is_one from identity.members "
        "inner join identity.identifiers using (identifier_id) "
        "where identifier_key in (md5(%s)::uuid, md5(%s)::uuid)",
        (one, other),
    ).fetchone()
    assert row is not None
    return bool(row["is_one"])
