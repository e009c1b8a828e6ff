{{ config(
    materialized='incremental',
    unique_key='identifier',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['identifier'], 'unique': true}, {'columns': ['identifier_value', 'identifier_kind']}],
    pre_hook=["{{ catch_up_with_raw() }}", "{{ resolve_identifiers() }}"]
) }}

-- Each identifier's subscriber. The graph is kept and resolved by the functions of the schema `identity`, which read
-- the same raw rows as these models do:
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
            when known.subscriber_id = resolved.subscriber_id then known.assigned_xid
            else pg_current_xact_id()::text::bigint
        end as assigned_xid,
    {%- else -%}
        pg_current_xact_id()::text::bigint as assigned_xid,
    {%- endif %}
    {{ this_transaction() }} as written_xid
from pg_temp.resolved_identifiers as resolved
{% if is_incremental() %}
    left join {{ this }} as known on resolved.identifier = known.identifier
    where
        resolved.subscriber_id is not null
        and (known.subscriber_id, known.first_seen_at, known.last_seen_at)
        is distinct from (resolved.subscriber_id, resolved.first_seen_at, resolved.last_seen_at)
{% endif %}
