{{ config(materialized='table', indexes=[{'columns': ['occurred_at']}]) }}

-- Duplicated deliveries share the message id; the first arrival is the event.
with events as (

    select distinct on (message_id) *
    from {{ source('raw', 'events') }}
    where occurred_at <= {{ as_of() }}
    order by message_id asc, raw_id asc

)

select
    message_id,
    event_type,
    event,
    nullif(trim(user_id), '') as user_id,
    nullif(trim(anonymous_id), '') as anonymous_id,
    nullif(trim(device_id), '') as device_id,
    case when device_type in ('web', 'mobile', 'connected_tv') then device_type else 'web' end as device_type,
    {{ normalise_email('email') }} as email,
    {{ sha256_hex(normalise_email('email')) }} as email_hash,
    content_id,
    greatest(0, least(1, watched_fraction)) as watched_fraction,
    properties,
    occurred_at,
    is_simulated
from events
