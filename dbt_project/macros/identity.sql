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

{#-
    Who is whose at as_of, once for the model and for what the model has to forget: everybody, or where the model adds to
    what the last build left, those of whom something changed since, by what was stored or by the time that went by. What
    the model's own transactions took in, they have read: after a build from nothing that is everybody.
-#}
{% macro resolve_identifiers() -%}
    create temp table resolved_identifiers on commit drop as
    {%- if not is_incremental() %}
        select * from identity.resolved_at({{ as_of() }})
    {%- else %}
        {%- set last = last_build() %}
        select *
        from identity.resolved_changes(
            {{ as_of() }}, timestamptz '{{ last["as_of"].isoformat() }}', {{ last['snapshot_xmin'] }},
            array(select distinct written_xid from {{ this }} where written_xid >= {{ last['snapshot_xmin'] }})
        );
        delete from {{ this }} as known
        using resolved_identifiers
        where known.identifier = resolved_identifiers.identifier and resolved_identifiers.subscriber_id is null;
        delete from {{ this }} as known
        where
            {{ was_somebody_erased() }}
            and not exists (
                select from identity.identifiers where identifier_key = md5(known.identifier)::uuid
            )
    {%- endif -%}
{%- endmacro %}

{#- Whether an identifier was erased since the last build; what was told of it is gone from raw without a trace. -#}
{% macro was_somebody_erased() -%}
    exists (select from identity.erasures where erased_xid >= {{ last_build()['snapshot_xmin'] }})
{%- endmacro %}
