{#-
    Identity is resolved by functions of the database (ingestion/identity), the same ones that run live. Before the model
    is read they take in what raw holds and is new, under the rules of the model's yml.
-#}
{% macro catch_up_with_raw() -%}
    {%- if execute %}
    select
        identity.adopt_rules(
            '{{ tojson(model.config.meta.identity_rules) | replace("'", "''") }}'::jsonb, coalesce({{ as_of() }}, now())
        ),
        identity.catch_up(coalesce({{ as_of() }}, now()))
    {%- endif %}
{%- endmacro %}

{#- Who is whose at as_of, once for the model and for what the model has to forget. -#}
{% macro resolve_identifiers() -%}
    create temp table resolved_identifiers on commit drop as
    select * from identity.resolved_at({{ as_of() }})
    {%- if is_incremental() -%}
        ;
        delete from {{ this }} as known
        where not exists (select from resolved_identifiers where resolved_identifiers.identifier = known.identifier)
    {%- endif -%}
{%- endmacro %}
