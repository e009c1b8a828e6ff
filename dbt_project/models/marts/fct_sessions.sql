select
    session_id,
    min(subscriber_id) as subscriber_id,
    min(occurred_at) as started_at,
    max(occurred_at) as ended_at,
    min(device_type) as device_type,
    count(*) as event_count,
    bool_or(user_id is not null) as is_signed_in
from {{ ref('int_events_sessionized') }}
group by session_id
