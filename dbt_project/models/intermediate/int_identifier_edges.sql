-- Which identifiers one record named together. Identifiers that too many people share join nobody:
-- a device or anonymous id of several users (a shared television, a kiosk), a blocked or crowded email or phone.
with records as (

    select
        user_id, anonymous_id, device_id, email_hash,
        null as phone_hash, null as crm_id, null as billing_id, occurred_at as seen_at
    from {{ ref('stg_events__events') }}

    union all

    select user_id, null, null, email_hash, phone_hash, crm_id, null, updated_at
    from {{ ref('stg_crm__contacts') }}

    union all

    select user_id, null, null, email_hash, null, null, billing_id, updated_at
    from {{ ref('stg_billing__subscriptions') }}

    union all

    select user_id, null, null, email_hash, null, null, null, answered_at
    from {{ ref('stg_surveys__answers') }}

    union all

    select null, null, null, email_hash, null, null, null, occurred_at
    from {{ ref('stg_email_provider__events') }}

),

combinations as (

    select
        user_id, anonymous_id, device_id, email_hash, phone_hash, crm_id, billing_id,
        min(seen_at) as first_seen_at,
        max(seen_at) as last_seen_at,
        row_number() over () as combination_id
    from records
    group by user_id, anonymous_id, device_id, email_hash, phone_hash, crm_id, billing_id

),

named as (

    select
        combinations.combination_id,
        combinations.user_id,
        kinds.kind,
        kinds.value,
        kinds.kind || ':' || kinds.value as identifier,
        combinations.first_seen_at,
        combinations.last_seen_at
    from combinations
    cross join
        lateral (
            values
            ('user_id', combinations.user_id),
            ('anonymous_id', combinations.anonymous_id),
            ('device_id', combinations.device_id),
            ('email_hash', combinations.email_hash),
            ('phone_hash', combinations.phone_hash),
            ('crm_id', combinations.crm_id),
            ('billing_id', combinations.billing_id)
        ) as kinds (kind, value)
    where kinds.value is not null

),

user_counts as (

    select
        identifier,
        count(distinct user_id) as user_count
    from named
    group by identifier

),

blocked as (

    select distinct named.identifier
    from named
    inner join user_counts on named.identifier = user_counts.identifier
    where
        (named.kind in ('device_id', 'anonymous_id') and user_counts.user_count > 1)
        or (named.kind = 'email_hash' and user_counts.user_count > {{ var('max_users_per_email') }})
        or (named.kind = 'phone_hash' and user_counts.user_count > {{ var('max_users_per_phone') }})
        {% for email in var('blocked_emails') %}
            or named.identifier = 'email_hash:' || {{ sha256_hex("'" ~ email ~ "'") }}
        {% endfor %}

),

members as (

    select
        named.combination_id,
        named.kind,
        named.value,
        named.identifier,
        named.first_seen_at,
        named.last_seen_at,
        blocked.identifier is not null as is_blocked
    from named
    left join blocked on named.identifier = blocked.identifier

),

hubs as (

    select
        combination_id,
        min(identifier) as hub
    from members
    where not is_blocked
    group by combination_id

)

-- every member of a record is tied to the record's first identifier, which joins them as well as all pairs would
select
    members.identifier,
    members.kind as identifier_kind,
    members.value as identifier_value,
    case when members.is_blocked then members.identifier else hubs.hub end as linked_identifier,
    bool_or(members.is_blocked) as is_blocked,
    min(members.first_seen_at) as first_seen_at,
    max(members.last_seen_at) as last_seen_at
from members
left join hubs on members.combination_id = hubs.combination_id
group by
    members.identifier,
    members.kind,
    members.value,
    case when members.is_blocked then members.identifier else hubs.hub end
