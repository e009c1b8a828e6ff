with newest as (

    select distinct on (source, source_key) *
    from {{ ref('stg_billing__subscription_versions') }}
    order by source asc, source_key asc, updated_at desc, version_id desc

)

select
    source,
    source_key,
    billing_id,
    user_id,
    email,
    email_hash,
    plan,
    subscription_status,
    is_trial,
    monthly_amount_cents,
    currency,
    started_at,
    renews_at,
    canceled_at,
    trial_ends_at,
    updated_at,
    is_simulated,
    loaded_xid
from newest
where not is_deleted
