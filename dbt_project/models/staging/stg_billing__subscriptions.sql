with subscriptions as (

    {{ latest_version(source('raw', 'billing_subscriptions'), 'updated_at') }}

),

normalised as (

    select
        billing_id,
        nullif(trim(user_id), '') as user_id,
        {{ normalise_email('email') }} as email,
        coalesce(nullif(lower(trim(plan)), ''), 'free') as plan,
        case
            when canceled_at is not null or lower(trim(status)) in ('canceled', 'cancelled', 'expired') then 'canceled'
            else 'active'
        end as subscription_status,
        {{ to_integer('monthly_amount_cents') }} as monthly_amount_cents,
        started_at,
        renews_at,
        canceled_at,
        updated_at,
        is_simulated
    from subscriptions

)

select
    *,
    {{ sha256_hex('email') }} as email_hash
from normalised
