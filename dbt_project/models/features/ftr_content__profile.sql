select
    content_id,
    published_at as event_timestamp,
    {{ as_of() }} as created_at,
    content_type,
    genres,
    array[
        {% for genre in var('genres') %}
            ('{{ genre }}' = any(genres))::integer{{ ',' if not loop.last }}
        {% endfor %}
    ]::double precision[] as genre_vector,
    release_year,
    duration_minutes,
    is_simulated
from {{ ref('dim_content') }}
