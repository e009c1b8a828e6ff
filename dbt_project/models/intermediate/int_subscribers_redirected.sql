-- Former ids of subscribers and where they lead now. The identifier that named a former id is somebody's still; where
-- it was erased, the newest change of the id says whose the rest is, and that id may have been given up since, too.
with recursive changes as (

    select distinct on (from_subscriber_id)
        from_subscriber_id,
        to_subscriber_id,
        changed_at
    from {{ source('identity', 'history') }}
    where changed_at <= {{ as_of() }}
    order by from_subscriber_id asc, changed_at desc, history_id desc

),

named as (

    select
        changes.from_subscriber_id,
        changes.to_subscriber_id,
        changes.changed_at,
        -- in the order of letters that the other side is in: an index is of no use to another
        (kinds.kind || ':' || identifiers.value) collate "default" as identifier -- noqa: RF02
    from changes
    left join {{ source('identity', 'identifiers') }} as identifiers
        on changes.from_subscriber_id::uuid = identifiers.identifier_key
    left join {{ source('identity', 'kinds') }} as kinds on identifiers.kind_id = kinds.kind_id

),

steps as (

    select
        named.from_subscriber_id as former_subscriber_id,
        coalesce(resolved.subscriber_id, named.to_subscriber_id) as subscriber_id,
        named.changed_at
    from named
    left join {{ ref('int_identifiers_resolved') }} as resolved on named.identifier = resolved.identifier
    where coalesce(resolved.subscriber_id, named.to_subscriber_id) <> named.from_subscriber_id

),

led as (

    select
        former_subscriber_id,
        subscriber_id,
        changed_at,
        1 as step_number
    from steps
    union all
    select
        led.former_subscriber_id,
        steps.subscriber_id,
        led.changed_at,
        led.step_number + 1 as step_number
    from led
    inner join steps on led.subscriber_id = steps.former_subscriber_id
    where led.step_number < 100

)

select distinct on (former_subscriber_id)
    former_subscriber_id,
    subscriber_id,
    changed_at
from led
order by former_subscriber_id asc, step_number desc
