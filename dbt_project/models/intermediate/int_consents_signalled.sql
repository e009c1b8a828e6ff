-- What clients said about consent with their events, as the few moments at which it changed. A browser or device is one
-- speaker, whoever is signed in; who never has a client speaks as a user. A grant that a client goes on sending after
-- somebody signed in, or out, is not said again; a refusal is.
-- It outlives the events: what a month that is dropped had said stays (docs/consent.md).
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='speaker',
        full_refresh=false,
        on_schema_change='append_new_columns',
        pre_hook="{{ forget_before_first_build() }}",
    )
}}

with events as (

    select
        message_id,
        occurred_at,
        loaded_xid,
        is_simulated,
        consent_purposes,
        consent_signals,
        'user_id:' || user_id as user_identifier,
        coalesce('anonymous_id:' || anonymous_id, 'device_id:' || device_id) as client_identifier,
        coalesce('anonymous_id:' || anonymous_id, 'device_id:' || device_id, 'user_id:' || user_id) as speaker,
        concat_ws(' ', coalesce(consent_purposes::text, '-'), coalesce(consent_signals::text, '-'), user_id)
            as statement
    from {{ ref('stg_events__events') }}
    where consent_purposes is not null or consent_signals is not null

),

arrived as (

    select distinct speaker
    from events
    where {{ 'true' if is_derived_anew() else arrived_since_last_build() }}

),

statements as (

    select
        *,
        min(occurred_at) filter (where user_identifier is not null) over (partition by speaker) as linked_at,
        lag(statement) over (partition by speaker order by occurred_at, message_id) as previous_statement
    from events
    where speaker in (select arrived.speaker from arrived)

),

changes as (

    select *
    from statements
    where previous_statement is null or statement <> previous_statement

),

heard as (

    select
        changes.speaker,
        changes.user_identifier,
        changes.client_identifier,
        changes.linked_at,
        said.purpose,
        said.is_granted,
        case
            when not said.is_granted and said.purpose = 'advertising' and (changes.consent_signals ->> 'gpc')::boolean
                then 'gpc'
            when said.purpose <> 'email_marketing' and changes.consent_signals ->> 'tcf' is not null then 'tcf'
            when said.purpose = 'advertising' and changes.consent_signals ->> 'gpp' is not null then 'gpp'
            else 'event_context'
        end as recorded_via,
        changes.message_id,
        changes.occurred_at as recorded_at,
        changes.is_simulated
    from changes
    cross join
        lateral (
            select
                granted.purpose,
                true as is_granted
            from unnest(changes.consent_purposes) as granted (purpose)
            union
            select
                refused.purpose,
                false as is_granted
            from jsonb_array_elements_text(changes.consent_signals -> 'refused') as refused (purpose)
        ) as said
    where said.purpose in (select rules.purpose from {{ ref('consent_purposes') }} as rules)
    {% if is_incremental() %}
        union all
        -- said with events that are no longer kept
        select
            kept.speaker,
            case when kept.identifier like 'user_id:%' then kept.identifier end as user_identifier,
            kept.client_identifier,
            kept.linked_at,
            kept.purpose,
            kept.is_granted,
            kept.recorded_via,
            kept.message_id,
            kept.recorded_at,
            kept.is_simulated
        from {{ this }} as kept
        where
            kept.speaker in (select statements.speaker from statements)
            and kept.message_id not in (select statements.message_id from statements)
    {% endif %}

),

words as (

    select
        *,
        case when recorded_via = 'gpc' then 'gpc' when is_granted then 'granted' else 'refused' end as word
    from heard

),

compared as (

    select
        *,
        lag(word) over (
            partition by speaker, user_identifier, purpose order by recorded_at asc, message_id asc, is_granted desc
        ) as own_word_before,
        lag(word) over (
            partition by speaker, purpose order by recorded_at asc, message_id asc, is_granted desc
        ) as clients_word_before
    from words

)

select
    md5(speaker || ':' || purpose || ':' || message_id || ':' || is_granted) as consent_signal_id,
    speaker,
    coalesce(user_identifier, client_identifier) as identifier,
    client_identifier,
    min(linked_at) over (partition by speaker) as linked_at,
    purpose,
    is_granted,
    recorded_via,
    message_id,
    recorded_at,
    is_simulated,
    {{ this_transaction() }} as written_xid
from compared
where
    (own_word_before is null or word <> own_word_before)
    and not (word = 'granted' and coalesce(clients_word_before = 'granted', false))
