{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook=[
        "{{ take_memory() }}",
        "{{ take_back('subscriber_id', 'select subscriber_id from ' ~ ref('int_subscribers_touched')) }}"
    ],
    indexes=[
        {'columns': ['interaction_id'], 'unique': true},
        {'columns': ['subscriber_id']},
        {'columns': ['content_id', 'occurred_at']}
    ]
) }}

-- serving looks up one subscriber in every request, by the first index
select
    events.message_id as interaction_id,
    events.subscriber_id,
    events.content_id,
    events.occurred_at,
    case events.event when 'Article Read' then 'read' when 'Podcast Played' then 'listen' else 'play' end
        as interaction_type,
    events.watched_fraction,
    events.device_type,
    events.session_id,
    -- permitted now, and when it happened, where the client said what was permitted then
    {{ permitted('personalization', 'events.subscriber_id') }}
    and coalesce(events.consent_purposes ? 'personalization', true)
        as has_personalization_consent,
    events.is_simulated
from {{ ref('int_events_sessionized') }} as events
inner join {{ ref('int_contents_compared') }} as contents
    on events.content_id = contents.content_id and contents.is_known
where
    {{ is_consumption('events') }}
    and events.subscriber_id is not null
    {% if is_incremental() %}
        and events.subscriber_id in (select touched.subscriber_id from {{ ref('int_subscribers_touched') }} as touched)
    {% endif %}
