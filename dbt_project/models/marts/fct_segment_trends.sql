-- a view: how each segment grew and shrank, from the log of entries and exits
{{ config(materialized='view') }}

with changes as (

    select
        segment,
        changed_at,
        count(*) filter (where change = 'entered') as entered_count,
        count(*) filter (where change = 'left') as left_count,
        bool_or(is_simulated) as is_simulated
    from {{ ref('fct_segment_changes') }}
    group by segment, changed_at

)

select
    segment,
    changed_at,
    entered_count,
    left_count,
    (sum(entered_count - left_count) over (partition by segment order by changed_at))::bigint as member_count,
    is_simulated
from changes
