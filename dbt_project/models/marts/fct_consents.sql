-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['subscriber_id']}]) }}

select
    subscriber_id,
    purpose,
    is_granted,
    recorded_at
from {{ ref('int_consents_latest') }}
