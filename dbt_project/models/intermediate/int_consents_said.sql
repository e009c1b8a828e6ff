{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_words() }}",
    indexes=[{'columns': ['subscriber_id']}]
) }}

-- Every word on consent with the subscriber whose it is now, under whichever identifier it was given. `spoken_by` parts
-- what a client said before anybody signed in there from the person's own words. An increment looks at the words that
-- are new, that came to lie in the past, and that were taken back.
-- depends_on: {{ ref('int_identifiers_assigned') }}
with words as (

    select
        consent_record_id as consent_id,
        identifier,
        purpose,
        is_granted,
        is_withdrawal,
        legal_basis,
        region,
        text_version,
        recorded_via,
        proof,
        recorded_at,
        is_simulated
    from {{ ref('int_consents_recorded') }}
    {% if is_incremental() %}
        where
            {{ written_since_last_build('written_xid') }}
            or consent_record_id in (select outdated.consent_id from pg_temp.outdated_words as outdated)
    {% endif %}
    union all
    select
        consent_signal_id as consent_id,
        identifier,
        purpose,
        is_granted,
        false as is_withdrawal,
        'consent' as legal_basis,
        null as region,
        null as text_version,
        recorded_via,
        'events:' || message_id as proof,
        recorded_at,
        is_simulated
    from {{ ref('int_consents_signalled') }}
    where
        recorded_at <= {{ as_of() }}
        {% if is_incremental() %}
            and (
                {{ written_since_last_build('written_xid') }}
                or {{ came_due_since_last_build('recorded_at') }}
                or consent_signal_id in (select outdated.consent_id from pg_temp.outdated_words as outdated)
            )
        {% endif %}

),

clients as (

    select
        client_identifier,
        min(linked_at) as linked_at
    from {{ ref('int_consents_signalled') }}
    where client_identifier is not null and linked_at <= {{ as_of() }}
    group by client_identifier

)

select
    words.consent_id,
    coalesce(
        identifiers.subscriber_id, redirects.subscriber_id, substring(words.identifier from '^subscriber_id:(.*)$')
    ) as subscriber_id,
    words.identifier,
    case
        when
            (words.identifier like 'anonymous_id:%' or words.identifier like 'device_id:%')
            and words.recorded_at < coalesce(clients.linked_at, 'infinity')
            then words.identifier
        else 'person'
    end as spoken_by,
    clients.linked_at,
    words.purpose,
    words.is_granted,
    words.is_withdrawal,
    words.legal_basis,
    words.region,
    words.text_version,
    words.recorded_via,
    words.proof,
    words.recorded_at,
    words.is_simulated
from words
left join {{ ref('int_identifiers_resolved') }} as identifiers on words.identifier = identifiers.identifier
-- an id of ours in an old link may have been merged into another since
left join {{ ref('int_subscribers_redirected') }} as redirects
    on words.identifier = 'subscriber_id:' || redirects.former_subscriber_id
left join clients on words.identifier = clients.client_identifier
where {{ is_missing('words.consent_id') }}
