{#- Identity's functions (ingestion/identity/evidence.sql), so that both spell an identifier in one way. -#}
{% macro normalise_email(column) -%}
    identity.normalised_email({{ column }})
{%- endmacro %}

{% macro normalise_phone(column) -%}
    identity.normalised_phone({{ column }})
{%- endmacro %}

{% macro sha256_hex(expression) -%}
    identity.hashed({{ expression }})
{%- endmacro %}

{#- A whole number out of text that a system wrote, null where it is none. -#}
{% macro to_integer(column) -%}
    case when trim({{ column }}) ~ '^[0-9]{1,9}$' then trim({{ column }})::integer end
{%- endmacro %}
