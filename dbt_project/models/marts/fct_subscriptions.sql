{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('billing_id', touched_subscriptions()) }}",
    indexes=[{'columns': ['subscription_period_id'], 'unique': true}, {'columns': ['billing_id']}]
) }}

-- depends_on: {{ ref('int_identifiers_assigned') }}
-- One row a period in which a subscription stood as it was: a history of what billing told (slowly changing, type 2).
-- Versions are put in the order of their own time, of two at one time the later arrival counts, and versions that
-- change nothing end no period. A version that says that the subscription is gone ends the last one.
with versions as (

    select distinct on (source, billing_id, updated_at)
        version_id,
        source,
        billing_id,
        user_id,
        email_hash,
        plan,
        subscription_status,
        is_trial,
        monthly_amount_cents,
        currency,
        started_at,
        renews_at,
        canceled_at,
        is_deleted,
        updated_at,
        is_simulated,
        jsonb_build_array(
            plan, subscription_status, is_trial, monthly_amount_cents, currency, is_deleted
        ) as state
    from {{ ref('stg_billing__subscription_versions') }} as told
    where {{ is_missing('told.billing_id') }}
    order by source asc, billing_id asc, updated_at asc, version_id desc

),

compared as (

    select
        *,
        coalesce(state <> lag(state) over (partition by source, billing_id order by updated_at), true) as is_change
    from versions

),

numbered as (

    select
        *,
        count(*) filter (where is_change) over (partition by source, billing_id order by updated_at) as period_number
    from compared

),

periods as (

    -- the newest version of a period has the newest word on what opens no period, such as the next renewal
    select distinct on (source, billing_id, period_number)
        *,
        min(updated_at) over (partition by source, billing_id, period_number) as valid_from
    from numbered
    order by source asc, billing_id asc, period_number asc, updated_at desc

),

bounded as (

    select
        *,
        lead(valid_from) over (partition by source, billing_id order by valid_from) as valid_to
    from periods

)

select
    md5(bounded.source || ':' || bounded.billing_id || ':' || extract(epoch from bounded.valid_from))
        as subscription_period_id,
    bounded.billing_id,
    coalesce(by_billing.subscriber_id, by_user.subscriber_id, by_email.subscriber_id) as subscriber_id,
    bounded.valid_from,
    bounded.valid_to,
    bounded.valid_to is null as is_current,
    bounded.plan,
    bounded.subscription_status,
    bounded.is_trial,
    bounded.monthly_amount_cents,
    bounded.currency,
    bounded.started_at,
    bounded.renews_at,
    bounded.canceled_at,
    bounded.is_simulated
from bounded
left join {{ ref('int_identifiers_resolved') }} as by_billing
    on by_billing.identifier_kind = 'billing_id' and by_billing.identifier = 'billing_id:' || bounded.billing_id
left join {{ ref('int_identifiers_resolved') }} as by_user
    on by_user.identifier_kind = 'user_id' and by_user.identifier = 'user_id:' || bounded.user_id
left join {{ ref('int_identifiers_resolved') }} as by_email
    on by_email.identifier_kind = 'email_hash' and by_email.identifier = 'email_hash:' || bounded.email_hash
where not bounded.is_deleted
