-- Every event with its subscriber and its session: the same client, no pause longer than the gap.
with events as (

    select
        *,
        coalesce(anonymous_id, device_id, user_id) as client_id
    from {{ ref('stg_events__events') }}
    where coalesce(anonymous_id, device_id, user_id) is not null

),

marked as (

    select
        *,
        coalesce(
            occurred_at - lag(occurred_at) over (partition by client_id order by occurred_at, message_id)
            > interval '{{ var("session_gap") }}',
            true
        ) as is_session_start
    from events

),

numbered as (

    select
        *,
        count(*) filter (where is_session_start)
            over (partition by client_id order by occurred_at, message_id)
            as session_number
    from marked

)

select
    numbered.message_id,
    coalesce(by_user.subscriber_id, by_anonymous.subscriber_id, by_device.subscriber_id) as subscriber_id,
    md5(numbered.client_id || ':' || numbered.session_number) as session_id,
    numbered.event_type,
    numbered.event,
    numbered.user_id,
    numbered.device_type,
    numbered.content_id,
    numbered.watched_fraction,
    numbered.properties,
    numbered.occurred_at,
    numbered.is_simulated
from numbered
left join {{ ref('int_identifiers_resolved') }} as by_user
    on by_user.identifier = 'user_id:' || numbered.user_id
left join {{ ref('int_identifiers_resolved') }} as by_anonymous
    on by_anonymous.identifier = 'anonymous_id:' || numbered.anonymous_id
left join {{ ref('int_identifiers_resolved') }} as by_device
    on by_device.identifier = 'device_id:' || numbered.device_id
