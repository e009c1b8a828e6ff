-- What billing says of each subscriber over all of his subscriptions: since when he pays, whether he tries, whether he
-- ended it, and whether he came back after he had.
with subscriptions as (

    select
        identifiers.subscriber_id,
        subscriptions.billing_id,
        subscriptions.subscription_status,
        subscriptions.is_trial,
        subscriptions.monthly_amount_cents,
        subscriptions.started_at,
        subscriptions.trial_ends_at,
        subscriptions.renews_at,
        subscriptions.canceled_at,
        subscriptions.updated_at
    from {{ ref('int_subscriptions_standing') }} as subscriptions
    inner join {{ ref('int_identifiers_resolved') }} as identifiers
        on
            identifiers.identifier_kind = 'billing_id'
            and identifiers.identifier = 'billing_id:' || subscriptions.billing_id

),

summed as (

    select
        subscriber_id,
        min(started_at) as first_subscribed_at,
        min(coalesce(trial_ends_at, started_at)) filter (
            where monthly_amount_cents > 0 and coalesce(trial_ends_at, started_at) <= {{ as_of() }}
            and coalesce(canceled_at > trial_ends_at, true)
        ) as first_paid_at,
        max(canceled_at) filter (where subscription_status = 'canceled') as last_canceled_at
    from subscriptions
    group by subscriber_id

),

newest as (

    select distinct on (subscriber_id)
        subscriber_id,
        subscription_status,
        is_trial,
        monthly_amount_cents,
        trial_ends_at,
        renews_at
    from subscriptions
    order by subscriber_id asc, updated_at desc, billing_id asc

),

-- a first payment after an end, of the same subscription or of another
restarts as (

    select
        begun.subscriber_id,
        max(begun.occurred_at) as restarted_at
    from {{ ref('int_subscription_outcomes') }} as begun
    inner join {{ ref('int_subscription_outcomes') }} as ended
        on
            begun.subscriber_id = ended.subscriber_id
            and begun.occurred_at > ended.occurred_at
            and ended.outcome = 'cancellation'
    where begun.outcome = 'subscription'
    group by begun.subscriber_id

)

select
    newest.subscriber_id,
    newest.subscription_status = 'active' and (
        coalesce(newest.trial_ends_at > {{ as_of() }}, newest.is_trial)
    ) as is_in_trial,
    newest.subscription_status = 'active'
    and newest.monthly_amount_cents > 0
    and not coalesce(newest.trial_ends_at > {{ as_of() }}, newest.is_trial) as is_paying,
    summed.first_subscribed_at,
    summed.first_paid_at,
    newest.trial_ends_at,
    newest.renews_at,
    summed.last_canceled_at,
    restarts.restarted_at
from newest
inner join summed on newest.subscriber_id = summed.subscriber_id
left join restarts on newest.subscriber_id = restarts.subscriber_id
