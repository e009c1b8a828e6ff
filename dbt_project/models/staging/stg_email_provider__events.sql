with events as (

    {{ latest_version(source('raw', 'email_provider_events'), 'occurred_at') }}

)

select
    source,
    source_key,
    source || ':' || source_key as email_event_id,
    {{ sha256_hex(normalise_email('email')) }} as email_hash,
    lower(trim(event)) as event_type,
    message_id,
    campaign,
    occurred_at,
    is_simulated
from events
where {{ normalise_email('email') }} is not null
