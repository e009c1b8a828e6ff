{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook=[
        "{{ take_memory() }}",
        "{{ take_back('subscriber_id', 'select subscriber_id from ' ~ ref('int_subscribers_touched')) }}"
    ],
    indexes=[{'columns': ['subscriber_id', 'event_timestamp'], 'unique': true}]
) }}

-- One row a subscriber and moment: the window of an interaction takes in those of the same second that came before it,
-- and the last of a second stands for the second. What was not permitted is nowhere in it.
with windows as (

    select
        subscriber_id,
        occurred_at,
        array_agg(content_id) over last_fifty as recent_content_ids,
        array_agg(coalesce(watched_fraction, 0.5)) over last_fifty as recent_watched_fractions,
        array_agg(extract(epoch from occurred_at)::bigint) over last_fifty as recent_consumed_seconds,
        row_number() over (partition by subscriber_id, occurred_at order by interaction_id desc) as from_end
    from {{ ref('fct_interactions') }}
    where
        has_personalization_consent
        {% if is_incremental() %}
            and subscriber_id in (select touched.subscriber_id from {{ ref('int_subscribers_touched') }} as touched)
        {% endif %}
    window last_fifty as (
        partition by subscriber_id order by occurred_at, interaction_id
        rows between 49 preceding and current row
    )

)

select
    subscriber_id,
    occurred_at as event_timestamp,
    occurred_at as created_at,
    recent_content_ids,
    recent_watched_fractions,
    recent_consumed_seconds
from windows
where from_end = 1
