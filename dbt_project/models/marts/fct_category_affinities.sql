-- a view: the affinities are kept a row a subscriber, and this is a way to read them
{{ config(materialized='view') }}

with affinities as (

    select
        subscribers.subscriber_id,
        'genre' as category_kind,
        shares.category,
        shares.share::double precision as affinity,
        subscribers.affinity_strength,
        subscribers.is_simulated
    from {{ ref('dim_subscribers') }} as subscribers
    cross join jsonb_each_text(subscribers.genre_affinities) as shares (category, share)
    where {{ permitted('personalization', 'subscribers.subscriber_id') }}
    union all
    select
        subscribers.subscriber_id,
        'taxonomy' as category_kind,
        shares.category,
        shares.share::double precision as affinity,
        subscribers.affinity_strength,
        subscribers.is_simulated
    from {{ ref('dim_subscribers') }} as subscribers
    cross join jsonb_each_text(subscribers.taxonomy_affinities) as shares (category, share)
    where {{ permitted('personalization', 'subscribers.subscriber_id') }}

)

select
    affinities.subscriber_id,
    affinities.category_kind,
    affinities.category,
    coalesce(taxonomy.taxonomy_name, affinities.category) as category_name,
    affinities.affinity,
    affinities.affinity * affinities.affinity_strength as strength,
    affinities.is_simulated
from affinities
left join {{ ref('dim_taxonomy') }} as taxonomy
    on affinities.category_kind = 'taxonomy' and affinities.category = taxonomy.taxonomy_code
