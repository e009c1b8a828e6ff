-- A row at the end of each day on which a count changes: somebody consumed the content, or that day left a window; one
-- at as_of; and one each 28 days, so that a reader never has to look back further than the longest window.
with days as (

    select
        content_id,
        (occurred_at at time zone 'UTC')::date as day,
        count(*) as interaction_count,
        sum(watched_fraction) as watched_sum
    from {{ ref('fct_interactions') }}
    group by content_id, day

),

first_days as (

    select content_id, min(day) as first_day
    from days
    group by content_id

),

changes as (

    select days.content_id, days.day + windows.length as day
    from days
    cross join (values (0), (1), (7), (28)) as windows (length)
    union
    select first_days.content_id, series.moment::date as day
    from first_days
    cross join
        lateral generate_series(
            first_days.first_day::timestamp, {{ as_of() }} at time zone 'UTC', interval '28 days'
        ) as series (moment)
    union
    select content_id, ({{ as_of() }} at time zone 'UTC')::date as day
    from {{ ref('dim_content') }}

),

filled as (

    select
        changes.content_id,
        changes.day,
        coalesce(days.interaction_count, 0) as interaction_count,
        coalesce(days.watched_sum, 0) as watched_sum
    from changes
    left join days on changes.content_id = days.content_id and changes.day = days.day
    where changes.day <= ({{ as_of() }} at time zone 'UTC')::date

),

counted as (

    select
        content_id,
        day,
        interaction_count as interaction_count_1d,
        sum(interaction_count) over (
            partition by content_id order by day range between interval '6 days' preceding and current row
        ) as interaction_count_7d,
        sum(interaction_count) over (
            partition by content_id order by day range between interval '27 days' preceding and current row
        ) as interaction_count_28d,
        sum(interaction_count) over (partition by content_id order by day) as interaction_count,
        sum(watched_sum) over (partition by content_id order by day) as watched_sum
    from filled

)

select
    counted.content_id,
    least((counted.day + 1)::timestamp at time zone 'UTC', {{ as_of() }}) as event_timestamp,
    {{ as_of() }} as created_at,
    counted.interaction_count_1d::bigint as interaction_count_1d,
    counted.interaction_count_7d::bigint as interaction_count_7d,
    counted.interaction_count_28d::bigint as interaction_count_28d,
    counted.interaction_count::bigint as interaction_count,
    counted.watched_sum / nullif(counted.interaction_count, 0) as mean_watched_fraction,
    greatest(
        0,
        extract(
            epoch from least((counted.day + 1)::timestamp at time zone 'UTC', {{ as_of() }}) - contents.published_at
        ) / 86400
    )::double precision as days_since_published
from counted
inner join {{ ref('dim_content') }} as contents on counted.content_id = contents.content_id
