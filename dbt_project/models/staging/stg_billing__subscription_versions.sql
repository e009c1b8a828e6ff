-- Every version that billing told of a subscription, for histories; stg_billing__subscriptions has the newest.
select
    raw_id as version_id,
    source,
    source_key,
    billing_id,
    nullif(trim(user_id), '') as user_id,
    {{ normalise_email('email') }} as email,
    {{ sha256_hex(normalise_email('email')) }} as email_hash,
    coalesce(nullif(lower(trim(plan)), ''), 'free') as plan,
    case
        when canceled_at is not null or lower(trim(status)) in ('canceled', 'cancelled', 'expired') then 'canceled'
        else 'active'
    end as subscription_status,
    coalesce(lower(trim(status)) = 'trialing' and canceled_at is null, false) as is_trial,
    {{ to_integer('monthly_amount_cents') }} as monthly_amount_cents,
    nullif(upper(trim(currency)), '') as currency,
    started_at,
    renews_at,
    canceled_at,
    trial_ends_at,
    is_deleted,
    updated_at,
    is_simulated,
    loaded_xid
from {{ source('raw', 'billing_subscriptions') }}
where updated_at <= {{ as_of() }}
