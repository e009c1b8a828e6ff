-- When a subscriber began to pay, took a dearer plan, or ended a subscription, out of billing's versions.
with versions as (

    select
        versions.billing_id,
        versions.subscription_status,
        versions.started_at,
        versions.trial_ends_at,
        versions.canceled_at,
        versions.updated_at,
        versions.version_id,
        versions.is_simulated,
        case
            when versions.subscription_status = 'active' and not versions.is_trial then versions.monthly_amount_cents
            else 0
        end as paid_cents
    from {{ ref('stg_billing__subscription_versions') }} as versions
    where not versions.is_deleted

),

followed as (

    select
        *,
        lag(paid_cents) over (partition by billing_id order by updated_at, version_id) as paid_before_cents,
        lag(subscription_status) over (partition by billing_id order by updated_at, version_id) as status_before
    from versions

),

changes as (

    select
        billing_id,
        is_simulated,
        case
            when paid_cents > 0 and coalesce(paid_before_cents, 0) = 0 then 'subscription'
            when paid_cents > paid_before_cents then 'upgrade'
            when subscription_status = 'canceled' and coalesce(status_before, '') <> 'canceled' then 'cancellation'
        end as outcome,
        case
            when subscription_status = 'canceled' then coalesce(canceled_at, updated_at)
            when paid_before_cents > 0 then updated_at
            -- the first payment is the trial's end, or the start where there was no trial
            when trial_ends_at <= updated_at then trial_ends_at
            when status_before is null then started_at
            else updated_at
        end as occurred_at
    from followed

)

select
    identifiers.subscriber_id,
    changes.billing_id,
    changes.outcome,
    changes.occurred_at,
    changes.is_simulated
from changes
inner join {{ ref('int_identifiers_resolved') }} as identifiers
    on
        identifiers.identifier_kind = 'billing_id'
        and identifiers.identifier = 'billing_id:' || changes.billing_id
where changes.outcome is not null and changes.occurred_at <= {{ as_of() }}
