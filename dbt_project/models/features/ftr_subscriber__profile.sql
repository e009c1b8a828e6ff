select
    subscriber_id,
    {{ as_of() }} as event_timestamp,
    {{ as_of() }} as created_at,
    age_band,
    gender,
    coalesce(occupation, 'unknown') as occupation,
    plan,
    region,
    lifecycle_stage,
    has_personalization_consent
from {{ ref('dim_subscribers') }}
where {{ permitted('personalization', 'subscriber_id') }}
