{{ config(sql_header=on_both_cores()) }}

-- Under which rule of consent each subscriber stands: by the region that the newest consent record names, or else by
-- the country that the CRM knows, or else by the strictest. The fingerprint is another one wherever what was said, or
-- the rule, is: what follows from both is written again there.
with spoken as (

    select
        said.subscriber_id,
        bit_xor(hash_record_extended(
            (
                said.consent_id, said.identifier, said.spoken_by, said.linked_at, said.purpose, said.is_granted,
                said.is_withdrawal, said.legal_basis, said.region, said.text_version, said.recorded_via, said.proof,
                said.recorded_at, said.is_simulated
            ), 0
        )) as word_hash,
        min(regions.region_rule) as region_rule,
        min(regions.region_rule) <> max(regions.region_rule) as has_moved
    from {{ ref('int_consents_said') }} as said
    left join {{ ref('consent_regions') }} as regions on said.region = regions.region
    where said.subscriber_id is not null
    group by said.subscriber_id

),

-- of who spoke in regions of several rules, the newest word's
moved as (

    select distinct on (said.subscriber_id)
        said.subscriber_id,
        regions.region_rule
    from {{ ref('int_consents_said') }} as said
    inner join spoken on said.subscriber_id = spoken.subscriber_id and spoken.has_moved
    inner join {{ ref('consent_regions') }} as regions on said.region = regions.region
    order by said.subscriber_id asc, said.recorded_at desc, regions.region_rule asc

),

-- who is known by an address or number alone, or by words alone, is not attributed
unattributed as (

    select distinct known.subscriber_id
    from (
        select identifiers.subscriber_id
        from {{ ref('int_identifiers_resolved') }} as identifiers
        where identifiers.identifier_kind in ('email_hash', 'phone_hash')
        union all
        select spoken.subscriber_id
        from spoken
    ) as known
    where not exists (
        select from {{ ref('int_subscribers_attributed') }} as attributed
        where attributed.subscriber_id = known.subscriber_id
    )

),

subscribers as (

    select
        subscriber_id,
        country,
        birth_year
    from {{ ref('int_subscribers_attributed') }}
    union all
    select
        subscriber_id,
        null as country,
        null as birth_year
    from unattributed

),

ruled as (

    select
        subscribers.subscriber_id,
        spoken.word_hash,
        coalesce(moved.region_rule, spoken.region_rule, regions.region_rule, 'strictest') as region_rule,
        case
            when spoken.region_rule is not null then 'consent_record'
            when regions.region_rule is not null then 'crm_country'
            else 'unknown'
        end as rule_source,
        -- the birthday may be to come this year
        (extract(year from {{ as_of() }}) - subscribers.birth_year - 1)::integer as youngest_age
    from subscribers
    left join spoken on subscribers.subscriber_id = spoken.subscriber_id
    left join moved on subscribers.subscriber_id = moved.subscriber_id
    left join {{ ref('consent_regions') }} as regions on upper(trim(subscribers.country)) = regions.region

)

select
    subscriber_id,
    region_rule,
    rule_source,
    youngest_age,
    hash_record_extended((word_hash, region_rule, rule_source, youngest_age), 0) as fingerprint
from ruled
