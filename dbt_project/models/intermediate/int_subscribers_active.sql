{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('subscriber_id', subscribers_of_written_events()) }}",
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

-- When each subscriber was first and last seen by an event, and whether all of these are simulated. An increment writes
-- those who gained or lost one.
select
    subscriber_id,
    min(occurred_at) as first_seen_at,
    max(occurred_at) as last_active_at,
    bool_and(is_simulated) as is_simulated
from {{ ref('int_events_sessionized') }}
where
    subscriber_id is not null
    {% if is_incremental() %}
        and subscriber_id in ({{ subscribers_of_written_events() }})
    {% endif %}
group by subscriber_id
