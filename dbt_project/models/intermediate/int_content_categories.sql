-- Each content's categories of both vocabularies. A content counts once: its categories share it equally.
with categories as (

    select
        contents.content_id,
        'genre' as category_kind,
        genres.category,
        cardinality(contents.genres) as category_count
    from {{ ref('dim_content') }} as contents
    cross join unnest(contents.genres) as genres (category)
    union all
    select
        contents.content_id,
        'taxonomy' as category_kind,
        codes.category,
        cardinality(contents.taxonomy_codes) as category_count
    from {{ ref('dim_content') }} as contents
    cross join unnest(contents.taxonomy_codes) as codes (category)

)

select
    content_id,
    category_kind,
    category,
    -- in the order of the names, for all contents the same
    (dense_rank() over (order by category_kind, category))::smallint as category_number,
    1.0::double precision / category_count as category_share
from categories
