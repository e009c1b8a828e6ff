-- Under which rule of consent each subscriber stands: by the region that the newest consent record names, or else by
-- the country that the CRM knows, or else by the strictest. The fingerprint is another one wherever what was said, or
-- the rule, is: what follows from both is written again there.
with spoken as (

    select
        subscriber_id,
        bit_xor(hash_record_extended(
            (
                consent_id, identifier, spoken_by, linked_at, purpose, is_granted, is_withdrawal, legal_basis, region,
                text_version, recorded_via, proof, recorded_at, is_simulated
            ), 0
        )) as word_hash
    from {{ ref('int_consents_said') }}
    where subscriber_id is not null
    group by subscriber_id

),

subscribers as (

    select subscriber_id from {{ ref('int_subscribers_attributed') }}
    union
    -- who is known by an address or number alone is not attributed
    select subscriber_id
    from {{ ref('int_identifiers_resolved') }}
    where identifier_kind in ('email_hash', 'phone_hash')
    union
    select subscriber_id from spoken

),

recorded as (

    select distinct on (said.subscriber_id)
        said.subscriber_id,
        regions.region_rule
    from {{ ref('int_consents_said') }} as said
    inner join {{ ref('consent_regions') }} as regions on said.region = regions.region
    where said.subscriber_id is not null
    order by said.subscriber_id asc, said.recorded_at desc, regions.region_rule asc

),

ruled as (

    select
        subscribers.subscriber_id,
        spoken.word_hash,
        coalesce(recorded.region_rule, regions.region_rule, 'strictest') as region_rule,
        case
            when recorded.region_rule is not null then 'consent_record'
            when regions.region_rule is not null then 'crm_country'
            else 'unknown'
        end as rule_source,
        -- the birthday may be to come this year
        (extract(year from {{ as_of() }}) - attributed.birth_year - 1)::integer as youngest_age
    from subscribers
    left join spoken on subscribers.subscriber_id = spoken.subscriber_id
    left join recorded on subscribers.subscriber_id = recorded.subscriber_id
    left join {{ ref('int_subscribers_attributed') }} as attributed
        on subscribers.subscriber_id = attributed.subscriber_id
    left join {{ ref('consent_regions') }} as regions on upper(trim(attributed.country)) = regions.region

)

select
    subscriber_id,
    region_rule,
    rule_source,
    youngest_age,
    hash_record_extended((word_hash, region_rule, rule_source, youngest_age), 0) as fingerprint
from ruled
