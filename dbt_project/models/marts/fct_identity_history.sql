-- depends_on: {{ ref('int_identifiers_resolved') }}
select
    history_id as identity_change_id,
    change as change_type,
    from_subscriber_id,
    to_subscriber_id,
    identifier,
    other_identifier,
    source,
    evidence as evidence_id,
    changed_at
from {{ source('identity', 'history') }}
where changed_at <= {{ as_of() }}
