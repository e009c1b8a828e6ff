with records as (

    {{ latest_version(source('raw', 'consent_records'), 'recorded_at') }}

)

select
    source || ':' || source_key as consent_record_id,
    case
        when identifier_kind = 'email'
            then 'email_hash:' || {{ sha256_hex(normalise_email('identifier_value')) }}
        else identifier_kind || ':' || identifier_value
    end as identifier,
    purpose,
    is_granted,
    region,
    recorded_at
from records
