-- The profile with the declared segments that it is in: one pass over the profiles, one over the events that conditions
-- count. Serving looks up one subscriber in every request.
{{ config(indexes=[{'columns': ['subscriber_id'], 'unique': true}], sql_header=on_both_cores()) }}

-- Whether event_counts is read depends on what is declared, which the linter cannot see.
{% set segments = declared_segments() %}
{% set counted = [] %}
{% for segment in segments %}
    {% do segment_find_events(segment.conditions, counted) %}
{% endfor %}

with {{ segment_sources(counted, as_of(), ref('int_subscribers_profiled'), ref('int_events_sessionized')) }}

select
    profiles.subscriber_id,
    profiles.user_id,
    profiles.email,
    profiles.email_hash,
    profiles.first_name,
    profiles.gender,
    profiles.age_band,
    profiles.occupation,
    profiles.country,
    profiles.region,
    profiles.timezone,
    profiles.plan,
    profiles.subscription_status,
    profiles.lifecycle_stage,
    array_remove(
        array[{{ segment_cases(segments, exclusive_segment_groups(), segment_fields(), counted) }}]::text[], null
    ) as segments,
    profiles.top_genre,
    profiles.interaction_count,
    profiles.interaction_count_28d,
    profiles.last_consumed_at,
    profiles.genre_affinities,
    profiles.taxonomy_affinities,
    profiles.disliked_genres,
    profiles.affinity_strength,
    profiles.purchase_intent,
    profiles.recent_searches,
    profiles.searched_genres,
    profiles.acquired_at,
    profiles.tenure_days,
    profiles.first_paid_at,
    profiles.paid_tenure_days,
    profiles.trial_ends_at,
    profiles.renews_at,
    profiles.is_paying,
    profiles.first_seen_at,
    profiles.last_active_at,
    profiles.last_email_opened_at,
    profiles.has_personalization_consent,
    profiles.has_email_consent,
    profiles.has_advertising_consent,
    profiles.is_email_deliverable,
    profiles.is_known,
    profiles.identifier_count,
    profiles.is_simulated
from profiles
cross join build
left join event_counts on profiles.subscriber_id = event_counts.subscriber_id -- noqa: ST11
