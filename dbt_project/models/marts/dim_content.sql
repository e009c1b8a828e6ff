select
    content_id,
    content_type,
    title,
    genres,
    release_year,
    duration_minutes,
    maturity_rating,
    published_at,
    is_simulated
from {{ ref('stg_cms__contents') }}
