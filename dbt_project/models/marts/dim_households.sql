-- Subscribers who share household devices, transitively. Devices that together gather more people than a household may
-- have define none.
with recursive shared as (

    select distinct
        devices.device_identifier,
        devices.household_at_most,
        resolved.subscriber_id
    from {{ ref('int_household_devices') }} as devices
    inner join {{ ref('int_identifiers_resolved') }} as resolved on devices.user_identifier = resolved.identifier

),

reached as (

    select
        subscriber_id,
        subscriber_id as other_id
    from shared

    union

    select
        reached.subscriber_id,
        theirs.subscriber_id as other_id
    from reached
    inner join shared as own on reached.other_id = own.subscriber_id
    inner join shared as theirs on own.device_identifier = theirs.device_identifier

),

gathered as (

    select
        subscriber_id,
        min(other_id) as first_id,
        count(*) as member_count
    from reached
    group by subscriber_id

),

households as (

    select
        gathered.first_id,
        array_agg(distinct shared.subscriber_id order by shared.subscriber_id) as subscriber_ids,
        array_agg(distinct shared.device_identifier order by shared.device_identifier) as device_identifiers
    from gathered
    inner join shared on gathered.subscriber_id = shared.subscriber_id
    group by gathered.first_id
    having max(gathered.member_count) between 2 and max(shared.household_at_most)

)

select
    md5('household:' || device_identifiers[1]) as household_id,
    subscriber_ids,
    cardinality(subscriber_ids) as subscriber_count,
    device_identifiers
from households
