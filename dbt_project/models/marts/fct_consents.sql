-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['subscriber_id']}]) }}

select
    subscriber_id,
    purpose,
    is_permitted,
    is_said,
    legal_basis,
    recorded_via,
    text_version,
    region_rule,
    rule_source,
    recorded_at,
    effective_at,
    is_locked
from {{ ref('int_consents_current') }}
