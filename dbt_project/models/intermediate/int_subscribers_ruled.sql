-- Under which rule of consent each subscriber stands: by the region that the newest consent record names, or else by
-- the country that the CRM knows, or else by the strictest.
with subscribers as (

    select subscriber_id from {{ ref('int_identifiers_resolved') }}
    union
    select subscriber_id
    from {{ ref('int_consents_said') }}
    where subscriber_id is not null

),

recorded as (

    select distinct on (said.subscriber_id)
        said.subscriber_id,
        regions.region_rule
    from {{ ref('int_consents_said') }} as said
    inner join {{ ref('consent_regions') }} as regions on said.region = regions.region
    where said.subscriber_id is not null
    order by said.subscriber_id asc, said.recorded_at desc, regions.region_rule asc

)

select
    subscribers.subscriber_id,
    coalesce(recorded.region_rule, regions.region_rule, 'strictest') as region_rule,
    case
        when recorded.region_rule is not null then 'consent_record'
        when regions.region_rule is not null then 'crm_country'
        else 'unknown'
    end as rule_source,
    -- the birthday may be to come this year
    (extract(year from {{ as_of() }}) - attributed.birth_year - 1)::integer as youngest_age
from subscribers
left join recorded on subscribers.subscriber_id = recorded.subscriber_id
left join {{ ref('int_subscribers_attributed') }} as attributed
    on subscribers.subscriber_id = attributed.subscriber_id
left join {{ ref('consent_regions') }} as regions on upper(trim(attributed.country)) = regions.region
