{#-
    What holds for every row of a model, in one query: dbt's own tests take one column each, and a hundred queries over
    the same rows cost more than the build. `unique` is a list of keys, `one_of` and `within` name the values and the
    limits of a column (null is neither), and what is `known_at_as_of` does not lie in the future.
-#}
{% test holds(model, unique=[], never_null=[], one_of={}, within={}, known_at_as_of=[]) %}
    {%- set columns = never_null + one_of.keys() | list + within.keys() | list + known_at_as_of -%}
    with told as (

        select {{ (columns + unique | sum(start=[])) | unique | join(', ') }}
        from {{ model }}

    ),

    broken as (

        {% if columns %}
        select
            case
                {%- for column in never_null %}
                when {{ column }} is null then '{{ column }} is null'
                {%- endfor %}
                {%- for column, values in one_of.items() %}
                when {{ column }} not in ('{{ values | join("', '") }}') then '{{ column }} has another value'
                {%- endfor %}
                {%- for column, limits in within.items() %}
                when {{ column }} < {{ limits[0] }} or {{ column }} > {{ limits[1] }}
                    then '{{ column }} is out of its limits'
                {%- endfor %}
                {%- for column in known_at_as_of %}
                when {{ column }} > {{ as_of() }} then '{{ column }} lies in the future'
                {%- endfor %}
            end as rule
        from told
        {% endif %}
        {% for key in unique %}
        {{ 'union all' if columns or not loop.first }}
        select '{{ key | join(", ") }} is there twice' as rule
        from told
        group by {{ key | join(', ') }}
        having count(*) > 1
        {% endfor %}

    )

    select rule
    from broken
    where rule is not null
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
