{#-
    The moment for which everything is built, as a timestamptz expression. It comes as an environment variable, asked for
    at execution only: with another value of a variable on the command line dbt would parse the whole project again.
-#}
{% macro as_of() -%}
    {%- set moment = var('as_of') or (env_var('DBT_MARQUEE_AS_OF', '') if execute) -%}
    {%- if moment -%}
        timestamptz '{{ moment }}'
    {%- else -%}
        (select max(occurred_at) from {{ source('raw', 'events') }})
    {%- endif -%}
{%- endmacro %}
