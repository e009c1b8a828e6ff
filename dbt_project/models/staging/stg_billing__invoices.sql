with invoices as (

    {{ latest_version(source('raw', 'billing_invoices'), 'updated_at') }}

),

amounts as (

    select
        source,
        source_key,
        invoice_id,
        nullif(trim(billing_id), '') as billing_id,
        lower(trim(status)) as billing_status,
        coalesce({{ to_integer('amount_cents') }}, 0) as amount_cents,
        -- never more than was paid, however the system counts
        least(
            coalesce({{ to_integer('refunded_cents') }}, 0), coalesce({{ to_integer('amount_cents') }}, 0)
        ) as refunded_cents,
        nullif(upper(trim(currency)), '') as currency,
        period_starts_at,
        period_ends_at,
        coalesce(issued_at, period_starts_at, updated_at) as issued_at,
        paid_at,
        refunded_at,
        updated_at,
        is_simulated
    from invoices
    where not is_deleted

),

judged as (

    select
        *,
        case
            when billing_status = 'refunded' or (refunded_cents > 0 and refunded_cents = amount_cents) then 'refunded'
            when billing_status = 'paid' and refunded_cents > 0 then 'partly_refunded'
            when billing_status = 'paid' then 'paid'
            when billing_status in ('failed', 'uncollectible') then 'failed'
            when billing_status = 'void' then 'void'
            else 'open'
        end as invoice_status
    from amounts

)

select
    source,
    source_key,
    invoice_id,
    billing_id,
    invoice_status,
    amount_cents,
    case when invoice_status = 'refunded' then amount_cents else refunded_cents end as refunded_cents,
    -- what the company kept: nothing of what was never paid
    case
        when invoice_status in ('paid', 'partly_refunded') then amount_cents - refunded_cents
        else 0
    end as net_amount_cents,
    currency,
    period_starts_at,
    period_ends_at,
    issued_at,
    paid_at,
    refunded_at,
    updated_at,
    is_simulated
from judged
