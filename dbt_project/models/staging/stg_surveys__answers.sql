with answers as (

    {{ latest_version(source('raw', 'survey_answers'), 'answered_at') }}

)

select
    source || ':' || source_key as survey_answer_id,
    nullif(trim(user_id), '') as user_id,
    {{ normalise_email('email') }} as email,
    {{ sha256_hex(normalise_email('email')) }} as email_hash,
    question,
    answer,
    answered_at
from answers
