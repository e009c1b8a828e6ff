"""Who asks, and what may be done for them: identity, consent to personalization, what was consumed, what rules ask of.

In: a present or former subscriber id, or an anonymous id. Out: a `Subscriber`, read in one round trip at the moment of
the request, so that a choice in the preference centre counts from the next request on.
"""

from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving.answers import History

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
    subscribers.country,
    coalesce(subscribers.age_band, 'unknown') as age_band,
    coalesce(subscribers.segments, '{}') as segments,
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
    ) as consumed_content_ids,
    array(
        select content_id
        from marts.fct_interactions
        where
            fct_interactions.subscriber_id = subscribers.subscriber_id
            and %(given_up_before)s::timestamptz is not null
        group by content_id
        -- where nobody knows how much was consumed, all of it counts
        having max(coalesce(watched_fraction, 1)) < %(finished_from)s and max(occurred_at) <= %(given_up_before)s
    ) as given_up_content_ids
from marts.dim_subscribers as subscribers inner join wanted using (subscriber_id)
"""


@dataclass(frozen=True)
class Subscriber:
    subscriber_id: str
    has_personalization_consent: bool
    consumed_content_ids: frozenset[str] = field(repr=False)
    given_up_content_ids: frozenset[str] = field(default=frozenset(), repr=False)
    country: str | None = None
    age_band: str = "unknown"
    segments: tuple[str, ...] = ()

    def withheld(self, history: History, given_up_before: datetime | None) -> frozenset[str]:
        """What is not recommended again: all that was consumed, but for what was given up before that moment.

        Args:
            history: of the online features, which may know of more than the marts.
        """
        gone = self.consumed_content_ids.union(history.content_ids)
        if given_up_before is None:
            return gone
        begins = given_up_before.timestamp()
        consumed = zip(history.content_ids, history.consumed_seconds, strict=True)
        return gone - (self.given_up_content_ids - {content_id for content_id, second in consumed if second > begins})


def find_subscriber(
    connection: Connection[DictRow],
    subscriber_id: str | None,
    anonymous_id: str | None,
    finished_from: float = 1.0,
    given_up_before: datetime | None = None,
) -> Subscriber | None:
    """The subscriber of either id; None when the profiles know neither.

    Args:
        finished_from: the share of a content from which on it is finished.
        given_up_before: what was consumed until then and not finished may come back; None: nothing may.
    """
    asked = {
        "subscriber_id": subscriber_id,
        "anonymous_id": anonymous_id,
        "finished_from": finished_from,
        "given_up_before": given_up_before,
    }
    row = connection.execute(_FIND, asked).fetchone()
    if row is None:
        return None
    return Subscriber(
        subscriber_id=row["subscriber_id"],
        has_personalization_consent=row["has_personalization_consent"],
        consumed_content_ids=frozenset(row["consumed_content_ids"]),
        given_up_content_ids=frozenset(row["given_up_content_ids"]),
        country=row["country"],
        age_band=row["age_band"],
        segments=tuple(row["segments"]),
    )
