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
