-- who is in a segment; which segments a subscriber is in
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_members() }}",
    indexes=[
        {'columns': ['subscriber_id', 'segment'], 'unique': true},
        {'columns': ['segment']}
    ]
) }}

with build as (

    select {{ as_of() }} as as_of

),

evaluated as (

    select
        evaluated.subscriber_id,
        evaluated.segment,
        evaluated.is_simulated
    from {{ ref('int_segments_evaluated') }} as evaluated
    {% if is_incremental() %}
        where not exists (
            select from {{ this }} as kept
            where kept.subscriber_id = evaluated.subscriber_id and kept.segment = evaluated.segment
        )
    {% endif %}

),

entries as (

    select
        changes.subscriber_id,
        changes.segment,
        max(changes.changed_at) as entered_at
    from evaluated
    inner join {{ ref('fct_segment_changes') }} as changes
        on evaluated.subscriber_id = changes.subscriber_id and evaluated.segment = changes.segment
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
from evaluated
cross join build
left join entries
    on evaluated.subscriber_id = entries.subscriber_id and evaluated.segment = entries.segment
