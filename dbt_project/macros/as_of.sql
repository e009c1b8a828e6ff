{#- The moment for which everything is built, as a timestamptz expression. -#}
{% macro as_of() -%}
    {%- if var('as_of') -%}
        timestamptz '{{ var("as_of") }}'
    {%- else -%}
        (select max(occurred_at) from {{ source('raw', 'events') }})
    {%- endif -%}
{%- endmacro %}
