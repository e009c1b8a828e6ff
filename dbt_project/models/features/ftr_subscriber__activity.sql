with interactions as (

    select
        interactions.subscriber_id,
        interactions.interaction_id,
        interactions.occurred_at,
        interactions.watched_fraction,
        interactions.device_type,
        contents.genres
    from {{ ref('fct_interactions') }} as interactions
    inner join {{ ref('dim_content') }} as contents on interactions.content_id = contents.content_id

),

counted as (

    select
        subscriber_id,
        occurred_at,
        device_type,
        count(*) over week as interaction_count_7d,
        count(*) over month as interaction_count_28d,
        count(*) over ever as interaction_count,
        avg(watched_fraction) over month as mean_watched_fraction_28d,
        {% for genre in var('genres') %}
            count(*) filter (where '{{ genre }}' = any(genres)) over month as {{ genre }}_28d,
            count(*) filter (where '{{ genre }}' = any(genres)) over ever as {{ genre }}_ever,
        {% endfor %}
        row_number() over (partition by subscriber_id, occurred_at order by interaction_id desc) as from_end
    from interactions
    window
        week as (
            partition by subscriber_id order by occurred_at
            range between interval '7 days' preceding and current row
        ),
        month as (
            partition by subscriber_id order by occurred_at
            range between interval '28 days' preceding and current row
        ),
        ever as (partition by subscriber_id order by occurred_at range unbounded preceding)

),

moments as (

    select
        *,
        array[
            {% for genre in var('genres') %}
                {{ genre }}_ever{{ ',' if not loop.last }}
            {% endfor %}
        ] as genre_counts
    from counted
    where from_end = 1

)

select
    subscriber_id,
    occurred_at as event_timestamp,
    {{ as_of() }} as created_at,
    interaction_count_7d,
    interaction_count_28d,
    interaction_count,
    mean_watched_fraction_28d,
    (
        {% for genre in var('genres') %}
            {{ '+' if not loop.first }} ({{ genre }}_28d > 0)::integer
        {% endfor %}
    )::bigint as distinct_genre_count_28d,
    (
        select (string_to_array('{{ var("genres") | join(" ") }}', ' '))[counts.place]
        from unnest(genre_counts) with ordinality as counts (genre_count, place)
        where counts.genre_count > 0
        order by counts.genre_count desc, counts.place asc
        limit 1
    ) as top_genre,
    (
        select
            array_agg(
                (counts.genre_count / greatest(1, moments.interaction_count))::double precision order by counts.place
            )
        from unnest(genre_counts::double precision[]) with ordinality as counts (genre_count, place)
    ) as genre_affinity,
    device_type as last_device_type
from moments
