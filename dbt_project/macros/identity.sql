{#-
    Identity is resolved by functions of the database (ingestion/identity), the same ones that run live. Before the model
    is read they take in what raw holds and is new, under the rules of int_identifiers_resolved's yml.
-#}
{% macro catch_up_with_raw() -%}
    {%- if execute %}
    select
        identity.adopt_rules(
            '{{ tojson(graph.nodes['model.marquee.int_identifiers_resolved'].config.meta.identity_rules) | replace("'", "''") }}'::jsonb, coalesce({{ as_of() }}, now())
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
        analyze resolved_identifiers (identifier);
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
    exists (select from identity.erasures where erased_xid >= {{ last_build()['snapshot_xmin'] if execute else 0 }})
{%- endmacro %}

{#- A pre_hook of dim_subscriber_identifiers: take away what was written again, or is erased. -#}
{% macro take_back_identifiers() -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} as former
        using {{ ref('int_identifiers_assigned') }} as assigned
        where
            assigned.identifier_value = former.identifier_value
            and assigned.identifier_kind = former.identifier_kind
            and {{ written_since_last_build('assigned.written_xid') }};
        delete from {{ this }} as former
        where
            {{ was_somebody_erased() }}
            and not exists (
                select from {{ ref('int_identifiers_assigned') }} as assigned
                where
                    assigned.identifier_value = former.identifier_value
                    and assigned.identifier_kind = former.identifier_kind
            )
    {%- endif -%}
{%- endmacro %}
