{#-
    A pre_hook of ftr_content__popularity: from which day on the rows of each content must be written again, as a
    temporary table for the model, and those rows taken away. The day of the last build was not over then.
-#}
{% macro find_changed_days() -%}
    {%- if execute and is_incremental() -%}
        {%- set events = ref('int_events_sessionized') -%}
        {%- set contents = ref('int_contents_compared') -%}
        create temp table changed_days on commit drop as
        select
            days.content_id,
            min(days.day) as from_day
        from (
            select
                content_id,
                (
                    (timestamptz '{{ last_build()["as_of"].isoformat() }}' - interval '1 microsecond') at time zone 'UTC'
                )::date as day
            from {{ contents }}
            union all
            select
                content_id,
                date '1900-01-01' as day
            from {{ contents }}
            where {{ written_since_last_build('changed_xid') }}
            union all
            select
                events.content_id,
                (events.occurred_at at time zone 'UTC')::date as day
            from {{ events }} as events
            where {{ written_since_last_build('events.written_xid') }} and {{ is_consumption('events') }}
            union all
            select
                events.content_id,
                (events.occurred_at at time zone 'UTC')::date as day
            from {{ ref('int_subscribers_permitted') }} as subscribers
            inner join {{ events }} as events on subscribers.subscriber_id = events.subscriber_id
            where {{ written_since_last_build('subscribers.changed_xid') }} and {{ is_consumption('events') }}
        ) as days
        where days.content_id is not null
        group by days.content_id;
        delete from {{ this }} as former
        using changed_days
        where
            former.content_id = changed_days.content_id
            and former.event_timestamp > changed_days.from_day::timestamp at time zone 'UTC'
    {%- endif -%}
{%- endmacro %}
