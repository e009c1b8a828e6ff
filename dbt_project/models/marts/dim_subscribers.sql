-- serving looks up one subscriber in every request
{{ config(indexes=[{'columns': ['subscriber_id'], 'unique': true}]) }}

with activity as (

    select
        subscriber_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_active_at
    from {{ ref('int_events_sessionized') }}
    group by subscriber_id

),

tastes as (

    select
        interactions.subscriber_id,
        genre,
        count(*) as interaction_count,
        row_number() over (partition by interactions.subscriber_id order by count(*) desc, genre) as taste_rank
    from {{ ref('fct_interactions') }} as interactions
    inner join {{ ref('dim_content') }} as contents on interactions.content_id = contents.content_id
    cross join unnest(contents.genres) as genre
    group by interactions.subscriber_id, genre

),

affinities as (

    select
        subscriber_id,
        max(genre) filter (where taste_rank = 1) as top_genre,
        jsonb_object_agg(genre, round(interaction_count / total_count, 4)) as genre_affinities
    from (
        select
            *,
            sum(interaction_count) over (partition by subscriber_id) as total_count
        from tastes
    ) as shares
    group by subscriber_id

),

consumption as (

    select
        subscriber_id,
        max(occurred_at) as last_consumed_at,
        count(*) filter (where occurred_at > {{ as_of() }} - interval '28 days') as interaction_count_28d
    from {{ ref('fct_interactions') }}
    group by subscriber_id

),

mail as (

    select
        subscriber_id,
        max(occurred_at) filter (where event_type = 'open') as last_email_opened_at,
        bool_or(event_type in ('bounce', 'unsubscribe', 'group_unsubscribe', 'spamreport')) as is_suppressed
    from {{ ref('fct_email_events') }}
    group by subscriber_id

),

consents as (

    select
        subscriber_id,
        bool_or(is_granted) filter (where purpose = 'personalization') as has_personalization_consent,
        bool_or(is_granted) filter (where purpose = 'email_marketing') as has_email_consent,
        bool_or(is_granted) filter (where purpose = 'advertising') as has_advertising_consent,
        max(region) as region
    from {{ ref('int_consents_latest') }}
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
            when subscribers.country is null and consents.region in ('eu', 'us') then consents.region
            else 'other'
        end as region,
        coalesce(subscribers.timezone, 'UTC') as timezone,
        coalesce(subscribers.plan, 'none') as plan,
        subscribers.subscription_status,
        least(subscribers.created_at, activity.first_seen_at, subscribers.first_seen_at) as acquired_at,
        coalesce(activity.first_seen_at, subscribers.first_seen_at) as first_seen_at,
        activity.last_active_at,
        consumption.last_consumed_at,
        coalesce(consumption.interaction_count_28d, 0) as interaction_count_28d,
        mail.last_email_opened_at,
        affinities.top_genre,
        coalesce(affinities.genre_affinities, '{}'::jsonb) as genre_affinities,
        coalesce(consents.has_personalization_consent, false) as has_personalization_consent,
        coalesce(consents.has_email_consent, false) as has_email_consent,
        coalesce(consents.has_advertising_consent, false) as has_advertising_consent,
        subscribers.email is not null and not coalesce(mail.is_suppressed, false) as is_email_deliverable,
        subscribers.user_id is not null or subscribers.email is not null as is_known,
        subscribers.identifier_count,
        subscribers.is_simulated
    from {{ ref('int_subscribers_attributed') }} as subscribers
    left join activity on subscribers.subscriber_id = activity.subscriber_id
    left join affinities on subscribers.subscriber_id = affinities.subscriber_id
    left join consumption on subscribers.subscriber_id = consumption.subscriber_id
    left join mail on subscribers.subscriber_id = mail.subscriber_id
    left join consents on subscribers.subscriber_id = consents.subscriber_id

),

staged as (

    select
        *,
        case
            when last_consumed_at is null then 'prospect'
            when acquired_at > {{ as_of() }} - interval '30 days' then 'new'
            when last_consumed_at > {{ as_of() }} - interval '14 days' then 'active'
            when last_consumed_at > {{ as_of() }} - interval '45 days' then 'at_risk'
            else 'lapsed'
        end as lifecycle_stage
    from joined

)

select
    subscriber_id,
    user_id,
    email,
    email_hash,
    first_name,
    gender,
    case
        when age is null or age not between 5 and 110 then 'unknown'
        when age < 25 then 'under_25'
        when age < 35 then '25_34'
        when age < 45 then '35_44'
        when age < 55 then '45_54'
        else '55_plus'
    end as age_band,
    occupation,
    country,
    region,
    timezone,
    plan,
    subscription_status,
    lifecycle_stage,
    array_remove(
        array[
            lifecycle_stage,
            case when interaction_count_28d >= 50 then 'binge_viewer' end,
            case when top_genre is not null then 'likes_' || top_genre end,
            case when plan = 'premium' and subscription_status = 'active' then 'premium_subscriber' end,
            case when subscription_status = 'canceled' then 'former_subscriber' end,
            case when not is_known then 'anonymous' end
        ],
        null
    ) as segments,
    genre_affinities,
    acquired_at,
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
from staged
