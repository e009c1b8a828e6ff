{{ config(indexes=[{'columns': ['subscriber_id']}]) }}

select
    events.email_event_id,
    identifiers.subscriber_id,
    coalesce(events.message_id, events.email_event_id) as message_id,
    events.campaign,
    events.event_type,
    events.occurred_at,
    events.is_simulated
from {{ ref('stg_email_provider__events') }} as events
inner join {{ ref('int_identifiers_resolved') }} as identifiers
    on identifiers.identifier_kind = 'email_hash' and identifiers.identifier = 'email_hash:' || events.email_hash
