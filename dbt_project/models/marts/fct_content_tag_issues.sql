-- What the editors should look at: content that no tag places, tags that nobody mapped, tags at odds with each other.
with contents as (

    select
        content_id,
        content_type,
        title,
        genres,
        maturity_rating,
        is_simulated
    from {{ ref('dim_content') }}

),

untagged as (

    select
        contents.content_id,
        'untagged' as issue,
        null as tags,
        'the CMS gives it no tag' as detail
    from contents
    left join {{ ref('int_content_tags') }} as tags on contents.content_id = tags.content_id
    where tags.content_id is null

),

unknown as (

    select
        content_id,
        'unknown_tag' as issue,
        tag as tags,
        'seeds/content_tags.csv does not hold this spelling' as detail
    from {{ ref('int_content_tags') }}
    where not is_known

),

unplaced as (

    select
        content_id,
        'unplaced_tag' as issue,
        string_agg(distinct tag, ', ' order by tag) as tags,
        'no tag of it leads to a node of the taxonomy' as detail
    from {{ ref('int_content_tags') }}
    group by content_id
    having bool_and(taxonomy_code is null) and bool_or(is_known)

),

conflicting as (

    select
        contents.content_id,
        'conflicting_tags' as issue,
        conflicts.genre || ', ' || conflicts.conflicts_with as tags,
        conflicts.reason as detail
    from contents
    inner join {{ ref('conflicting_tags') }} as conflicts
        on conflicts.genre = any(contents.genres) and conflicts.conflicts_with = any(contents.genres)

),

unsuitable as (

    select
        content_id,
        'conflicting_rating' as issue,
        'childrens' as tags,
        'tagged for children and rated ' || maturity_rating as detail
    from contents
    where 'childrens' = any(genres) and maturity_rating in ('R', 'NC-17', 'TV-MA', '18')

),

issues as (

    select content_id, issue, tags, detail from untagged
    union all
    select content_id, issue, tags, detail from unknown
    union all
    select content_id, issue, tags, detail from unplaced
    union all
    select content_id, issue, tags, detail from conflicting
    union all
    select content_id, issue, tags, detail from unsuitable

)

select
    issues.content_id,
    contents.content_type,
    contents.title,
    issues.issue,
    issues.tags,
    issues.detail,
    contents.is_simulated
from issues
inner join contents on issues.content_id = contents.content_id
