"""A few subscribers to look at the demo with: different tastes, one without consent, one without history.

In: marts. Out: `SampleSubscriber`s without name or email, the same ones as long as the profiles are the same.
"""

from dataclasses import dataclass, replace

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

_CHOOSE = """
with known as (

    select
        subscribers.subscriber_id, subscribers.lifecycle_stage, subscribers.plan, subscribers.age_band,
        subscribers.is_simulated, subscribers.genre_affinities,
        subscribers.has_personalization_consent,
        coalesce(history.interaction_count, 0) as interaction_count
    from marts.dim_subscribers as subscribers
    left join (
        select subscriber_id, count(*) as interaction_count
        from marts.fct_interactions
        group by subscriber_id
    ) as history using (subscriber_id)
    where subscribers.is_known

),

grouped as (

    select
        *,
        case
            when interaction_count = 0 then 'no history'
            when not has_personalization_consent then 'no consent'
            else 'personal'
        end as kind
    from known

),

tastes as (

    select
        *,
        (
            select array_agg(genre order by share::float8 desc)
            from jsonb_each_text(coalesce(genre_affinities, '{}')) as affinities (genre, share)
        ) as top_genres
    from grouped

),

placed as (

    -- one of each favourite genre before a second of any, so that the sample shows different tastes; first those whose
    -- history is long enough to show one, and short enough to be anybody's
    select
        *,
        interaction_count between 20 and 400 as is_typical,
        row_number() over (
            partition by kind, top_genres[1] order by interaction_count between 20 and 400 desc, md5(subscriber_id)
        ) as turn
    from tastes

),

numbered as (

    select *, row_number() over (partition by kind order by is_typical desc, turn, md5(subscriber_id)) as place
    from placed

)

select subscriber_id, lifecycle_stage, plan, age_band, interaction_count, top_genres[1:3] as top_genres,
    has_personalization_consent, is_simulated
from numbered
where place <= case kind when 'personal' then %(personal)s else 1 end
order by kind = 'personal' desc, kind, place
"""

# the newest word counts, wherever it was said; on a tie a refusal wins
_PRESENT_CONSENTS = """
select distinct on (subscriber_id) subscriber_id, is_permitted
from (
    select subscriber_id, is_permitted, effective_at, is_locked
    from marts.fct_consents
    where subscriber_id = any(%(ids)s) and purpose = 'personalization'
    union all
    select wanted.subscriber_id, is_granted, changed_at, false
    from unnest(%(ids)s::text[]) as wanted (subscriber_id)
    inner join activation.preference_changes as changes
        on changes.subscriber_id = any(activation.ids_of(wanted.subscriber_id))
    where purpose = 'personalization'
) as said
order by subscriber_id, is_locked desc, effective_at desc nulls last, is_permitted
"""


@dataclass(frozen=True)
class SampleSubscriber:
    subscriber_id: str
    lifecycle_stage: str | None
    plan: str | None
    age_band: str | None
    interaction_count: int
    top_genres: tuple[str, ...]
    has_personalization_consent: bool
    is_simulated: bool

    @property
    def kind(self) -> str:
        """What there is to see of them."""
        if self.interaction_count == 0:
            return "no history"
        return "personal" if self.has_personalization_consent else "no consent"

    @property
    def label(self) -> str:
        """How a picker names somebody who must stay nameless."""
        taste = ", ".join(genre.replace("_", " ") for genre in self.top_genres[:2]) or "no taste known yet"
        parts = [f"Subscriber {self.subscriber_id[:6]}", taste, f"{self.interaction_count:,} watched or read"]
        if self.lifecycle_stage:
            parts.append(self.lifecycle_stage.replace("_", " "))
        if not self.has_personalization_consent:
            parts.append("no personalization")
        return " · ".join(parts)


class Sample:
    """Chooses once for each state of the profiles: looking through all of them takes longer than a page may."""

    def __init__(self) -> None:
        self._chosen: tuple[object, list[SampleSubscriber]] = (None, [])

    def read(self, connection: Connection[DictRow], profiles: object) -> list[SampleSubscriber]:
        """The sample with the consents of this moment; `profiles` is another object once the profiles have changed."""
        of_profiles, chosen = self._chosen
        if of_profiles is not profiles or not chosen:
            chosen = _choose(connection)
            self._chosen = (profiles, chosen)
        return _with_present_consents(connection, chosen)


def _choose(connection: Connection[DictRow], count: int = 8) -> list[SampleSubscriber]:
    """About `count` subscribers, the same ones at every call; none before the profiles are built."""
    try:
        rows = connection.execute(_CHOOSE, {"personal": max(1, count - 2)}).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return [SampleSubscriber(**{**row, "top_genres": tuple(row["top_genres"] or ())}) for row in rows][:count]


def _with_present_consents(connection: Connection[DictRow], sample: list[SampleSubscriber]) -> list[SampleSubscriber]:
    if not sample:
        return []
    rows = connection.execute(_PRESENT_CONSENTS, {"ids": [one.subscriber_id for one in sample]}).fetchall()
    said = {row["subscriber_id"]: row["is_permitted"] for row in rows}
    return [
        replace(one, has_personalization_consent=said.get(one.subscriber_id, one.has_personalization_consent))
        for one in sample
    ]
