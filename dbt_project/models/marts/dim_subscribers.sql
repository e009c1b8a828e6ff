-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['subscriber_id'], 'unique': true}]) }}

with memberships as (

    select
        subscriber_id,
        array_agg(segment order by segment) as segments
    from {{ ref('int_segments_evaluated') }}
    group by subscriber_id

)

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
    coalesce(memberships.segments, '{}') as segments,
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
from {{ ref('int_subscribers_profiled') }} as profiles
left join memberships on profiles.subscriber_id = memberships.subscriber_id
