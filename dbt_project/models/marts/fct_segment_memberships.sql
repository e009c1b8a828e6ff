-- Who is in a segment; which segments a subscriber is in. An increment follows the log of who came and went.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_members() }}",
    indexes=[
        {'columns': ['subscriber_id', 'segment'], 'unique': true},
        {'columns': ['segment']}
    ]
) }}

-- depends_on: {{ ref('dim_subscribers') }}
{% if is_incremental() %}

    with changes as (

        select distinct on (log.subscriber_id, log.segment)
            log.subscriber_id,
            log.segment,
            log.change,
            log.changed_at,
            log.is_simulated
        from {{ ref('fct_segment_changes') }} as log
        where {{ changed_since_last_build('log') }}
        order by log.subscriber_id asc, log.segment asc, log.change_number desc

    )

    select
        subscriber_id,
        segment,
        changed_at as since,
        is_simulated
    from changes
    where change = 'entered'

{% else %}

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

{% endif %}
