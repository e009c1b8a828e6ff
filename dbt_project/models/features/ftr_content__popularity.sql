{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook=["{{ take_memory() }}", "{{ find_changed_days() }}"],
    indexes=[{'columns': ['content_id', 'event_timestamp'], 'unique': true}]
) }}

{#- The last day of which something is known: as_of at midnight is the end of the day before. -#}
{%- set last_day = "((" ~ as_of() ~ " - interval '1 microsecond') at time zone 'UTC')::date" -%}

-- depends_on: {{ ref('int_events_sessionized') }}
-- depends_on: {{ ref('int_subscribers_permitted') }}
-- A row at the end of each day on which a count changes: somebody consumed the content, or that day left a window; one
-- at as_of; and one each 28 days, so that a reader never has to look back further than the longest window. An
-- increment writes the rows from the first day on which something changed; what lies before their windows is one sum.
with contents as (

    -- numbered: days are sorted and counted quicker by a number than by a text
    select
        contents.content_id,
        (row_number() over ())::integer as content_number,
        contents.published_at,
        {{ 'changed.from_day' if is_incremental() else "date '1900-01-01'" }} as from_day
    from {{ ref('int_contents_compared') }} as contents
    {% if is_incremental() %}
        inner join pg_temp.changed_days as changed on contents.content_id = changed.content_id
    {% endif %}
    where contents.is_known

),

interactions as (

    select
        contents.content_number,
        (interactions.occurred_at at time zone 'UTC')::date as day,
        contents.from_day - 28 as counted_from,
        interactions.watched_fraction::numeric as watched_fraction
    from {{ ref('fct_interactions') }} as interactions
    inner join contents on interactions.content_id = contents.content_id
    where interactions.has_personalization_consent

),

days as (

    select
        content_number,
        greatest(day, counted_from - 1) as day,
        min(day) as first_day,
        count(*) as interaction_count,
        sum(watched_fraction) as watched_sum
    from interactions
    group by content_number, greatest(day, counted_from - 1)

),

first_days as (

    select
        content_number,
        min(first_day) as first_day
    from days
    group by content_number

),

changes as (

    select
        days.content_number,
        days.day + windows.length as day
    from days
    inner join contents on days.content_number = contents.content_number
    cross join (values (0), (1), (7), (28)) as windows (length)
    -- the days before are there for their sums only
    where windows.length = 0 or days.day + windows.length >= contents.from_day
    union
    select
        first_days.content_number,
        series.moment::date as day
    from first_days
    inner join contents on first_days.content_number = contents.content_number
    cross join
        lateral generate_series(
            first_days.first_day::timestamp, {{ last_day }}::timestamp, interval '28 days'
        ) as series (moment)
    where series.moment::date >= contents.from_day
    union
    select
        content_number,
        {{ last_day }} as day
    from contents

),

filled as (

    select
        changes.content_number,
        changes.day,
        coalesce(days.interaction_count, 0) as interaction_count,
        coalesce(days.watched_sum, 0) as watched_sum
    from changes
    left join days on changes.content_number = days.content_number and changes.day = days.day
    where changes.day <= {{ last_day }}

),

counted as (

    select
        content_number,
        day,
        interaction_count as interaction_count_1d,
        sum(interaction_count) over (
            partition by content_number order by day range between interval '6 days' preceding and current row
        ) as interaction_count_7d,
        sum(interaction_count) over (
            partition by content_number order by day range between interval '27 days' preceding and current row
        ) as interaction_count_28d,
        sum(interaction_count) over (partition by content_number order by day) as interaction_count,
        sum(watched_sum) over (partition by content_number order by day) as watched_sum
    from filled

),

timed as (

    select
        counted.*,
        contents.content_id,
        contents.published_at,
        least((counted.day + 1)::timestamp at time zone 'UTC', {{ as_of() }}) as event_timestamp
    from counted
    inner join contents on counted.content_number = contents.content_number and counted.day >= contents.from_day

)

select
    content_id,
    event_timestamp,
    event_timestamp as created_at,
    interaction_count_1d::bigint as interaction_count_1d,
    interaction_count_7d::bigint as interaction_count_7d,
    interaction_count_28d::bigint as interaction_count_28d,
    interaction_count::bigint as interaction_count,
    (watched_sum / nullif(interaction_count, 0))::double precision as mean_watched_fraction,
    greatest(0, extract(epoch from event_timestamp - published_at) / 86400)::double precision as days_since_published
from timed
