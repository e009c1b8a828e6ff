{#- The events that say that somebody consumed a content: each is one interaction. -#}
{% macro is_consumption(events) -%}
    {{ events }}.event_type = 'track'
    and {{ events }}.event in ('Video Playback Completed', 'Video Playback Exited', 'Article Read', 'Podcast Played')
{%- endmacro %}

{#- Whose interactions are others than at the last build, and of whom one left a window of int_subscribers_consumed. -#}
{% macro subscribers_counted_otherwise() -%}
    select subscriber_id
    from {{ ref('int_subscribers_touched') }}
    {%- for days in (28, 56, var('lifecycle').won_back) %}
    union all
    select subscriber_id
    from {{ ref('fct_interactions') }}
    where
        occurred_at > timestamptz '{{ last_build()["as_of"].isoformat() if execute and last_build() }}'
        - interval '{{ days }} days'
        and occurred_at <= {{ as_of() }} - interval '{{ days }} days'
    {%- endfor %}
{%- endmacro %}
