-- One row a message and subscriber: what became of it. Events in any order and any number give the same row.
with messages as (

    select
        md5(message_id || ':' || subscriber_id) as email_engagement_id,
        message_id,
        subscriber_id,
        (array_agg(campaign order by occurred_at, email_event_id) filter (where campaign is not null))[1] as campaign,
        min(occurred_at) filter (where event_type = 'processed') as sent_at,
        min(occurred_at) filter (where event_type = 'delivered') as delivered_at,
        min(occurred_at) filter (where event_type = 'open') as opened_at,
        max(occurred_at) filter (where event_type = 'open') as last_opened_at,
        min(occurred_at) filter (where event_type = 'click') as clicked_at,
        min(occurred_at) filter (where event_type in ('bounce', 'dropped')) as bounced_at,
        min(occurred_at) filter (where event_type in ('unsubscribe', 'group_unsubscribe')) as unsubscribed_at,
        min(occurred_at) filter (where event_type = 'spamreport') as complained_at,
        count(*) filter (where event_type = 'open') as open_count,
        count(*) filter (where event_type = 'click') as click_count,
        max(occurred_at) as last_event_at,
        bool_or(is_simulated) as is_simulated
    from {{ ref('int_email_events_attributed') }}
    group by message_id, subscriber_id

)

select
    email_engagement_id,
    message_id,
    subscriber_id,
    campaign,
    sent_at,
    delivered_at,
    -- who clicked has opened, also where pictures were not loaded
    least(opened_at, clicked_at) as opened_at,
    last_opened_at,
    clicked_at,
    bounced_at,
    unsubscribed_at,
    complained_at,
    open_count,
    click_count,
    last_event_at,
    is_simulated
from messages
