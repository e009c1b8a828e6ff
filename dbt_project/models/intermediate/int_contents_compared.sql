{{ config(
    materialized='incremental',
    unique_key='content_id',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['content_id'], 'unique': true}]
) }}

-- What counts and features take from the catalogue, as the last build saw it: what differs now says whose interactions
-- must be looked at again. A content that is gone stays here as unknown.
with known as (

    select
        content_id,
        genres,
        taxonomy_codes,
        published_at,
        duration_minutes,
        true as is_known
    from {{ ref('dim_content') }}
    {% if is_incremental() %}
        union all
        select
            former.content_id,
            former.genres,
            former.taxonomy_codes,
            former.published_at,
            former.duration_minutes,
            false as is_known
        from {{ this }} as former
        where former.content_id not in (select contents.content_id from {{ ref('dim_content') }} as contents)
    {% endif %}

)

select
    known.content_id,
    known.genres,
    known.taxonomy_codes,
    known.published_at,
    known.duration_minutes,
    known.is_known,
    {{ this_transaction() }} as changed_xid
from known
{% if is_incremental() %}
    left join {{ this }} as former on known.content_id = former.content_id
    where
        (known.genres, known.taxonomy_codes, known.published_at, known.duration_minutes, known.is_known)
        is distinct from (
            former.genres, former.taxonomy_codes, former.published_at, former.duration_minutes, former.is_known
        )
{% endif %}
