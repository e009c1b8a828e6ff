"""Who asks, and what may be done for them: identity, consent to personalization and what was consumed already.

In: a present or former subscriber id, or an anonymous id. Out: a `Subscriber`, read in one round trip at the moment of
the request, so that a choice in the preference centre counts from the next request on.
"""

from dataclasses import dataclass, field

from psycopg import Connection
from psycopg.rows import DictRow

# The newest word counts, wherever it was said, or else the region's default; on a tie a refusal wins.
_FIND = """
with wanted as (

    select coalesce(
        activation.present_id(%(subscriber_id)s::text),
        (
            select subscriber_id
            from marts.dim_subscriber_identifiers
            where identifier_kind = 'anonymous_id' and identifier_value = %(anonymous_id)s
            order by last_seen_at desc
            limit 1
        )
    ) as subscriber_id

),

choices as (

    select is_permitted, effective_at, is_locked
    from marts.fct_consents inner join wanted using (subscriber_id)
    where purpose = 'personalization'
    union all
    select is_granted, changed_at, false
    from activation.preference_changes as changes
    inner join wanted on changes.subscriber_id = any(activation.ids_of(wanted.subscriber_id))
    where purpose = 'personalization'

)

select
    subscribers.subscriber_id,
    coalesce(
        (
            select is_permitted
            from choices
            order by is_locked desc, effective_at desc nulls last, is_permitted
            limit 1
        ),
        false
    ) as has_personalization_consent,
    array(
        select distinct content_id
        from marts.fct_interactions
        where fct_interactions.subscriber_id = subscribers.subscriber_id
    ) as consumed_content_ids
from marts.dim_subscribers as subscribers inner join wanted using (subscriber_id)
"""


@dataclass(frozen=True)
class Subscriber:
    subscriber_id: str
    has_personalization_consent: bool
    consumed_content_ids: frozenset[str] = field(repr=False)


def find_subscriber(
    connection: Connection[DictRow], subscriber_id: str | None, anonymous_id: str | None
) -> Subscriber | None:
    """The subscriber of either id; None when the profiles know neither."""
    row = connection.execute(_FIND, {"subscriber_id": subscriber_id, "anonymous_id": anonymous_id}).fetchone()
    if row is None:
        return None
    return Subscriber(
        subscriber_id=row["subscriber_id"],
        has_personalization_consent=row["has_personalization_consent"],
        consumed_content_ids=frozenset(row["consumed_content_ids"]),
    )
