{{ config(
    materialized='incremental',
    unique_key='client_id',
    incremental_strategy='delete+insert',
    pre_hook="{{ take_memory() }}",
    indexes=[{'columns': ['client_id']}, {'columns': ['session_id'], 'unique': true}]
) }}

-- One row a session. An increment writes all sessions of the clients of whom an event was written.
select
    session_id,
    client_id,
    min(subscriber_id) as subscriber_id,
    min(occurred_at) as started_at,
    max(occurred_at) as ended_at,
    min(device_type) as device_type,
    count(*) as event_count,
    bool_or(user_id is not null) as is_signed_in,
    bool_or(is_simulated) as is_simulated
from {{ ref('int_events_sessionized') }}
{% if is_incremental() %}
    where
        client_id in (
            select written.client_id from {{ ref('int_events_sessionized') }} as written
            where {{ written_since_last_build('written.written_xid') }}
        )
{% endif %}
group by session_id, client_id
