{#- The newest version of each source record of a raw table: by its own update time, then by arrival. -#}
{% macro latest_version(relation, moment) -%}
    select distinct on (source, source_key) *
    from {{ relation }}
    where {{ moment }} <= {{ as_of() }}
    order by source, source_key, {{ moment }} desc, raw_id desc
{%- endmacro %}
