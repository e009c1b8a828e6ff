{{ config(materialized='view') }}

select
    message_id as event_id,
    subscriber_id,
    session_id,
    event_type,
    event,
    device_type,
    content_id,
    watched_fraction,
    properties,
    consent_purposes,
    occurred_at,
    received_at,
    is_simulated
from {{ ref('int_events_sessionized') }}
where
    {{ permitted('analytics', 'subscriber_id') }}
    and coalesce(consent_purposes ? 'analytics', true)
