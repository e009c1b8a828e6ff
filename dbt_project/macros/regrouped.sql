{#-
    A pre_hook of int_subscribers_attributed: whom it writes, as a temporary table for the model, and their former rows
    taken away. That is everybody, or in an increment those whose identifiers are others than they were, which their
    hash tells, those of whom a system told something, and everybody again where somebody was erased. Who is gone is
    there without identifiers.
-#}
{% macro find_regrouped_subscribers() -%}
    {%- if execute %}
        create temp table regrouped_subscribers on commit drop as
        with grouped as (
            select
                subscriber_id,
                min(identifier_value) filter (where identifier_kind = 'user_id') as user_id,
                count(*) as identifier_count,
                min(first_seen_at) as first_seen_at,
                bool_and(identifier_kind in ('email_hash', 'phone_hash')) as is_contact_only,
                bit_xor(hashtextextended(identifier, 0)) as identifier_hash
            from {{ ref('int_identifiers_resolved') }}
            group by subscriber_id
        )
        {%- if not is_incremental() %}
            select * from grouped
        {%- else %}
            ,
            told as (
                select subscriber_id
                from {{ ref('int_identifiers_resolved') }}
                where {{ written_since_last_build('assigned_xid') }} or identifier in ({{ told_identifiers() }})
            )
            select
                coalesce(grouped.subscriber_id, former.subscriber_id) as subscriber_id,
                grouped.user_id,
                grouped.identifier_count,
                grouped.first_seen_at,
                grouped.is_contact_only,
                grouped.identifier_hash
            from grouped
            full join {{ this }} as former on grouped.subscriber_id = former.subscriber_id
            where
                grouped.subscriber_id in (select told.subscriber_id from told)
                or (
                    (former.identifier_hash, former.first_seen_at)
                    is distinct from (grouped.identifier_hash, grouped.first_seen_at)
                    and (former.subscriber_id is not null or not grouped.is_contact_only)
                )
                or {{ was_somebody_erased() }};
            analyze regrouped_subscribers (subscriber_id);
            delete from {{ this }} as former
            using regrouped_subscribers as regrouped
            where former.subscriber_id = regrouped.subscriber_id
        {%- endif %}
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
