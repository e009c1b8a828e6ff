-- The CMS's tags, recognised: what each spelling says in our genres and in the standard taxonomy. A spelling that the
-- editors' file does not hold keeps its row, so that it can be reported.
with tags as (

    select distinct
        contents.content_id,
        trim(written.tag) as tag,
        regexp_replace(lower(written.tag), '[^a-z0-9]', '', 'g') as spelling
    from {{ ref('stg_cms__contents') }} as contents
    cross join unnest(contents.tags) as written (tag)
    where trim(written.tag) <> ''

)

select
    tags.content_id,
    tags.tag,
    mapped.genre,
    mapped.taxonomy_code,
    mapped.tag is not null as is_known
from tags
left join {{ ref('content_tags') }} as mapped on tags.spelling = mapped.tag
