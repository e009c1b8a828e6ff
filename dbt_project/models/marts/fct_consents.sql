select
    subscriber_id,
    purpose,
    is_granted,
    recorded_at
from {{ ref('int_consents_latest') }}
