-- The nodes of the standard taxonomy that our content is mapped to, each with the nodes above it.
with recursive nodes as (

    select
        taxonomy_code,
        taxonomy_name,
        parent_code,
        tier,
        array[taxonomy_code] as path_codes,
        taxonomy_name as path_name
    from {{ ref('iab_content_taxonomy') }}
    where parent_code is null
    union all
    select
        below.taxonomy_code,
        below.taxonomy_name,
        below.parent_code,
        below.tier,
        above.path_codes || below.taxonomy_code,
        above.path_name || ' > ' || below.taxonomy_name
    from {{ ref('iab_content_taxonomy') }} as below
    inner join nodes as above on below.parent_code = above.taxonomy_code

)

select
    taxonomy_code,
    taxonomy_name,
    parent_code,
    tier,
    path_codes,
    path_name
from nodes
