{{ config(materialized='view') }}

select
    session_id,
    client_id,
    subscriber_id,
    started_at,
    ended_at,
    device_type,
    event_count,
    is_signed_in,
    is_simulated
from {{ ref('int_sessions_measured') }}
where {{ permitted('analytics', 'subscriber_id') }}
