select
    events.email_event_id,
    identifiers.subscriber_id,
    events.campaign,
    events.event_type,
    events.occurred_at
from {{ ref('stg_email_provider__events') }} as events
inner join {{ ref('int_identifiers_resolved') }} as identifiers
    on identifiers.identifier = 'email_hash:' || events.email_hash
