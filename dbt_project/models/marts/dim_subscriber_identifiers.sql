-- serving looks up one subscriber in every request
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_identifiers() }}",
    indexes=[{'columns': ['identifier_value', 'identifier_kind'], 'unique': true}]
) }}

select
    identifier_kind,
    identifier_value,
    subscriber_id,
    first_seen_at,
    last_seen_at
from {{ ref('int_identifiers_assigned') }}
where
    subscriber_id is not null
    {% if is_incremental() %}
        and {{ written_since_last_build('written_xid') }}
    {% endif %}
