with contacts as (

    {{ standing_version(source('raw', 'crm_contacts'), 'updated_at') }}

),

normalised as (

    select
        source,
        source_key,
        crm_id,
        nullif(trim(user_id), '') as user_id,
        {{ normalise_email('email') }} as email,
        {{ normalise_phone('phone') }} as phone,
        nullif(trim(first_name), '') as first_name,
        {{ to_integer('birth_year') }} as birth_year,
        case upper(left(trim(gender), 1)) when 'F' then 'female' when 'M' then 'male' else 'unknown' end as gender,
        nullif(lower(trim(occupation)), '') as occupation,
        nullif(upper(trim(country)), '') as country,
        nullif(trim(timezone), '') as timezone,
        created_at,
        updated_at,
        is_simulated,
        loaded_xid
    from contacts
    -- a fence: without it PostgreSQL spells every address again for each column that has to do with it
    offset 0 -- noqa: AM09

)

select
    *,
    {{ sha256_hex('email') }} as email_hash,
    {{ sha256_hex('phone') }} as phone_hash
from normalised
