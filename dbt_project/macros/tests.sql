{#- A combination of columns is unique; dbt's own `unique` takes one column. -#}
{% test unique_together(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}

{% test between(model, column_name, low, high) %}
    select {{ column_name }}
    from {{ model }}
    where {{ column_name }} < {{ low }} or {{ column_name }} > {{ high }}
{% endtest %}

{#- Nothing is known before it happened. -#}
{% test not_after_as_of(model, column_name) %}
    select {{ column_name }}
    from {{ model }}
    where {{ column_name }} > {{ as_of() }}
{% endtest %}

{#- Periods of one key neither overlap nor run backwards, and at most the last is open. -#}
{% test periods_follow_each_other(model, key) %}
    select *
    from (
        select
            {{ key }},
            valid_from,
            valid_to,
            lead(valid_from) over (partition by {{ key }} order by valid_from) as next_from
        from {{ model }}
    ) as periods
    where valid_to <= valid_from or (next_from is not null and (valid_to is null or valid_to > next_from))
{% endtest %}

{#-
    In place of dbt's own: `where: is_new_by(<column>)` on a test means the rows that this build wrote, by the number of
    their transaction. Rows that passed once are not looked at again, unless the test runs outside of a whole build.
-#}
{% macro postgres__get_where_subquery(relation) %}
    {% set column = (config.get('where') or '') | replace('is_new_by(', '') | replace(')', '') %}
    {% if 'is_new_by(' not in (config.get('where') or '') %}
        {% do return(default__get_where_subquery(relation)) %}
    {% elif flags.WHICH != 'build' or invocation_args_dict.get('select') or not execute or should_full_refresh() %}
        {% do return(relation) %}
    {% else %}
        {#- what was loaded while the last build ran is new, what that build wrote is not -#}
        {% set first = last_build()['snapshot_xmin' if column == 'loaded_xid' else 'next_xid'] %}
        {% do return('(select * from ' ~ relation ~ ' where ' ~ column ~ ' >= ' ~ first ~ ') dbt_subquery') %}
    {% endif %}
{% endmacro %}
