-- A row at the end of each day on which somebody consumed the content, and one at as_of.
with days as (

    select
        content_id,
        (occurred_at at time zone 'UTC')::date as day,
        count(*) as interaction_count,
        sum(watched_fraction) as watched_sum
    from {{ ref('fct_interactions') }}
    group by 1, 2

),

today as (

    select
        content_id,
        ({{ as_of() }} at time zone 'UTC')::date as day
    from {{ ref('dim_content') }}

),

filled as (

    select
        coalesce(days.content_id, today.content_id) as content_id,
        coalesce(days.day, today.day) as day,
        coalesce(days.interaction_count, 0) as interaction_count,
        coalesce(days.watched_sum, 0) as watched_sum
    from days
    full join today on days.content_id = today.content_id and days.day = today.day

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
