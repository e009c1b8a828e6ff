-- What the signals of each subscriber say today: what he searches for, how near he is to buying, what he turned down.
with contents as (

    select
        content_id,
        -- the whole title and, as people write it, without the article behind the comma
        array[lower(title), lower(trim(split_part(title, ',', 1)))] as names,
        genres,
        hashtextextended(genres::text || taxonomy_codes::text, 0) as category_hash
    from {{ ref('dim_content') }}

),

-- read twice rather than kept: most signals are too old for the second reader
signals as not materialized (

    select
        signals.subscriber_id,
        signals.occurred_at,
        signals.signal,
        signals.intent_weight,
        signals.query,
        {{ as_of() }} - signals.occurred_at as age,
        case
            when signals.signal in ('skip', 'hide')
                then hash_record_extended((signals.message_id, signals.occurred_at, contents.category_hash), 0)
        end as dislike_hash
    from {{ ref('int_signals_recognised') }} as signals
    left join contents on signals.content_id = contents.content_id

),

counted as (

    select
        subscriber_id,
        count(*) filter (where signal = 'search' and age < interval '28 days') as search_count_28d,
        max(occurred_at) filter (where signal = 'search') as last_searched_at,
        count(*) filter (where signal in ('skip', 'hide') and age < interval '28 days') as skip_count_28d,
        count(*) filter (where signal = 'cancel_view' and age < interval '28 days') as cancel_view_count_28d,
        count(*) filter (where signal = 'plan_view' and age < interval '28 days') as plan_view_count_28d,
        count(*) filter (where signal = 'checkout' and age < interval '28 days') as checkout_count_28d,
        max(occurred_at) filter (where intent_weight > 0) as last_intent_at,
        count(*) filter (
            where signal = 'payment_failure' and age < interval '90 days'
        ) as reported_payment_failure_count_90d,
        count(*) filter (
            where signal = 'support_contact' and age < interval '90 days'
        ) as support_contact_count_90d,
        -- each adds its weight, halved with every half-life, and no sum reaches 1
        round((1 - exp(-coalesce(sum(
            (intent_weight * power(0.5, extract(epoch from age) / 86400 / {{ var('intent_half_life_days') }}))::numeric
        ) filter (where intent_weight > 0), 0)))::numeric, 4)::double precision as purchase_intent,
        max(occurred_at) filter (where signal in ('skip', 'hide')) as last_disliked_at,
        bit_xor(dislike_hash) as dislike_fingerprint
    from signals
    group by subscriber_id

),

searches as (

    select
        subscriber_id,
        query,
        occurred_at,
        row_number() over (partition by subscriber_id order by occurred_at desc, query asc) as recency
    from (
        select
            subscriber_id,
            query,
            max(occurred_at) as occurred_at
        from signals
        where query is not null and age < interval '28 days'
        group by subscriber_id, query
    ) as queries

),

queries as (

    select
        subscriber_id,
        array_agg(query order by recency) as recent_searches
    from searches
    where recency <= 5
    group by subscriber_id

),

titles as (

    select distinct
        names.name,
        contents.genres
    from contents
    cross join unnest(contents.names) as names (name)

),

-- a query names a genre in one of its spellings, or a title
meant as (

    select
        searches.subscriber_id,
        tags.genre
    from searches
    inner join {{ ref('content_tags') }} as tags
        on regexp_replace(searches.query, '[^a-z0-9]', '', 'g') = tags.tag
    where searches.recency <= 5 and tags.genre is not null
    union all
    select
        searches.subscriber_id,
        titled.genre
    from searches
    inner join titles on searches.query = titles.name
    cross join unnest(titles.genres) as titled (genre)
    where searches.recency <= 5

),

genres as (

    select
        subscriber_id,
        array_agg(distinct genre order by genre) as searched_genres
    from meant
    group by subscriber_id

)

select
    counted.subscriber_id,
    counted.search_count_28d,
    counted.last_searched_at,
    coalesce(queries.recent_searches, '{}') as recent_searches,
    coalesce(genres.searched_genres, '{}') as searched_genres,
    counted.plan_view_count_28d,
    counted.checkout_count_28d,
    counted.last_intent_at,
    counted.purchase_intent,
    counted.skip_count_28d,
    counted.cancel_view_count_28d,
    counted.reported_payment_failure_count_90d,
    counted.support_contact_count_90d,
    counted.last_disliked_at,
    coalesce(counted.dislike_fingerprint, 0) as dislike_fingerprint
from counted
left join queries on counted.subscriber_id = queries.subscriber_id
left join genres on counted.subscriber_id = genres.subscriber_id
