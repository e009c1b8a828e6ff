{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ take_back('invoice_id', touched_invoices()) }}",
    indexes=[{'columns': ['invoice_id'], 'unique': true}]
) }}

-- depends_on: {{ ref('int_identifiers_assigned') }}
select
    invoices.invoice_id,
    identifiers.subscriber_id,
    invoices.billing_id,
    invoices.invoice_status,
    invoices.amount_cents,
    invoices.refunded_cents,
    invoices.net_amount_cents,
    invoices.currency,
    invoices.period_starts_at,
    invoices.period_ends_at,
    invoices.issued_at,
    invoices.paid_at,
    invoices.refunded_at,
    invoices.is_simulated
from {{ missing_records('stg_billing__invoices', 'billing_invoices', 'kept.invoice_id = told.invoice_id') }} as invoices
left join {{ ref('int_identifiers_resolved') }} as identifiers
    on
        identifiers.identifier_kind = 'billing_id'
        and identifiers.identifier = 'billing_id:' || invoices.billing_id
