{#-
    Consent. `permitted` is the door through which every mart and feature table passes that feeds models, audiences or
    messages; its yml says for which purpose under config.meta.consent_purpose. tests/dbt_project/test_consent.py fails
    where one goes past it.
-#}

{#-
    Whether the subscriber whose id the expression gives may be used for the purpose now, as a condition: what they said
    last, or else what their region's law supposes. Null where the expression is null.
-#}
{% macro permitted(purpose, subscriber_id) -%}
    {%- if purpose not in consent_purposes() -%}
        {{ exceptions.raise_compiler_error(
            "permitted('" ~ purpose ~ "'): no such purpose; there is " ~ consent_purposes() | join(', ')
        ) }}
    {%- endif -%}
    {{ subscriber_id }} in (
        select consents.subscriber_id
        from {{ ref('int_consents_current') }} as consents
        where consents.purpose = '{{ purpose }}' and consents.is_permitted
    )
{%- endmacro %}

{#-
    Whose words, or rule, are others than at the last build: what follows from them is written again. A word of which
    nobody knows whose it is has no such memory, and is written by every build.
-#}
{% macro is_reworded(rows) -%}
    ({{ rows }}.subscriber_id is null or {{ rows }}.subscriber_id in (
        select compared.subscriber_id
        from {{ ref('int_consents_compared') }} as compared
        where {{ written_since_last_build('compared.changed_xid') }}
    ))
{%- endmacro %}

{#- A pre_hook: take away what is_reworded says is written again, in two steps, each of which an index finds. -#}
{% macro take_back_reworded() -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} as former where former.subscriber_id is null;
        delete from {{ this }} as former
        using {{ ref('int_consents_compared') }} as compared
        where
            former.subscriber_id = compared.subscriber_id
            and {{ written_since_last_build('compared.changed_xid') }}
    {%- endif -%}
{%- endmacro %}

{#-
    A pre_hook of int_consents_said: take away the words that are others than they were, or gone, those whose identifier
    has another subscriber, and those of a client on which somebody signed in since. Words under an id of ours follow
    redirects, and words of nobody may have found somebody: they are written by every build. Which they were is kept for
    the model, in a temporary table.
-#}
{% macro take_back_words() -%}
    {%- if execute and is_incremental() -%}
        create temp table outdated_words on commit drop as (
            select known.consent_id
            from {{ this }} as known
            left join {{ ref('int_consents_recorded') }} as recorded
                on
                    known.consent_id = recorded.consent_record_id
                    and not {{ written_since_last_build('recorded.written_xid') }}
            left join {{ ref('int_consents_signalled') }} as signalled
                on
                    known.consent_id = signalled.consent_signal_id
                    and not {{ written_since_last_build('coalesce(signalled.written_xid, 0)') }}
            where
                (recorded.consent_record_id is null and signalled.consent_signal_id is null)
                or known.subscriber_id is null
                or known.identifier like 'subscriber_id:%'
                or known.identifier in (
                    select identifier
                    from {{ ref('int_identifiers_assigned') }}
                    where {{ written_since_last_build('assigned_xid') }}
                    union all
                    select client_identifier
                    from {{ ref('int_consents_signalled') }}
                    where client_identifier is not null and {{ written_since_last_build('written_xid') }}
                )
                or {{ was_somebody_erased() }}
        );
        delete from {{ this }} as former
        using outdated_words as outdated
        where former.consent_id = outdated.consent_id
    {%- endif -%}
{%- endmacro %}

{#- A log that outlives what it was made from is another installation's where no build was ever completed. -#}
{% macro forget_before_first_build() %}
    {% if execute and is_incremental() and last_build() is none %}
        delete from {{ this }}
    {% endif %}
{% endmacro %}

{#- Whether such a log has to look at all that there still is, and not only at what is new. -#}
{% macro is_derived_anew() %}
    {% do return(not execute or not is_incremental() or flags.FULL_REFRESH or is_everything_new()) %}
{% endmacro %}

{% macro consent_purposes() -%}
    {{ return(['personalization', 'email_marketing', 'advertising', 'analytics']) }}
{%- endmacro %}
