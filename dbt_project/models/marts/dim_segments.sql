{% set segments = declared_segments() %}
{% set exclusive_groups = exclusive_segment_groups() %}

with declared as (

    {% for segment in segments %}
        select
            {{ segment_literal(segment.name) }} as segment,
            {{ segment_literal(segment.title) }} as title,
            {{ segment_literal(segment.description) }} as description,
            {{ segment_literal(segment.owner) }} as owner,
            {{ segment_literal(segment.kind) }} as kind,
            {{ segment_literal(segment_purpose(segment.kind)) }} as consent_purpose,
            {{ segment_literal(segment.group) if segment.group else 'null' }}::text as segment_group,
            {{ segment_literal(segment.priority) if segment.group else 'null' }}::integer as priority,
            {{ segment_literal(segment.group in exclusive_groups) }} as is_exclusive
        {{ 'union all' if not loop.last else '' }}
    {% else %}
        select
            null::text as segment,
            null::text as title,
            null::text as description,
            null::text as owner,
            null::text as kind,
            null::text as consent_purpose,
            null::text as segment_group,
            null::integer as priority,
            false as is_exclusive
        where false
    {% endfor %}

),

sizes as (

    select
        segment,
        count(*) as member_count
    from {{ ref('fct_segment_memberships') }}
    group by segment

)

select
    declared.segment,
    declared.title,
    declared.description,
    declared.owner,
    declared.kind,
    declared.consent_purpose,
    declared.segment_group,
    declared.priority,
    declared.is_exclusive,
    coalesce(sizes.member_count, 0) as member_count,
    {{ as_of() }} as evaluated_at
from declared
left join sizes on declared.segment = sizes.segment
