with contents as (

    {{ latest_version(source('raw', 'cms_content'), 'updated_at') }}

),

tags as (

    select
        contents.raw_id,
        array_agg(distinct synonyms.genre order by synonyms.genre) as genres
    from contents
    cross join unnest(contents.tags) as tags (tag)
    inner join {{ ref('genre_synonyms') }} as synonyms
        on regexp_replace(lower(tags.tag), '[^a-z]', '', 'g') = synonyms.tag
    group by contents.raw_id

)

select
    contents.content_id,
    lower(trim(contents.content_type)) as content_type,
    trim(contents.title) as title,
    coalesce(tags.genres, '{}') as genres,
    {{ to_integer('contents.release_year') }} as release_year,
    {{ to_integer('contents.duration_minutes') }} as duration_minutes,
    nullif(upper(trim(contents.maturity_rating)), '') as maturity_rating,
    coalesce(contents.published_at, contents.updated_at) as published_at,
    contents.updated_at,
    contents.is_simulated
from contents
left join tags on contents.raw_id = tags.raw_id
where lower(trim(contents.content_type)) in ('video', 'article', 'podcast')
