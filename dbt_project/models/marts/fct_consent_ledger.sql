-- Every word on consent that was ever said, and whether it counts now. Global Privacy Control counts where the region's
-- rule honours it; after it a grant counts only where the rule lets it be lifted, and only when a person gave it to us
-- in so many words: a client that stops sending the signal goes back to what its banner was told before.
-- An increment writes the words of those who said something else, or stand under another rule, than before.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_reworded() }}",
    indexes=[{'columns': ['consent_id'], 'unique': true}, {'columns': ['subscriber_id']}]
) }}

-- depends_on: {{ ref('int_consents_compared') }}
with ruled as (

    select
        said.*,
        subscribers.region_rule,
        coalesce(rules.is_gpc_honoured, true) as is_gpc_honoured,
        coalesce(rules.is_gpc_liftable, false) as is_gpc_liftable,
        min(said.recorded_at) filter (where said.recorded_via = 'gpc' and rules.is_gpc_honoured)
            over (partition by said.subscriber_id, said.purpose)
            as first_gpc_at,
        lag(said.is_granted) over (
            partition by coalesce(said.subscriber_id, said.identifier), said.purpose
            order by said.recorded_at asc, said.is_granted desc, said.consent_id asc
        ) as was_granted
    from {{ ref('int_consents_said') }} as said
    left join {{ ref('int_subscribers_ruled') }} as subscribers on said.subscriber_id = subscribers.subscriber_id
    left join {{ ref('consent_purposes') }} as rules
        on subscribers.region_rule = rules.region_rule and said.purpose = rules.purpose
    {% if is_incremental() %}
        where {{ is_reworded('said') }}
    {% endif %}

)

select
    consent_id,
    subscriber_id,
    identifier,
    spoken_by,
    linked_at,
    purpose,
    case
        when is_granted then 'granted'
        when is_withdrawal or was_granted then 'withdrawn'
        else 'denied'
    end as decision,
    is_granted,
    case
        when recorded_via = 'gpc' then is_gpc_honoured
        when is_granted and recorded_at > first_gpc_at
            then is_gpc_liftable and recorded_via in ('register', 'preference_centre')
        else true
    end as is_counted,
    legal_basis,
    region,
    region_rule,
    text_version,
    recorded_via,
    proof,
    recorded_at,
    is_simulated
from ruled
