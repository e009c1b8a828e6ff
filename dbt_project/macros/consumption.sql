{#- The events that say that somebody consumed a content: each is one interaction. -#}
{% macro is_consumption(events) -%}
    {{ events }}.event_type = 'track'
    and {{ events }}.event in ('Video Playback Completed', 'Video Playback Exited', 'Article Read', 'Podcast Played')
{%- endmacro %}
