{{ config(
    materialized='incremental',
    unique_key='subscriber_id',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

-- What each subscriber said, and under which rule, as the last build saw it: where it is another now, what follows from
-- it is written again. Who is gone stays here without a fingerprint.
with standing as (

    select
        subscriber_id,
        fingerprint
    from {{ ref('int_subscribers_ruled') }}
    {% if is_incremental() %}
        union all
        select
            former.subscriber_id,
            null as fingerprint
        from {{ this }} as former
        where
            former.fingerprint is not null
            and not exists (
                select from {{ ref('int_subscribers_ruled') }} as ruled
                where ruled.subscriber_id = former.subscriber_id
            )
    {% endif %}

)

select
    standing.subscriber_id,
    standing.fingerprint,
    {{ this_transaction() }} as changed_xid
from standing
{% if is_incremental() %}
    left join {{ this }} as former on standing.subscriber_id = former.subscriber_id
    where standing.fingerprint is distinct from former.fingerprint
{% endif %}
