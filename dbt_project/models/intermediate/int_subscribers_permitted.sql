{{ config(
    materialized='incremental',
    unique_key='subscriber_id',
    incremental_strategy='delete+insert',
    indexes=[{'columns': ['subscriber_id'], 'unique': true}]
) }}

-- Who permits personalization, as the last build saw it: who changed their mind has their interactions written again.
-- An increment compares those who said something else, or stand under another rule, than before.
-- depends_on: {{ ref('int_consents_compared') }}
with permissions as (

    select
        consents.subscriber_id,
        consents.is_permitted
    from {{ ref('int_consents_current') }} as consents
    where
        consents.purpose = 'personalization'
        {% if is_incremental() %}
            and {{ is_reworded('consents') }}
        {% endif %}
    {% if is_incremental() %}
        union all
        -- an id that was merged into another permits nothing
        select
            compared.subscriber_id,
            false as is_permitted
        from {{ ref('int_consents_compared') }} as compared
        where compared.fingerprint is null and {{ written_since_last_build('compared.changed_xid') }}
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
