-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['subscriber_id']}]) }}

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
    coalesce(consents.is_granted, false) as has_personalization_consent,
    events.is_simulated
from {{ ref('int_events_sessionized') }} as events
inner join {{ ref('dim_content') }} as contents
    on events.content_id = contents.content_id
left join {{ ref('int_consents_latest') }} as consents
    on events.subscriber_id = consents.subscriber_id and consents.purpose = 'personalization'
where
    events.event_type = 'track'
    and events.event in ('Video Playback Completed', 'Video Playback Exited', 'Article Read', 'Podcast Played')
