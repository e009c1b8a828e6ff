-- Who entered and left which segment, and by which build: a log that is only added to, and that no rebuild takes away.
-- A build compares what it finds with where the log left everybody: the same moment again changes nothing, and a build
-- for a moment before the newest entry adds nothing, for the log says what was known when.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='append_new_columns',
    indexes=[{'columns': ['subscriber_id', 'segment', 'change_number'], 'unique': true}]
) }}

with build as (

    select {{ as_of() }} as as_of

),

evaluated as (

    select
        subscriber_id,
        segment,
        is_simulated
    from {{ ref('int_segments_evaluated') }}

),

-- entries have odd numbers, exits even ones
standing as (

    {% if is_incremental() %}
        select
            subscriber_id,
            segment,
            max(change_number) as change_number,
            bool_or(is_simulated) as is_simulated
        from {{ this }}
        group by subscriber_id, segment
    {% else %}
        select
            null::text as subscriber_id,
            null::text as segment,
            0 as change_number,
            false as is_simulated
        where false
    {% endif %}

),

changed as (

    select
        coalesce(evaluated.subscriber_id, standing.subscriber_id) as subscriber_id,
        coalesce(evaluated.segment, standing.segment) as segment,
        coalesce(standing.change_number, 0) + 1 as change_number,
        coalesce(evaluated.is_simulated, standing.is_simulated) as is_simulated
    from evaluated
    full join standing
        on evaluated.subscriber_id = standing.subscriber_id and evaluated.segment = standing.segment
    where (evaluated.segment is not null) <> (coalesce(standing.change_number, 0) % 2 = 1)

)

select
    changed.subscriber_id,
    changed.segment,
    changed.change_number,
    case when changed.change_number % 2 = 1 then 'entered' else 'left' end as change,
    build.as_of as changed_at,
    changed.is_simulated
from changed
cross join build
{% if is_incremental() %}
    where build.as_of >= coalesce((select max(log.changed_at) from {{ this }} as log), build.as_of)
{% endif %}
