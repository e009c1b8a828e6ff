{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('message_id', written_events()) }}",
    indexes=[{'columns': ['message_id'], 'unique': true}]
) }}

-- What subscribers did beside consuming: searches, lists, skips, visits to the plans, subscription and support events.
select
    events.message_id,
    events.subscriber_id,
    events.occurred_at,
    signals.signal,
    signals.intent_weight,
    events.content_id,
    case when signals.signal = 'search' then nullif(lower(trim(events.properties ->> 'query')), '') end as query,
    events.is_simulated
from {{ ref('int_events_sessionized') }} as events
inner join {{ ref('event_signals') }} as signals
    on events.event_type = signals.event_type and events.event = signals.event
where
    events.subscriber_id is not null
    {% if is_incremental() %}
        and {{ written_since_last_build('events.written_xid') }}
    {% endif %}
