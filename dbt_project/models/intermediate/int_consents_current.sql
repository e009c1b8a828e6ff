-- What each subscriber permits for each purpose: what they said, or else what the rule of their region supposes.
-- The newest word wins, and of two at one moment the refusal. What a client said before anybody signed in there counts
-- beside the person's newest word, the more restrictive of the two, until the person speaks after the merge. An
-- increment writes the subscribers who said something else, or stand under another rule, than before.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_reworded() }}",
    indexes=[{'columns': ['purpose', 'subscriber_id'], 'unique': true}, {'columns': ['subscriber_id']}]
) }}

-- depends_on: {{ ref('int_consents_compared') }}
with ruled as (

    select *
    from {{ ref('int_subscribers_ruled') }} as subscribers
    {% if is_incremental() %}
        where {{ is_reworded('subscribers') }}
    {% endif %}

),

ledger as (

    select *
    from {{ ref('fct_consent_ledger') }}
    {% if is_incremental() %}
        where subscriber_id in (select ruled.subscriber_id from ruled)
    {% endif %}

),

newest as (

    select distinct on (subscriber_id, purpose, spoken_by)
        subscriber_id,
        purpose,
        spoken_by,
        is_granted,
        legal_basis,
        text_version,
        recorded_via,
        recorded_at,
        case when spoken_by = 'person' then recorded_at else coalesce(linked_at, recorded_at) end as effective_at
    from ledger
    where subscriber_id is not null and is_counted
    order by subscriber_id asc, purpose asc, spoken_by asc, recorded_at desc, is_granted asc

),

standing as (

    select distinct on (newest.subscriber_id, newest.purpose)
        newest.*
    from newest
    left join newest as person
        on
            newest.subscriber_id = person.subscriber_id
            and newest.purpose = person.purpose
            and person.spoken_by = 'person'
            and newest.spoken_by <> 'person'
            and newest.effective_at < person.recorded_at
    where person.subscriber_id is null
    order by newest.subscriber_id asc, newest.purpose asc, newest.is_granted asc, newest.effective_at desc

),

locks as (

    select
        subscriber_id,
        purpose
    from ledger
    where recorded_via = 'gpc' and is_counted
    group by subscriber_id, purpose

)

select
    ruled.subscriber_id,
    rules.purpose,
    coalesce(
        standing.is_granted,
        rules.is_permitted_by_default
        and coalesce(ruled.youngest_age >= rules.default_from_age, true)
    ) as is_permitted,
    standing.subscriber_id is not null as is_said,
    coalesce(standing.legal_basis, rules.default_basis) as legal_basis,
    coalesce(standing.recorded_via, 'regional_default') as recorded_via,
    standing.text_version,
    ruled.region_rule,
    ruled.rule_source,
    standing.recorded_at,
    standing.effective_at,
    locks.subscriber_id is not null and not rules.is_gpc_liftable as is_locked
from ruled
inner join {{ ref('consent_purposes') }} as rules on ruled.region_rule = rules.region_rule
left join standing on ruled.subscriber_id = standing.subscriber_id and rules.purpose = standing.purpose
left join locks on ruled.subscriber_id = locks.subscriber_id and rules.purpose = locks.purpose
