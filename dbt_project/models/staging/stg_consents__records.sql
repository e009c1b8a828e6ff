-- What was said, each statement once: another version of a record that says the same only completes it. Where two
-- versions disagree both stay, and the refusal counts.
with said as (

    select
        *,
        case
            when identifier_kind = 'email'
                then 'email_hash:' || {{ sha256_hex(normalise_email('identifier_value')) }}
            when identifier_kind = 'phone'
                then 'phone_hash:' || {{ sha256_hex(normalise_phone('identifier_value')) }}
            else identifier_kind || ':' || identifier_value
        end as identifier
    from {{ source('raw', 'consent_records') }}
    where recorded_at <= {{ as_of() }}

)

select distinct on (source, source_key, is_granted, recorded_at)
    source,
    source_key,
    md5(source || ':' || source_key || ':' || is_granted || ':' || recorded_at) as consent_record_id,
    identifier,
    purpose,
    is_granted,
    is_withdrawal,
    legal_basis,
    upper(trim(region)) as region,
    text_version,
    recorded_via,
    source || ':' || coalesce(proof, source_key) as proof,
    recorded_at,
    is_simulated
from said
order by source asc, source_key asc, is_granted asc, recorded_at asc, raw_id desc
