-- serving looks up one subscriber in every request
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_reworded() }}",
    indexes=[{'columns': ['subscriber_id', 'purpose'], 'unique': true}]
) }}

-- depends_on: {{ ref('int_consents_compared') }}
select
    consents.subscriber_id,
    consents.purpose,
    consents.is_permitted,
    consents.is_said,
    consents.legal_basis,
    consents.recorded_via,
    consents.text_version,
    consents.region_rule,
    consents.rule_source,
    consents.recorded_at,
    consents.effective_at,
    consents.is_locked
from {{ ref('int_consents_current') }} as consents
{% if is_incremental() %}
    where {{ is_reworded('consents') }}
{% endif %}
