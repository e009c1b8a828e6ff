{#- One spelling of an email: trimmed, lower case, without the plus tag; null where it is no address. -#}
{% macro normalise_email(column) -%}
    case
        when trim({{ column }}) ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$'
            then regexp_replace(lower(trim({{ column }})), '[+][^@]*@', '@')
    end
{%- endmacro %}

{#- The last ten digits, which is what differs between subscribers however the prefix is written. -#}
{% macro normalise_phone(column) -%}
    case
        when length(regexp_replace({{ column }}, '[^0-9]', '', 'g')) >= 7
            then right(regexp_replace({{ column }}, '[^0-9]', '', 'g'), 10)
    end
{%- endmacro %}

{% macro sha256_hex(expression) -%}
    encode(sha256(convert_to({{ expression }}, 'UTF8')), 'hex')
{%- endmacro %}

{#- A whole number out of text that a system wrote, null where it is none. -#}
{% macro to_integer(column) -%}
    case when trim({{ column }}) ~ '^[0-9]{1,9}$' then trim({{ column }})::integer end
{%- endmacro %}
