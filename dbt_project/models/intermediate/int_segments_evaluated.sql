-- Who is in which declared segment at as_of: one pass over the profiles, one over the events that conditions count.
-- Whether event_counts is read depends on what is declared, which the linter cannot see.
{% set segments = declared_segments() %}
{% set counted = [] %}
{% for segment in segments %}
    {% do segment_find_events(segment.conditions, counted) %}
{% endfor %}

with {{ segment_sources(counted, as_of(), ref('int_subscribers_profiled'), ref('int_events_sessionized')) }}

select
    profiles.subscriber_id,
    found.segment,
    profiles.is_simulated
from profiles
cross join build
left join event_counts on profiles.subscriber_id = event_counts.subscriber_id -- noqa: ST11
cross join
    lateral unnest(array[{{ segment_cases(segments, exclusive_segment_groups(), segment_fields(), counted) }}]::text[])
        as found (segment)
where found.segment is not null
