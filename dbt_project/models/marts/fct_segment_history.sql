-- a view: a stay is an entry and the exit that follows it in the log
{{ config(materialized='view') }}

with changes as (

    select
        subscriber_id,
        segment,
        change,
        changed_at,
        change_number,
        is_simulated,
        lead(changed_at) over (partition by subscriber_id, segment order by change_number) as left_at
    from {{ ref('fct_segment_changes') }}

)

select
    subscriber_id,
    segment,
    (change_number + 1) / 2 as stay_number,
    changed_at as entered_at,
    left_at,
    is_simulated
from changes
where change = 'entered'
