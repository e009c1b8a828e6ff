-- What each subscriber watched, read and heard, in one pass: counts by window, and a fingerprint by which the models
-- after it find whom they must look at again. An increment writes those whose interactions are others than they were,
-- and those of whom one left a window.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('subscriber_id', subscribers_counted_otherwise()) }}",
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

{% set affinity = var('affinity') %}
with contents as (

    select
        content_id,
        hashtextextended(genres::text || taxonomy_codes::text, 0) as category_hash
    from {{ ref('dim_content') }}

),

interactions as (

    select
        interactions.subscriber_id,
        interactions.occurred_at,
        interactions.watched_fraction,
        interactions.interaction_type = 'play'
        and interactions.watched_fraction < {{ affinity.drop_off_fraction }} as is_drop_off,
        hash_record_extended(
            (
                interactions.interaction_id, interactions.occurred_at, interactions.watched_fraction,
                contents.category_hash
            ), 0
        ) as row_hash
    from {{ ref('fct_interactions') }} as interactions
    left join contents on interactions.content_id = contents.content_id
    {% if is_incremental() %}
        where interactions.subscriber_id in ({{ subscribers_counted_otherwise() }})
    {% endif %}

)

select
    subscriber_id,
    count(*) as interaction_count,
    min(occurred_at) as first_consumed_at,
    max(occurred_at) as last_consumed_at,
    count(*) filter (where occurred_at > {{ as_of() }} - interval '28 days') as interaction_count_28d,
    count(*) filter (
        where occurred_at > {{ as_of() }} - interval '56 days' and occurred_at <= {{ as_of() }} - interval '28 days'
    ) as interaction_count_prior_28d,
    -- rounded: the order of a sum moves its last digits
    round(
        avg(watched_fraction::numeric) filter (where occurred_at > {{ as_of() }} - interval '28 days'), 6
    )::double precision as mean_watched_fraction_28d,
    round(
        avg(watched_fraction::numeric) filter (
            where occurred_at > {{ as_of() }} - interval '56 days' and occurred_at <= {{ as_of() }} - interval '28 days'
        ), 6
    )::double precision as mean_watched_fraction_prior_28d,
    count(*) filter (where is_drop_off and occurred_at > {{ as_of() }} - interval '28 days') as drop_off_count_28d,
    -- a pause is over where the first of the window follows the last before it after more than the days of a lapse
    case
        when
            min(occurred_at) filter (
                where occurred_at > {{ as_of() }} - interval '{{ var("lifecycle").won_back }} days'
            )
            - max(occurred_at) filter (
                where occurred_at <= {{ as_of() }} - interval '{{ var("lifecycle").won_back }} days'
            )
            > interval '{{ var("lifecycle").lapsed }} days'
            then
                min(occurred_at) filter (
                    where occurred_at > {{ as_of() }} - interval '{{ var("lifecycle").won_back }} days'
                )
    end as returned_at,
    bit_xor(row_hash) as fingerprint
from interactions
group by subscriber_id
