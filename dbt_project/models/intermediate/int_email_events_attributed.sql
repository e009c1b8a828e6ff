{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('email_event_id', touched_email_events()) }}",
    indexes=[{'columns': ['email_event_id'], 'unique': true}, {'columns': ['subscriber_id']}]
) }}

-- depends_on: {{ ref('int_identifiers_assigned') }}
select
    events.email_event_id,
    events.email_hash,
    identifiers.subscriber_id,
    coalesce(events.message_id, events.email_event_id) as message_id,
    events.campaign,
    events.event_type,
    events.occurred_at,
    events.is_simulated
from
    {{ missing_records(
        'stg_email_provider__events', 'email_provider_events',
        "kept.email_event_id = told.source || ':' || told.source_key"
    ) }} as events
inner join {{ ref('int_identifiers_resolved') }} as identifiers
    on identifiers.identifier_kind = 'email_hash' and identifiers.identifier = 'email_hash:' || events.email_hash
