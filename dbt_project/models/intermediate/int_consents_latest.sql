-- The newest word of each subscriber on each purpose, whichever identifier it was given under; on a tie a refusal wins.
with records as (

    select
        coalesce(identifiers.subscriber_id, substring(records.identifier from '^subscriber_id:(.*)$')) as subscriber_id,
        records.purpose,
        records.is_granted,
        records.region,
        records.recorded_at
    from {{ ref('stg_consents__records') }} as records
    left join {{ ref('int_identifiers_resolved') }} as identifiers
        on records.identifier = identifiers.identifier

)

select distinct on (subscriber_id, purpose)
    subscriber_id,
    purpose,
    is_granted,
    region,
    recorded_at
from records
where subscriber_id is not null
order by subscriber_id asc, purpose asc, recorded_at desc, is_granted asc
