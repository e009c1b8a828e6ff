with genres as (

    select
        content_id,
        array_agg(distinct genre order by genre) as genres
    from {{ ref('int_content_tags') }}
    where genre is not null
    group by content_id

),

nodes as (

    select
        tags.content_id,
        array_agg(distinct tags.taxonomy_code order by tags.taxonomy_code) as taxonomy_codes,
        array_agg(distinct taxonomy.taxonomy_name order by taxonomy.taxonomy_name) as taxonomy_names
    from {{ ref('int_content_tags') }} as tags
    inner join {{ ref('iab_content_taxonomy') }} as taxonomy on tags.taxonomy_code = taxonomy.taxonomy_code
    group by tags.content_id

)

select
    contents.content_id,
    contents.content_type,
    contents.title,
    coalesce(genres.genres, '{}') as genres,
    coalesce(nodes.taxonomy_codes, '{}') as taxonomy_codes,
    coalesce(nodes.taxonomy_names, '{}') as taxonomy_names,
    contents.release_year,
    contents.duration_minutes,
    contents.maturity_rating,
    contents.available_from,
    contents.available_until,
    contents.licensed_countries,
    contents.published_at,
    contents.is_simulated
from {{ ref('stg_cms__contents') }} as contents
left join genres on contents.content_id = genres.content_id
left join nodes on contents.content_id = nodes.content_id
