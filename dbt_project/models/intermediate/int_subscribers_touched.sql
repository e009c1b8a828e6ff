-- Whose interactions an increment writes again: who gained or lost an event, who permits another thing than before,
-- and who consumed what the catalogue has another word about. Nobody's, where all are written anew.
with events as (

    select
        events.subscriber_id,
        events.former_subscriber_ids
    from {{ ref('int_events_sessionized') }} as events
    where {{ added_since_last_build('events.written_xid') }} and {{ is_consumption('events') }}

)

select subscriber_id
from events
where subscriber_id is not null
union
select former.subscriber_id
from events
cross join jsonb_array_elements_text(events.former_subscriber_ids) as former (subscriber_id)
where former.subscriber_id is not null
union
select subscriber_id
from {{ ref('int_subscribers_permitted') }}
where {{ added_since_last_build('changed_xid') }}
union
select events.subscriber_id
from {{ ref('int_events_sessionized') }} as events
inner join {{ ref('int_contents_compared') }} as contents on events.content_id = contents.content_id
where {{ added_since_last_build('contents.changed_xid') }} and events.subscriber_id is not null
