{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_retold('crm_contacts', 'case when is_deleted then deleted_at else updated_at end') }}",
    indexes=[{'columns': ['source', 'source_key'], 'unique': true}, {'columns': ['crm_id']}, {'columns': ['email_hash']}]
) }}

-- Living contacts of the CRM, kept: to spell and hash every address again costs more than the rest of a small build.
select
    contacts.source,
    contacts.source_key,
    contacts.crm_id,
    contacts.user_id,
    contacts.email,
    contacts.email_hash,
    contacts.first_name,
    contacts.birth_year,
    contacts.gender,
    contacts.occupation,
    contacts.country,
    contacts.timezone,
    contacts.created_at,
    contacts.updated_at,
    contacts.is_simulated
from {{ missing_records(
    'stg_crm__contacts', 'crm_contacts', 'kept.source = told.source and kept.source_key = told.source_key'
) }} as contacts
