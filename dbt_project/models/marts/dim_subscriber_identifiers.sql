-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['identifier_value', 'identifier_kind']}]) }}

select
    identifier_kind,
    identifier_value,
    subscriber_id,
    first_seen_at,
    last_seen_at
from {{ ref('int_identifiers_resolved') }}
