{{ config(
    materialized='incremental',
    unique_key='message_id',
    incremental_strategy='delete+insert',
    pre_hook="{{ take_memory() }}",
    indexes=[
        {'columns': ['message_id'], 'unique': true},
        {'columns': ['client_id', 'occurred_at']},
        {'columns': ['user_id']},
        {'columns': ['device_id']},
        {'columns': ['subscriber_id']},
        {'columns': ['written_xid']}
    ]
) }}

{#- What an event brings, beside its session and subscriber. -#}
{%- set carried -%}
    message_id,
    client_id,
    anonymous_id,
    device_id,
    user_id,
    event_type,
    event,
    device_type,
    content_id,
    watched_fraction,
    properties,
    consent_purposes,
    occurred_at,
    received_at,
    is_simulated
{%- endset -%}

-- Every event with its subscriber and its session: the same client, no pause longer than the gap. An increment divides
-- into sessions the new events and those sessions that one of them lies in or next to, gives the events of identifiers
-- that changed hands their new subscriber, and writes what differs.
-- depends_on: {{ ref('int_identifiers_assigned') }}
with arrived as (

    select
        message_id,
        coalesce(anonymous_id, device_id, user_id) as client_id,
        anonymous_id,
        device_id,
        user_id,
        event_type,
        event,
        device_type,
        content_id,
        watched_fraction,
        properties,
        -- as jsonb: unit tests of dbt cannot stand in for an array
        to_jsonb(consent_purposes) as consent_purposes,
        occurred_at,
        received_at,
        is_simulated
    from {{ ref('stg_events__events') }}
    where coalesce(anonymous_id, device_id, user_id) is not null and {{ arrived_since_last_build() }}

),

{% if is_incremental() %}

    neighbours as (

        select distinct
            known.client_id,
            known.session_started_at
        from arrived
        inner join {{ this }} as known
            on
                arrived.client_id = known.client_id
                and known.occurred_at >= arrived.occurred_at - interval '{{ var("session_gap") }}'
                and known.occurred_at <= arrived.occurred_at + interval '{{ var("session_gap") }}'

    ),

    stretches as (

        select {{ carried }}
        from arrived
        union all
        select known.{{ carried | replace('\n    ', '\n    known.') }}
        from neighbours
        inner join {{ this }} as known
            on
                neighbours.client_id = known.client_id
                and neighbours.session_started_at = known.session_started_at
                and neighbours.session_started_at <= known.occurred_at
        where not exists (
            select from arrived
            where arrived.message_id = known.message_id
        )

    ),

{% else %}

    stretches as (

        select {{ carried }} from arrived

    ),

{% endif %}

marked as (

    select
        *,
        coalesce(
            occurred_at - lag(occurred_at) over (partition by client_id order by occurred_at, message_id)
            > interval '{{ var("session_gap") }}',
            true
        ) as is_session_start
    from stretches

),

divided as (

    select
        {{ carried }},
        max(case when is_session_start then occurred_at end)
            over (partition by client_id order by occurred_at, message_id)
            as session_started_at
    from marked

),

{% if is_incremental() %}

    reassigned as (

        select
            identifier_kind,
            identifier_value
        from {{ ref('int_identifiers_assigned') }}
        where {{ written_since_last_build('assigned_xid') }}

    ),

    moved as (

        select known.message_id
        from reassigned
        inner join {{ this }} as known on reassigned.identifier_value = known.client_id
        where reassigned.identifier_kind in ('anonymous_id', 'device_id', 'user_id')
        union
        select known.message_id
        from reassigned
        inner join {{ this }} as known on reassigned.identifier_value = known.user_id
        where reassigned.identifier_kind = 'user_id'
        union
        select known.message_id
        from reassigned
        inner join {{ this }} as known on reassigned.identifier_value = known.device_id
        where reassigned.identifier_kind = 'device_id'

    ),

    placed as (

        select
            {{ carried }},
            session_started_at
        from divided
        union all
        select
            known.{{ carried | replace('\n    ', '\n    known.') }},
            known.session_started_at
        from moved
        inner join {{ this }} as known on moved.message_id = known.message_id
        where not exists (
            select from divided
            where divided.message_id = known.message_id
        )

    ),

{% else %}

    placed as (

        select * from divided

    ),

{% endif %}

owned as (

    select
        placed.*,
        md5(placed.client_id || ':' || extract(epoch from placed.session_started_at)) as session_id,
        coalesce(by_user.subscriber_id, by_anonymous.subscriber_id, by_device.subscriber_id) as subscriber_id
    from placed
    left join {{ ref('int_identifiers_resolved') }} as by_user
        on by_user.identifier_kind = 'user_id' and by_user.identifier = 'user_id:' || placed.user_id
    left join {{ ref('int_identifiers_resolved') }} as by_anonymous
        on
            by_anonymous.identifier_kind = 'anonymous_id'
            and by_anonymous.identifier = 'anonymous_id:' || placed.anonymous_id
    left join {{ ref('int_identifiers_resolved') }} as by_device
        on by_device.identifier_kind = 'device_id' and by_device.identifier = 'device_id:' || placed.device_id

)

select
    owned.{{ carried | replace('\n    ', '\n    owned.') }},
    owned.session_started_at,
    owned.session_id,
    owned.subscriber_id,
    {{ this_transaction() }} as written_xid,
    {% if is_incremental() -%}
        -- builds that failed since the last whole one have written too: whom they took the event from counts as well
        case
            when {{ written_since_last_build('known.written_xid') }}
                then known.former_subscriber_ids || jsonb_build_array(known.subscriber_id)
            else jsonb_build_array(known.subscriber_id)
        end as former_subscriber_ids
    {%- else -%}
        '[]'::jsonb as former_subscriber_ids
    {%- endif %}
from owned
{% if is_incremental() %}
    left join {{ this }} as known on owned.message_id = known.message_id
    where
        (owned.session_id, owned.subscriber_id) is distinct from (known.session_id, known.subscriber_id)
{% endif %}
