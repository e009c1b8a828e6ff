{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook=[
        "{{ take_memory() }}",
        "{{ take_back('subscriber_id', 'select subscriber_id from ' ~ ref('int_subscribers_touched')) }}"
    ],
    indexes=[{'columns': ['subscriber_id', 'event_timestamp'], 'unique': true}]
) }}

with interactions as (

    select
        interactions.subscriber_id,
        interactions.interaction_id,
        interactions.occurred_at,
        -- exact: the order in which floating numbers are summed moves their last digits
        interactions.watched_fraction::numeric as watched_fraction,
        interactions.device_type,
        contents.genres
    from {{ ref('fct_interactions') }} as interactions
    inner join {{ ref('int_contents_compared') }} as contents on interactions.content_id = contents.content_id
    where
        interactions.has_personalization_consent
        {% if is_incremental() %}
            and interactions.subscriber_id in (
                select touched.subscriber_id from {{ ref('int_subscribers_touched') }} as touched
            )
        {% endif %}

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
    occurred_at as created_at,
    interaction_count_7d,
    interaction_count_28d,
    interaction_count,
    mean_watched_fraction_28d::double precision as mean_watched_fraction_28d,
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
