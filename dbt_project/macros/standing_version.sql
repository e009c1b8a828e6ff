{#-
    The version of each record that stands, for systems that hand over whole exports: by its own update time, then by
    arrival, the newest since the record last vanished; no row where it is gone. The loader judges by the same rule
    (ingestion/snapshots.py).
-#}
{% macro standing_version(relation, moment) -%}
    select distinct on (source, source_key) *
    from (
        select
            *,
            max(raw_id) filter (where is_deleted) over (partition by source, source_key) as vanished_id
        from {{ relation }}
        where case when is_deleted then deleted_at else {{ moment }} end <= {{ as_of() }}
    ) as known
    where raw_id > coalesce(vanished_id, 0)
    order by source, source_key, {{ moment }} desc, raw_id desc
{%- endmacro %}
