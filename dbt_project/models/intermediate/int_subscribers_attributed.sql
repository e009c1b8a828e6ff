-- What the CRM and billing know of each subscriber: the newest contact and the newest subscription of all its records.
with contacts as (

    select * from {{ ref('stg_crm__contacts') }}

),

subscriptions as (

    select * from {{ ref('stg_billing__subscriptions') }}

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
    from contacts
    inner join {{ ref('int_identifiers_resolved') }} as identifiers
        on identifiers.identifier_kind = 'crm_id' and identifiers.identifier = 'crm_id:' || contacts.crm_id
    order by
        identifiers.subscriber_id asc, (contacts.user_id is null) asc, contacts.updated_at desc, contacts.crm_id asc

),

billing as (

    select distinct on (identifiers.subscriber_id)
        identifiers.subscriber_id,
        subscriptions.plan,
        subscriptions.subscription_status,
        subscriptions.renews_at,
        subscriptions.is_simulated
    from subscriptions
    inner join {{ ref('int_identifiers_resolved') }} as identifiers
        on
            identifiers.identifier_kind = 'billing_id'
            and identifiers.identifier = 'billing_id:' || subscriptions.billing_id
    order by identifiers.subscriber_id asc, subscriptions.updated_at desc, subscriptions.billing_id asc

),

spoken_emails as (

    select email, email_hash, updated_at as seen_at from contacts
    union all
    select email, email_hash, updated_at from subscriptions
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
    inner join {{ ref('int_identifiers_resolved') }} as identifiers
        on
            identifiers.identifier_kind = 'email_hash'
            and identifiers.identifier = 'email_hash:' || spoken_emails.email_hash
    where spoken_emails.email is not null
    order by identifiers.subscriber_id asc, spoken_emails.seen_at desc, spoken_emails.email asc

),

subscribers as (

    select
        subscriber_id,
        min(identifier_value) filter (where identifier_kind = 'user_id') as user_id,
        count(*) as identifier_count,
        min(first_seen_at) as first_seen_at,
        bool_and(identifier_kind in ('email_hash', 'phone_hash')) as is_contact_only
    from {{ ref('int_identifiers_resolved') }}
    group by subscriber_id

)

select
    subscribers.subscriber_id,
    coalesce(subscribers.user_id, crm.user_id) as user_id,
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
    subscribers.identifier_count,
    subscribers.first_seen_at,
    coalesce(crm.is_simulated, billing.is_simulated) as is_simulated
from subscribers
left join crm on subscribers.subscriber_id = crm.subscriber_id
left join billing on subscribers.subscriber_id = billing.subscriber_id
left join emails on subscribers.subscriber_id = emails.subscriber_id
where not (subscribers.is_contact_only and emails.email is null)
