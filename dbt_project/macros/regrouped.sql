{#-
    A pre_hook of int_subscribers_attributed: whom it writes, as a temporary table for the model, and their former rows
    taken away. That is everybody, or in an increment those who gained or lost an identifier, those of whom a system told
    something, and everybody again where somebody was erased. Who is gone is there without identifiers.
-#}
{% macro find_regrouped_subscribers() -%}
    {%- if execute %}
        {%- if is_incremental() %}
        create temp table touched_subscribers on commit drop as
        select subscriber_id
        from {{ ref('int_identifiers_resolved') }}
        where identifier in (
            select identifier
            from {{ ref('int_identifiers_assigned') }}
            where {{ written_since_last_build('written_xid') }}
            union all
            {{ told_identifiers() }}
        )
        union
        select former.subscriber_id
        from {{ ref('int_identifiers_assigned') }} as assigned
        cross join jsonb_array_elements_text(assigned.former_subscriber_ids) as former (subscriber_id)
        where former.subscriber_id is not null and {{ written_since_last_build('assigned.assigned_xid') }}
        union
        select subscriber_id
        from {{ ref('int_identifiers_resolved') }}
        where {{ was_somebody_erased() }}
        union
        select subscriber_id
        from {{ this }}
        where {{ was_somebody_erased() }};
        analyze touched_subscribers;
        delete from {{ this }} as former
        using touched_subscribers as touched
        where former.subscriber_id = touched.subscriber_id;
        {%- endif %}
        create temp table regrouped_subscribers on commit drop as
        select
            subscriber_id,
            min(identifier_value) filter (where identifier_kind = 'user_id') as user_id,
            count(*) as identifier_count,
            min(first_seen_at) as first_seen_at,
            bool_and(identifier_kind in ('email_hash', 'phone_hash')) as is_contact_only
        from {{ ref('int_identifiers_resolved') }}
        {%- if is_incremental() %}
        where subscriber_id in (select touched.subscriber_id from touched_subscribers as touched)
        {%- endif %}
        group by subscriber_id;
        analyze regrouped_subscribers (subscriber_id)
    {%- endif %}
{%- endmacro %}

{#- Identifiers of which a system told something since the last build: what it says now, and what it said before. -#}
{% macro told_identifiers() -%}
    {{ told_keys('crm_contacts', 'crm_id', 'case when is_deleted then deleted_at else updated_at end') }}
    union all
    {{ told_keys('billing_subscriptions', 'billing_id', 'updated_at') }}
    union all
    {{ told_emails('survey_answers', 'answered_at') }}
    union all
    select 'email_hash:' || email_hash
    from {{ ref('stg_events__events') }}
    where has_email and {{ arrived_since_last_build() }}
{%- endmacro %}

{% macro told_keys(table, kind, moment) -%}
    select '{{ kind }}:' || {{ kind }}
    from {{ source('raw', table) }}
    where {{ arrived_since_last_build(moment) }}
    union all
    {{ told_emails(table, moment) }}
{%- endmacro %}

{% macro told_emails(table, moment) -%}
    select 'email_hash:' || {{ sha256_hex(normalise_email('email')) }}
    from {{ source('raw', table) }}
    where (source, source_key) in ({{ retold_records(table, moment) }})
{%- endmacro %}
