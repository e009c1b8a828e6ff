-- The lifecycle stage of each subscriber and what it follows from. A view: the profile is its one reader.
{{ config(materialized='view') }}

with joined as (

    select
        subscribers.subscriber_id,
        subscribers.user_id is not null or subscribers.email is not null as is_known,
        subscribers.subscription_status,
        coalesce(billed.is_in_trial, false) as is_in_trial,
        coalesce(billed.is_paying, false) as is_paying,
        billed.renews_at,
        billed.first_paid_at,
        billed.trial_ends_at,
        greatest(billed.restarted_at, consumed.returned_at) as won_back_at,
        least(subscribers.created_at, activity.first_seen_at, subscribers.first_seen_at) as acquired_at,
        coalesce(activity.first_seen_at, subscribers.first_seen_at) as first_seen_at,
        activity.last_active_at,
        consumed.last_consumed_at,
        coalesce(consumed.interaction_count, 0) as interaction_count,
        coalesce(consumed.interaction_count_28d, 0) as interaction_count_28d,
        -- of whom no contact or subscription says it, the events do
        coalesce(subscribers.is_simulated, activity.is_simulated, false) as is_simulated
    from {{ ref('int_subscribers_attributed') }} as subscribers
    left join {{ ref('int_subscribers_billed') }} as billed on subscribers.subscriber_id = billed.subscriber_id
    left join {{ ref('int_subscribers_consumed') }} as consumed on subscribers.subscriber_id = consumed.subscriber_id
    left join {{ ref('int_subscribers_active') }} as activity
        on subscribers.subscriber_id = activity.subscriber_id

)

select
    subscriber_id,
    is_known,
    is_in_trial,
    is_paying,
    renews_at,
    first_paid_at,
    trial_ends_at,
    won_back_at,
    acquired_at,
    first_seen_at,
    last_active_at,
    last_consumed_at,
    interaction_count,
    interaction_count_28d,
    is_simulated,
    {{ lifecycle_stage() }} as lifecycle_stage
from joined
