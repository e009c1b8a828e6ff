{#-
    Facts that name their subscriber by one identifier, in increments: a pre_hook takes back what another version or
    another owner of the identifier has touched, and the model adds what is missing then.
-#}

{#- Identifiers of a kind that belong to another subscriber than at the last build. -#}
{% macro reassigned_identifiers(kind) -%}
    select identifier_value
    from {{ ref('int_identifiers_assigned') }}
    where identifier_kind = '{{ kind }}' and {{ written_since_last_build('assigned_xid') }}
{%- endmacro %}

{#- Rows of this model, by key, whose identifier is nobody's, or another's now; `column` holds the identifier's value. -#}
{% macro rows_of_reassigned(key, kind, column) -%}
    select {{ key }}
    from {{ this }}
    where {{ column }} in ({{ reassigned_identifiers(kind) }})
    union all
    select {{ key }}
    from {{ this }} as known
    where
        {{ was_somebody_erased() }}
        and not exists (
            select from {{ ref('int_identifiers_assigned') }} as identifiers
            where identifiers.identifier = '{{ kind }}:' || known.{{ column }}
        )
{%- endmacro %}

{#- What an increment of such a model adds, by its key with the name of its step; everything where it is built anew. -#}
{% macro is_missing(key) -%}
    {%- if is_incremental() -%}
        not exists (select from {{ this }} as kept where kept.{{ key.split('.') | last }} = {{ key }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#-
    What a model adds of a staging view: all of it, or in an increment the records that the model lacks, by `is_kept`, a
    condition on its rows `kept` and the raw rows `told`. Each of these is looked up by its key: a view that is joined is
    first computed whole.
-#}
{% macro missing_records(staging, table, is_kept) -%}
    {%- if is_incremental() -%}
        (
            select distinct
                told.source,
                told.source_key
            from {{ source('raw', table) }} as told
            where not exists (select from {{ this }} as kept where {{ is_kept }})
        ) as missing
        cross join lateral (
            select *
            from {{ ref(staging) }} as standing
            where standing.source = missing.source and standing.source_key = missing.source_key
            -- a fence: without it PostgreSQL joins instead
            offset 0
        )
    {%- else -%}
        {{ ref(staging) }}
    {%- endif -%}
{%- endmacro %}

{#- A pre_hook of a model that keeps records by their key: take away those of which raw has a newer word, or none. -#}
{% macro take_back_retold(table, moment) -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} as kept
        where
            (kept.source, kept.source_key) in ({{ retold_records(table, moment) }})
            or not exists (
                select from {{ source('raw', table) }} as told
                where told.source = kept.source and told.source_key = kept.source_key
            )
    {%- endif -%}
{%- endmacro %}

{#- Keys of the records of which something new was told since the last build. -#}
{% macro retold_records(table, moment) -%}
    select
        source,
        source_key
    from {{ source('raw', table) }}
    where {{ arrived_since_last_build(moment) }}
{%- endmacro %}

{% macro touched_subscriptions() -%}
    select billing_id
    from {{ source('raw', 'billing_subscriptions') }}
    where {{ arrived_since_last_build('updated_at') }}
    union all
    {{ rows_of_reassigned('billing_id', 'billing_id', 'billing_id') }}
{%- endmacro %}

{% macro touched_invoices() -%}
    select invoice_id
    from {{ source('raw', 'billing_invoices') }}
    where (source, source_key) in ({{ retold_records('billing_invoices', 'updated_at') }})
    union all
    {{ rows_of_reassigned('invoice_id', 'billing_id', 'billing_id') }}
{%- endmacro %}

{% macro touched_email_events() -%}
    select source || ':' || source_key
    from {{ source('raw', 'email_provider_events') }}
    where {{ arrived_since_last_build('occurred_at') }}
    union all
    {{ rows_of_reassigned('email_event_id', 'email_hash', 'email_hash') }}
{%- endmacro %}
