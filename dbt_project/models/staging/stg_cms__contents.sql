with contents as (

    {{ standing_version(source('raw', 'cms_content'), 'updated_at') }}

)

select
    content_id,
    lower(trim(content_type)) as content_type,
    trim(title) as title,
    coalesce(tags, '{}') as tags,
    {{ to_integer('release_year') }} as release_year,
    {{ to_integer('duration_minutes') }} as duration_minutes,
    nullif(upper(trim(maturity_rating)), '') as maturity_rating,
    available_from,
    available_until,
    coalesce(licensed_countries, '{}') as licensed_countries,
    coalesce(published_at, updated_at) as published_at,
    updated_at,
    is_simulated
from contents
where lower(trim(content_type)) in ('video', 'article', 'podcast')
