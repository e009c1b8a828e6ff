{{ config(
    materialized='incremental',
    unique_key='client_id',
    incremental_strategy='delete+insert',
    pre_hook="{{ take_memory() }}",
    indexes=[{'columns': ['client_id']}, {'columns': ['play_id'], 'unique': true}]
) }}

{%- set first = "(array_agg({} order by occurred_at, message_id))[1]" -%}

-- One row a play: what a player told of one content from start to end. Players that name the playback (Segment's
-- property session_id) are taken at their word; of the others a play is one content in one session, anew after each
-- start and each end. An increment writes all plays of the clients of whom an event was written.
with events as (

    select
        *,
        nullif(properties ->> 'session_id', '') as playback_id,
        case
            when jsonb_typeof(properties -> 'position') = 'number' then (properties ->> 'position')::double precision
        end as position,
        case
            when jsonb_typeof(properties -> 'total_length') = 'number'
                then nullif((properties ->> 'total_length')::double precision, 0)
        end as total_length,
        event in ('Video Playback Completed', 'Video Playback Exited', 'Podcast Completed', 'Podcast Played') as is_end
    from {{ ref('int_events_sessionized') }}
    where
        event_type = 'track'
        and content_id is not null
        and event in (
            'Video Playback Started', 'Video Content Started', 'Video Content Playing', 'Video Content Completed',
            'Video Playback Paused', 'Video Playback Resumed', 'Video Playback Interrupted',
            'Video Playback Buffer Started', 'Video Playback Buffer Completed', 'Video Playback Seek Started',
            'Video Playback Seek Completed', 'Video Playback Completed', 'Video Playback Exited', 'Podcast Started',
            'Podcast Paused', 'Podcast Completed', 'Podcast Played'
        )
        {% if is_incremental() %}
            and client_id in (
                select written.client_id from {{ ref('int_events_sessionized') }} as written
                where {{ written_since_last_build('written.written_xid') }}
            )
        {% endif %}

),

marked as (

    select
        *,
        case when playback_id is null then session_id end as fallback_id
    from events

),

started as (

    select
        *,
        playback_id is null
        and (event in ('Video Playback Started', 'Podcast Started') or coalesce(lag(is_end) over playing, true))
            as is_start,
        -- what was played since the event before: a jump of the playhead plays no more than double the time that passed
        case
            when position > lag(position) over playing
                then least(
                    position - lag(position) over playing,
                    2 * extract(epoch from occurred_at - lag(occurred_at) over playing)
                )
        end as advanced_seconds
    from marked
    window playing as (partition by client_id, content_id, playback_id, fallback_id order by occurred_at, message_id)

),

numbered as (

    select
        *,
        count(*) filter (where is_start) over playing as play_number
    from started
    window playing as (partition by client_id, content_id, playback_id, fallback_id order by occurred_at, message_id)

),

folded as (

    select
        client_id,
        content_id,
        playback_id,
        {{ first.format('message_id') }} as first_message_id,
        {{ first.format('session_id') }} as session_id,
        {{ first.format('device_type') }} as device_type,
        min(subscriber_id) as subscriber_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as event_count,
        count(*) filter (where event in ('Video Playback Paused', 'Podcast Paused')) as pause_count,
        count(*) filter (where event = 'Video Playback Buffer Started') as buffer_count,
        -- exact: the order in which floating numbers are summed moves their last digits
        sum(advanced_seconds::numeric) as advanced_seconds,
        max(position) as last_position,
        max(total_length) as total_length,
        max(watched_fraction) as watched_fraction,
        bool_or(event in ('Video Playback Completed', 'Podcast Completed')) as is_said_completed,
        bool_or(is_simulated) as is_simulated
    from numbered
    group by client_id, content_id, playback_id, fallback_id, play_number

),

measured as (

    select
        *,
        least(
            1, coalesce(watched_fraction, last_position / total_length, case when is_said_completed then 1 end)
        ) as completion
    from folded

)

select
    md5(coalesce(client_id || ':' || content_id || ':' || playback_id, first_message_id)) as play_id,
    client_id,
    subscriber_id,
    content_id,
    session_id,
    device_type,
    started_at,
    ended_at,
    coalesce(nullif(advanced_seconds, 0)::double precision, completion * total_length) as seconds_watched,
    completion,
    coalesce(is_said_completed or completion >= 0.95, false) as is_completed,
    event_count,
    pause_count,
    buffer_count,
    is_simulated
from measured
