{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_retold('billing_subscriptions', 'updated_at') }}",
    indexes=[
        {'columns': ['source', 'source_key'], 'unique': true}, {'columns': ['billing_id']}, {'columns': ['email_hash']}
    ]
) }}

-- Subscriptions as billing has them now, kept for the same reason as int_contacts_standing.
select
    subscriptions.source,
    subscriptions.source_key,
    subscriptions.billing_id,
    subscriptions.email,
    subscriptions.email_hash,
    subscriptions.plan,
    subscriptions.subscription_status,
    subscriptions.is_trial,
    subscriptions.monthly_amount_cents,
    subscriptions.started_at,
    subscriptions.renews_at,
    subscriptions.canceled_at,
    subscriptions.trial_ends_at,
    subscriptions.updated_at,
    subscriptions.is_simulated
from {{ missing_records(
    'stg_billing__subscriptions', 'billing_subscriptions',
    'kept.source = told.source and kept.source_key = told.source_key'
) }} as subscriptions
