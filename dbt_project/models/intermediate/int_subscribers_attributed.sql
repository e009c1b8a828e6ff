{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook=["{{ take_memory() }}", "{{ find_regrouped_subscribers() }}"],
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

-- What the CRM and billing know of each subscriber: the newest contact and the newest subscription of all its records.
-- An increment writes those who gained or lost an identifier, and those of whom a system told something.
-- depends_on: {{ ref('int_identifiers_assigned') }}
-- depends_on: {{ ref('stg_events__events') }}
with identifiers as (

    select
        identifiers.subscriber_id,
        identifiers.identifier_kind,
        identifiers.identifier_value
    from {{ ref('int_identifiers_resolved') }} as identifiers
    {% if is_incremental() %}
        inner join pg_temp.regrouped_subscribers as regrouped on identifiers.subscriber_id = regrouped.subscriber_id
    {% endif %}

),

crm as (

    select distinct on (identifiers.subscriber_id)
        identifiers.subscriber_id,
        contacts.user_id,
        contacts.email,
        contacts.email_hash,
        contacts.first_name,
        contacts.birth_year,
        contacts.gender,
        contacts.occupation,
        contacts.country,
        contacts.timezone,
        contacts.is_simulated,
        min(contacts.created_at) over (partition by identifiers.subscriber_id) as created_at
    from {{ ref('int_contacts_standing') }} as contacts
    inner join identifiers
        on identifiers.identifier_kind = 'crm_id' and contacts.crm_id = identifiers.identifier_value
    order by
        identifiers.subscriber_id asc, (contacts.user_id is null) asc, contacts.updated_at desc, contacts.crm_id asc

),

billing as (

    select distinct on (identifiers.subscriber_id)
        identifiers.subscriber_id,
        subscriptions.plan,
        subscriptions.subscription_status,
        subscriptions.is_simulated
    from {{ ref('int_subscriptions_standing') }} as subscriptions
    inner join identifiers
        on identifiers.identifier_kind = 'billing_id' and subscriptions.billing_id = identifiers.identifier_value
    order by identifiers.subscriber_id asc, subscriptions.updated_at desc, subscriptions.billing_id asc

),

spoken_emails as (

    select email, email_hash, updated_at as seen_at from {{ ref('int_contacts_standing') }}
    union all
    select email, email_hash, updated_at from {{ ref('int_subscriptions_standing') }}
    union all
    select email, email_hash, occurred_at from {{ ref('stg_events__events') }}
    where has_email
    union all
    select email, email_hash, answered_at from {{ ref('stg_surveys__answers') }}

),

emails as (

    select distinct on (identifiers.subscriber_id)
        identifiers.subscriber_id,
        spoken_emails.email,
        spoken_emails.email_hash
    from spoken_emails
    inner join identifiers
        on identifiers.identifier_kind = 'email_hash' and spoken_emails.email_hash = identifiers.identifier_value
    where spoken_emails.email is not null
    order by identifiers.subscriber_id asc, spoken_emails.seen_at desc, spoken_emails.email asc

)

select
    regrouped.subscriber_id,
    coalesce(regrouped.user_id, crm.user_id) as user_id,
    emails.email,
    emails.email_hash,
    crm.first_name,
    crm.birth_year,
    coalesce(crm.gender, 'unknown') as gender,
    crm.occupation,
    crm.country,
    crm.timezone,
    crm.created_at,
    billing.plan,
    coalesce(billing.subscription_status, 'none') as subscription_status,
    regrouped.identifier_count,
    regrouped.first_seen_at,
    coalesce(crm.is_simulated, billing.is_simulated) as is_simulated
from pg_temp.regrouped_subscribers as regrouped
left join crm on regrouped.subscriber_id = crm.subscriber_id
left join billing on regrouped.subscriber_id = billing.subscriber_id
left join emails on regrouped.subscriber_id = emails.subscriber_id
where not (regrouped.is_contact_only and emails.email is null)
