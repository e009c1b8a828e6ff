"""Whether a subscriber may be written to at an address, as it stands at this moment; for one and for many alike.

In: subscriber ids with the hash of the address each is written to. Out: those who may be. The rule is
`choices.read_granted`'s, the newest word wherever it was said or else the region's default, and one more: whoever took
leave under an id that this address had before (an address can move to another profile) is not written to there again
on the strength of an older consent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import DictRow

# Parameters: purpose, subscriber_ids, email_hashes. Campaigns put it inside the statement that claims a message.
PERMITTED = """
with people as (

    select subscriber_id, email_hash, activation.ids_of(subscriber_id) as ids
    from unnest(%(subscriber_ids)s::text[], %(email_hashes)s::text[]) as wanted (subscriber_id, email_hash)

),

said as (

    select people.subscriber_id, consents.is_permitted, consents.effective_at, consents.is_locked
    from people inner join marts.fct_consents as consents using (subscriber_id)
    where consents.purpose = %(purpose)s
    union all
    select people.subscriber_id, changes.is_granted, changes.changed_at, false
    from people inner join activation.preference_changes as changes on changes.subscriber_id = any(people.ids)
    where changes.purpose = %(purpose)s
    union all
    -- the address's other ids can refuse for it, never allow
    select people.subscriber_id, changes.is_granted, changes.changed_at, false
    from people
    inner join activation.sends using (email_hash)
    inner join activation.preference_changes as changes
        on changes.subscriber_id = any(activation.ids_of(sends.subscriber_id))
    where changes.purpose = %(purpose)s and not changes.is_granted

),

newest as (

    select distinct on (subscriber_id) subscriber_id, is_permitted
    from said
    order by subscriber_id, is_locked desc, effective_at desc nulls last, is_permitted

)

select subscriber_id from newest where is_permitted
"""


@dataclass(frozen=True)
class Addressee:
    """A subscriber id with the sha256 of the address to write to."""

    subscriber_id: str
    email_hash: str


def read_permitted(connection: Connection[DictRow], purpose: str, addressees: Sequence[Addressee]) -> frozenset[str]:
    """Subscriber ids of those who may be written to for `purpose` now."""
    rows = connection.execute(PERMITTED, permission_parameters(purpose, addressees))
    return frozenset(row["subscriber_id"] for row in rows)


def permission_parameters(purpose: str, addressees: Sequence[Addressee]) -> dict[str, object]:
    """What `PERMITTED` takes."""
    return {
        "purpose": purpose,
        "subscriber_ids": [one.subscriber_id for one in addressees],
        "email_hashes": [one.email_hash for one in addressees],
    }
