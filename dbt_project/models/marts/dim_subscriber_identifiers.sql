-- serving looks up one subscriber in every request
{{ config(
    materialized='incremental',
    unique_key=['identifier_value', 'identifier_kind'],
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['identifier_value', 'identifier_kind'], 'unique': true}],
    post_hook="{{ forget_gone(ref('int_identifiers_resolved'), ['identifier_value', 'identifier_kind']) }}"
) }}

select
    identifier_kind,
    identifier_value,
    subscriber_id,
    first_seen_at,
    last_seen_at
from {{ ref('int_identifiers_resolved') }}
{% if is_incremental() %}
    where {{ written_since_last_build('written_xid') }}
{% endif %}
