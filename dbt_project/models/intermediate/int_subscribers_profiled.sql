-- Every field of the profile, one row a subscriber. A view: dim_subscribers, its one reader, is this with the segments.
{{ config(materialized='view') }}

with mail as (

    select
        subscriber_id,
        max(occurred_at) filter (where event_type = 'open') as last_email_opened_at,
        bool_or(event_type in ('bounce', 'unsubscribe', 'group_unsubscribe', 'spamreport')) as is_suppressed,
        count(*) filter (where event_type in ('unsubscribe', 'group_unsubscribe', 'spamreport')) as unsubscribe_count
    from {{ ref('int_email_events_attributed') }}
    group by subscriber_id

),

consents as (

    select
        subscriber_id,
        bool_or(is_permitted) filter (where purpose = 'personalization') as has_personalization_consent,
        bool_or(is_permitted) filter (where purpose = 'email_marketing') as has_email_consent,
        bool_or(is_permitted) filter (where purpose = 'advertising') as has_advertising_consent,
        max(region_rule) as region_rule
    from {{ ref('int_consents_current') }}
    group by subscriber_id

),

joined as (

    select
        subscribers.subscriber_id,
        subscribers.user_id,
        subscribers.email,
        subscribers.email_hash,
        subscribers.first_name,
        subscribers.gender,
        extract(year from {{ as_of() }}) - subscribers.birth_year as age,
        subscribers.occupation,
        subscribers.country,
        case
            when subscribers.country = 'US' then 'us'
            when subscribers.country in (
                'AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT', 'LT',
                'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK'
            ) then 'eu'
            when subscribers.country is null and consents.region_rule = 'gdpr' then 'eu'
            when subscribers.country is null and consents.region_rule = 'ccpa' then 'us'
            else 'other'
        end as region,
        coalesce(subscribers.timezone, 'UTC') as timezone,
        coalesce(subscribers.plan, 'none') as plan,
        subscribers.subscription_status,
        stages.lifecycle_stage,
        stages.acquired_at,
        stages.first_seen_at,
        stages.last_active_at,
        stages.last_consumed_at,
        stages.interaction_count_28d,
        stages.interaction_count,
        extract(day from {{ as_of() }} - stages.acquired_at)::integer as tenure_days,
        stages.first_paid_at,
        extract(day from {{ as_of() }} - stages.first_paid_at)::integer as paid_tenure_days,
        stages.trial_ends_at,
        stages.renews_at,
        stages.is_paying,
        mail.last_email_opened_at,
        tasted.top_genre,
        coalesce(tasted.genre_affinities, '{}'::jsonb) as genre_affinities,
        coalesce(tasted.taxonomy_affinities, '{}'::jsonb) as taxonomy_affinities,
        coalesce(tasted.disliked_genres, '{}'::text[]) as disliked_genres,
        -- an unsubscribe names no category: it halves what stands behind all of them
        round((
            coalesce(tasted.strength, 0)
            * power(
                0.5::double precision,
                extract(epoch from {{ as_of() }} - tasted.newest_at)::double precision
                / (86400 * {{ var('affinity').half_life_days }}) + coalesce(mail.unsubscribe_count, 0)
            )
        )::numeric, 4)::double precision as affinity_strength,
        coalesce(signalled.purchase_intent, 0) as purchase_intent,
        coalesce(signalled.recent_searches, '{}'::text[]) as recent_searches,
        coalesce(signalled.searched_genres, '{}'::text[]) as searched_genres,
        coalesce(consents.has_personalization_consent, false) as has_personalization_consent,
        coalesce(consents.has_email_consent, false) as has_email_consent,
        coalesce(consents.has_advertising_consent, false) as has_advertising_consent,
        subscribers.email is not null and not coalesce(mail.is_suppressed, false) as is_email_deliverable,
        stages.is_known,
        subscribers.identifier_count,
        stages.is_simulated
    from {{ ref('int_subscribers_attributed') }} as subscribers
    inner join {{ ref('int_subscribers_staged') }} as stages on subscribers.subscriber_id = stages.subscriber_id
    left join {{ ref('int_subscribers_tasted') }} as tasted on subscribers.subscriber_id = tasted.subscriber_id
    left join {{ ref('int_subscribers_signalled') }} as signalled
        on subscribers.subscriber_id = signalled.subscriber_id
    left join mail on subscribers.subscriber_id = mail.subscriber_id
    left join consents on subscribers.subscriber_id = consents.subscriber_id

)

select
    subscriber_id,
    user_id,
    email,
    email_hash,
    first_name,
    -- demographics and what was learned of tastes and intents: only of who allows personalization
    case when has_personalization_consent then gender else 'unknown' end as gender,
    case
        when not has_personalization_consent then 'unknown'
        when age is null or age not between 5 and 110 then 'unknown'
        when age < 25 then 'under_25'
        when age < 35 then '25_34'
        when age < 45 then '35_44'
        when age < 55 then '45_54'
        else '55_plus'
    end as age_band,
    case when has_personalization_consent then coalesce(occupation, 'unknown') else 'unknown' end as occupation,
    country,
    region,
    timezone,
    plan,
    subscription_status,
    lifecycle_stage,
    case when has_personalization_consent then top_genre end as top_genre,
    interaction_count,
    interaction_count_28d,
    last_consumed_at,
    case when has_personalization_consent then genre_affinities else '{}'::jsonb end as genre_affinities,
    case when has_personalization_consent then taxonomy_affinities else '{}'::jsonb end as taxonomy_affinities,
    case when has_personalization_consent then disliked_genres else '{}'::text[] end as disliked_genres,
    case when has_personalization_consent then coalesce(affinity_strength, 0) else 0 end as affinity_strength,
    case when has_personalization_consent then purchase_intent else 0 end as purchase_intent,
    case when has_personalization_consent then recent_searches else '{}'::text[] end as recent_searches,
    case when has_personalization_consent then searched_genres else '{}'::text[] end as searched_genres,
    acquired_at,
    tenure_days,
    first_paid_at,
    paid_tenure_days,
    trial_ends_at,
    renews_at,
    is_paying,
    first_seen_at,
    last_active_at,
    last_email_opened_at,
    has_personalization_consent,
    has_email_consent,
    has_advertising_consent,
    is_email_deliverable,
    is_known,
    identifier_count,
    is_simulated
from joined
