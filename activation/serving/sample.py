"""A few subscribers to look at the demo with: different tastes, one without consent, one without history.

In: marts. Out: `SampleSubscriber`s without name or email.
"""

from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

_SAMPLE = """
with known as (

    select
        subscribers.subscriber_id, subscribers.lifecycle_stage, subscribers.plan, subscribers.age_band,
        subscribers.is_simulated, subscribers.genre_affinities,
        coalesce(
            (
                select is_granted
                from activation.preference_changes as changes
                where changes.subscriber_id = subscribers.subscriber_id and purpose = 'personalization'
                order by changed_at desc
                limit 1
            ),
            subscribers.has_personalization_consent
        ) as has_personalization_consent,
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

select subscriber_id, kind, lifecycle_stage, plan, age_band, interaction_count, top_genres[1:3] as top_genres,
    has_personalization_consent, is_simulated
from numbered
where place <= case kind when 'personal' then %(personal)s else 1 end
order by kind = 'personal' desc, kind, place
"""


@dataclass(frozen=True)
class SampleSubscriber:
    subscriber_id: str
    kind: str
    lifecycle_stage: str | None
    plan: str | None
    age_band: str | None
    interaction_count: int
    top_genres: tuple[str, ...]
    has_personalization_consent: bool
    is_simulated: bool

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


def read_sample(connection: Connection[DictRow], count: int = 8) -> list[SampleSubscriber]:
    """About `count` subscribers, the same ones at every call; none before the profiles are built."""
    try:
        rows = connection.execute(_SAMPLE, {"personal": max(1, count - 2)}).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return [SampleSubscriber(**{**row, "top_genres": tuple(row["top_genres"] or ())}) for row in rows][:count]
