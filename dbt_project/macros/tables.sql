{#-
    In place of dbt's own, which declares the columns of a contract first and inserts into them: PostgreSQL inserts with
    one process, and makes a table of a query with as many as may work. The contract's types were compared before, and
    what it says of values is checked over the whole table.
-#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {{ config.get('sql_header') or '' }}
    {%- set is_contract = config.get('contract').enforced -%}
    {%- if is_contract %}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    create {{ 'temporary ' if temporary }}table {{ relation }} as (
        {{ get_select_subquery(sql) if is_contract and not temporary else sql }}
    );
    {%- set rules = contract_rules() if is_contract and not temporary else [] %}
    {%- if rules %}
        alter table {{ relation }} {{ rules | join(', ') }};
    {%- endif %}
{%- endmacro %}

{#- What the contract of the model says of values, as clauses of an `alter table`. -#}
{% macro contract_rules() %}
    {% set rules = [] %}
    {% for column in model.columns.values() %}
        {% for constraint in column.constraints %}
            {% if constraint.type == 'not_null' %}
                {% do rules.append('alter column ' ~ column.name ~ ' set not null') %}
            {% elif constraint.type == 'check' %}
                {% do rules.append('add check (' ~ constraint.expression ~ ')') %}
            {% else %}
                {{ exceptions.raise_compiler_error(
                    model.name ~ '.' ~ column.name ~ ': a constraint of the type ' ~ constraint.type
                    ~ ' is not among those that macros/tables.sql writes; use not_null or check, or add it there'
                ) }}
            {% endif %}
        {% endfor %}
    {% endfor %}
    {% do return(rules) %}
{% endmacro %}

{#- The header of a model that nothing else can run beside: two processes share its work. For the config of the model. -#}
{% macro on_both_cores() -%}
    set local synchronous_commit = off;
    set local max_parallel_workers_per_gather = 1;
    set local parallel_tuple_cost = 0.01;
{%- endmacro %}
