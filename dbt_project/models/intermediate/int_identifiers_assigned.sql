{{ config(
    materialized='incremental',
    unique_key='identifier',
    incremental_strategy='delete+insert',
    indexes=[
        {'columns': ['identifier'], 'unique': true},
        {'columns': ['identifier_value', 'identifier_kind']},
        {'columns': ['assigned_xid']},
        {'columns': ['written_xid']}
    ],
    pre_hook=["{{ catch_up_with_raw() }}", "{{ resolve_identifiers() }}"]
) }}

-- Each identifier's subscriber, and since which build, and whose it was before: what follows from it is written again.
-- An identifier that is nobody's any more stays here without a subscriber; int_identifiers_resolved has the rest.
-- The graph is kept and resolved by the functions of the schema `identity`, which read the raw rows of these models:
-- depends_on: {{ ref('stg_events__events') }}
-- depends_on: {{ ref('stg_crm__contacts') }}
-- depends_on: {{ ref('stg_billing__subscriptions') }}
-- depends_on: {{ ref('stg_surveys__answers') }}
-- depends_on: {{ ref('stg_email_provider__events') }}
select
    resolved.identifier,
    resolved.identifier_kind,
    resolved.identifier_value,
    resolved.subscriber_id,
    resolved.first_seen_at,
    resolved.last_seen_at,
    {% if is_incremental() -%}
        case
            when coalesce(known.subscriber_id, '') <> coalesce(resolved.subscriber_id, '') then {{ this_transaction() }}
            else known.assigned_xid
        end as assigned_xid,
        case
            -- builds that failed since the last whole one have assigned too: whom they took it from counts as well
            when
                coalesce(known.subscriber_id, '') <> coalesce(resolved.subscriber_id, '')
                and {{ written_since_last_build('known.assigned_xid') }}
                then known.former_subscriber_ids || jsonb_build_array(known.subscriber_id)
            when coalesce(known.subscriber_id, '') <> coalesce(resolved.subscriber_id, '')
                then jsonb_build_array(known.subscriber_id)
            else known.former_subscriber_ids
        end as former_subscriber_ids,
    {%- else -%}
        {{ this_transaction() }} as assigned_xid,
        '[]'::jsonb as former_subscriber_ids,
    {%- endif %}
    {{ this_transaction() }} as written_xid
from pg_temp.resolved_identifiers as resolved
{% if is_incremental() %}
    left join {{ this }} as known on resolved.identifier = known.identifier
    where
        (known.subscriber_id, known.first_seen_at, known.last_seen_at)
        is distinct from (resolved.subscriber_id, resolved.first_seen_at, resolved.last_seen_at)
{% endif %}
