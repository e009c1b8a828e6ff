-- Whom a campaign could concern by behaviour, of those who permitted messages when this was built. Consent is checked
-- once more at the moment of sending, with suppression and caps: that is activation's. The occurrence key makes one
-- silence, or one onboarding step, one message.
with subscribers as (

    select
        subscriber_id,
        lifecycle_stage,
        acquired_at
    from {{ ref('dim_subscribers') }}
    where email is not null and {{ permitted('email_marketing', 'subscriber_id') }}

),

deliveries as (

    select
        subscriber_id,
        max(occurred_at) filter (where event_type = 'open') as last_opened_at
    from {{ ref('int_email_events_attributed') }}
    group by subscriber_id
    having bool_or(event_type = 'delivered')

),

silent as (

    select
        're_engagement' as campaign_id,
        subscribers.subscriber_id,
        'since:' || coalesce(deliveries.last_opened_at::date::text, 'never') as occurrence_key,
        coalesce(deliveries.last_opened_at, subscribers.acquired_at) + interval '14 days' as eligible_since,
        'no email opened for 14 days' as reason
    from subscribers
    inner join deliveries on subscribers.subscriber_id = deliveries.subscriber_id
    where
        -- who tries or is new gets the first steps instead; who ended the subscription is not asked to use it
        subscribers.lifecycle_stage not in ('anonymous', 'trial', 'onboarding', 'cancelled')
        and subscribers.acquired_at <= {{ as_of() }} - interval '14 days'
        and coalesce(deliveries.last_opened_at, '-infinity') <= {{ as_of() }} - interval '14 days'

),

steps as (

    select
        'onboarding' as campaign_id,
        subscribers.subscriber_id,
        'day_' || max(days.day) as occurrence_key,
        subscribers.acquired_at + max(days.day) * interval '1 day' as eligible_since,
        'in the first 30 days' as reason
    from subscribers
    inner join (values (1), (3), (7), (14), (30)) as days (day)
        on subscribers.acquired_at + days.day * interval '1 day' <= {{ as_of() }}
    where
        subscribers.lifecycle_stage in ('trial', 'onboarding')
        and subscribers.acquired_at > {{ as_of() }} - interval '31 days'
    group by subscribers.subscriber_id, subscribers.acquired_at

),

candidates as (

    select campaign_id, subscriber_id, occurrence_key, eligible_since, reason from silent
    union all
    select campaign_id, subscriber_id, occurrence_key, eligible_since, reason from steps

)

select
    campaign_id,
    subscriber_id,
    occurrence_key,
    eligible_since,
    reason
from candidates
