{{ config(materialized='view') }}

select
    plays.play_id,
    plays.subscriber_id,
    plays.content_id,
    plays.session_id,
    plays.device_type,
    plays.started_at,
    plays.ended_at,
    -- of players that tell no position: the share of the length in the catalogue
    coalesce(plays.seconds_watched, plays.completion * contents.duration_minutes * 60) as seconds_watched,
    plays.completion,
    plays.is_completed,
    plays.event_count,
    plays.pause_count,
    plays.buffer_count,
    plays.is_simulated
from {{ ref('int_plays_folded') }} as plays
left join {{ ref('int_contents_compared') }} as contents on plays.content_id = contents.content_id
where {{ permitted('analytics', 'plays.subscriber_id') }}
