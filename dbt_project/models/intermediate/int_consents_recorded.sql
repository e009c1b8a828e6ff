{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back_retold('consent_records', 'recorded_at') }}",
    indexes=[{'columns': ['source', 'source_key']}]
) }}

-- What registers of consent say, kept for the same reason as int_contacts_standing.
select
    records.source,
    records.source_key,
    records.consent_record_id,
    records.identifier,
    records.purpose,
    records.is_granted,
    records.is_withdrawal,
    records.legal_basis,
    records.region,
    records.text_version,
    records.recorded_via,
    records.proof,
    records.recorded_at,
    records.is_simulated,
    {{ this_transaction() }} as written_xid
from {{ missing_records(
    'stg_consents__records', 'consent_records', 'kept.source = told.source and kept.source_key = told.source_key'
) }} as records
