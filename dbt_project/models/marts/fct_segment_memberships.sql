-- who is in a segment; which segments a subscriber is in
{{ config(indexes=[
    {'columns': ['subscriber_id', 'segment'], 'unique': true},
    {'columns': ['segment']}
]) }}

with build as (

    select {{ as_of() }} as as_of

),

entries as (

    select
        changes.subscriber_id,
        changes.segment,
        max(changes.changed_at) as entered_at
    from {{ ref('fct_segment_changes') }} as changes
    cross join build
    where changes.change = 'entered' and changes.changed_at <= build.as_of
    group by changes.subscriber_id, changes.segment

)

select
    evaluated.subscriber_id,
    evaluated.segment,
    -- a build for a moment before the log knows no earlier one
    coalesce(entries.entered_at, build.as_of) as since,
    evaluated.is_simulated
from {{ ref('int_segments_evaluated') }} as evaluated
cross join build
left join entries
    on evaluated.subscriber_id = entries.subscriber_id and evaluated.segment = entries.segment
