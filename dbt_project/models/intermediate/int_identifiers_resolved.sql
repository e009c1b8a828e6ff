-- Each identifier's subscriber: a view on int_identifiers_assigned, without what is nobody's.
{{ config(materialized='view') }}

select
    identifier,
    identifier_kind,
    identifier_value,
    subscriber_id,
    first_seen_at,
    last_seen_at
from {{ ref('int_identifiers_assigned') }}
where subscriber_id is not null
