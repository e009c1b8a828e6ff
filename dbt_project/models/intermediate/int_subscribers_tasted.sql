-- Whom which categories attract: what was watched counts by the share that was watched and halves with every half-life;
-- skips and early drop-offs take away. Weights are relative to the subscriber's newest signal, so that shares do not
-- change while nothing happens: a build looks only at subscribers whose fingerprint is another one. Weights are whole
-- millionths: their sum is the same in any order, and an incremental build gives what a full one does.
{{ config(
    materialized='incremental',
    unique_key='subscriber_id',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['subscriber_id'], 'unique': true}],
    post_hook="{% if is_incremental() %}delete from {{ this }} as tasted where not exists (select from "
        ~ "{{ ref('int_subscribers_consumed') }} as c where c.subscriber_id = tasted.subscriber_id) and not exists "
        ~ "(select from {{ ref('int_subscribers_signalled') }} as s where s.subscriber_id = tasted.subscriber_id "
        ~ "and s.dislike_fingerprint <> 0){% endif %}"
) }}
{% set affinity = var('affinity') %}

with fingerprints as (

    select
        coalesce(consumed.subscriber_id, signalled.subscriber_id) as subscriber_id,
        greatest(consumed.last_consumed_at, signalled.last_disliked_at) as newest_at,
        hash_record_extended(
            (coalesce(consumed.fingerprint, 0), coalesce(signalled.dislike_fingerprint, 0)), 0
        ) as fingerprint
    from {{ ref('int_subscribers_consumed') }} as consumed
    full join {{ ref('int_subscribers_signalled') }} as signalled on consumed.subscriber_id = signalled.subscriber_id
    where consumed.subscriber_id is not null or signalled.dislike_fingerprint <> 0

),

-- numbered: sums over millions of rows are quicker by a number than by a text
touched as (

    select
        fingerprints.subscriber_id,
        fingerprints.newest_at,
        fingerprints.fingerprint,
        (row_number() over ())::integer as subscriber_number
    from fingerprints
    {% if is_incremental() %}
        left join {{ this }} as known on fingerprints.subscriber_id = known.subscriber_id
        where known.fingerprint is distinct from fingerprints.fingerprint
    {% endif %}

),

signals as (

    select
        touched.subscriber_number,
        interactions.content_id,
        touched.newest_at - interactions.occurred_at as age,
        coalesce(interactions.watched_fraction, 0.5) as liked,
        case
            when
                interactions.interaction_type = 'play'
                and interactions.watched_fraction < {{ affinity.drop_off_fraction }}
                then {{ affinity.drop_off_weight }}
            else 0
        end::double precision as disliked
    from {{ ref('fct_interactions') }} as interactions
    inner join touched on interactions.subscriber_id = touched.subscriber_id
    union all
    select
        touched.subscriber_number,
        skips.content_id,
        touched.newest_at - skips.occurred_at as age,
        0 as liked,
        case skips.signal when 'hide' then {{ affinity.hide_weight }} else {{ affinity.skip_weight }} end as disliked
    from {{ ref('int_signals_recognised') }} as skips
    inner join touched on skips.subscriber_id = touched.subscriber_id
    where skips.signal in ('skip', 'hide')

),

decayed as (

    select
        signals.subscriber_number,
        signals.content_id,
        1000000 * signals.liked * decays.decay as liked,
        1000000 * signals.disliked * decays.decay as disliked
    from signals
    cross join lateral (
        select
            exp(
                -ln(2.0::double precision) / (86400 * {{ affinity.half_life_days }})
                * extract(epoch from signals.age)::double precision
            ) as decay
    ) as decays

),

netted as (

    select
        decayed.subscriber_number,
        categories.category_number,
        sum(
            (decayed.liked * categories.category_share)::integer
            - (decayed.disliked * categories.category_share)::integer
        ) as net
    from decayed
    inner join {{ ref('int_content_categories') }} as categories on decayed.content_id = categories.content_id
    group by decayed.subscriber_number, categories.category_number

),

named as (

    select distinct
        category_number,
        category_kind,
        category
    from {{ ref('int_content_categories') }}

),

ranked as (

    select
        netted.subscriber_number,
        named.category_kind,
        named.category,
        netted.net,
        sum(greatest(netted.net, 0)::double precision)
            over (partition by netted.subscriber_number, named.category_kind)
            as total,
        row_number() over (
            partition by netted.subscriber_number, named.category_kind
            order by netted.net desc, netted.category_number asc
        ) as place
    from netted
    inner join named on netted.category_number = named.category_number

),

shares as (

    select
        subscriber_number,
        jsonb_object_agg(category, round((net / total)::numeric, 4)) filter (
            where category_kind = 'genre' and net > 0
        ) as genre_affinities,
        jsonb_object_agg(category, round((net / total)::numeric, 4)) filter (
            where category_kind = 'taxonomy' and net > 0
        ) as taxonomy_affinities,
        max(category) filter (where category_kind = 'genre' and net > 0 and place = 1) as top_genre,
        string_agg(category, ' ') filter (where category_kind = 'genre' and net < 0) as disliked_genres,
        max(total) filter (where category_kind = 'genre') / 1000000 as strength
    from ranked
    group by subscriber_number

)

select
    touched.subscriber_id,
    coalesce(shares.genre_affinities, '{}') as genre_affinities,
    coalesce(shares.taxonomy_affinities, '{}') as taxonomy_affinities,
    shares.top_genre,
    array(
        select disliked.genre
        from unnest(string_to_array(shares.disliked_genres, ' ')) as disliked (genre)
        order by disliked.genre
    ) as disliked_genres,
    coalesce(shares.strength, 0) as strength,
    touched.newest_at,
    touched.fingerprint
from touched
left join shares on touched.subscriber_number = shares.subscriber_number
