{{ config(
    materialized='incremental',
    unique_key='subscriber_id',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

-- Who permits personalization, as the last build saw it: who changed their mind has their interactions written again.
with permissions as (

    select
        subscriber_id,
        is_permitted
    from {{ ref('int_consents_current') }}
    where purpose = 'personalization'
    {% if is_incremental() %}
        union all
        -- an id that was merged into another permits nothing
        select
            former.subscriber_id,
            false as is_permitted
        from {{ this }} as former
        where
            former.is_permitted
            and not exists (
                select from {{ ref('int_consents_current') }} as consents
                where consents.subscriber_id = former.subscriber_id and consents.purpose = 'personalization'
            )
    {% endif %}

)

select
    permissions.subscriber_id,
    permissions.is_permitted,
    {{ this_transaction() }} as changed_xid
from permissions
{% if is_incremental() %}
    left join {{ this }} as former on permissions.subscriber_id = former.subscriber_id
    where permissions.is_permitted is distinct from former.is_permitted
{% endif %}
