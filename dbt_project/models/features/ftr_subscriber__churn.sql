-- What speaks for and against staying, as it is known at as_of.
with mail as (

    select
        subscriber_id,
        count(*) filter (where event_type in ('unsubscribe', 'group_unsubscribe', 'spamreport')) as unsubscribe_count
    from {{ ref('int_email_events_attributed') }}
    group by subscriber_id

),

failures as (

    select
        subscriber_id,
        count(*) as failed_payment_count_90d
    from {{ ref('fct_invoices') }}
    where
        invoice_status = 'failed'
        and issued_at > {{ as_of() }} - interval '90 days'
        and issued_at <= {{ as_of() }}
    group by subscriber_id

)

select
    subscribers.subscriber_id,
    {{ as_of() }} as event_timestamp,
    {{ as_of() }} as created_at,
    extract(day from {{ as_of() }} - subscribers.last_consumed_at)::integer as days_since_consumed,
    extract(day from {{ as_of() }} - subscribers.last_active_at)::integer as days_since_active,
    extract(day from {{ as_of() }} - subscribers.last_email_opened_at)::integer as days_since_email_opened,
    coalesce(consumed.interaction_count_28d, 0) as interaction_count_28d,
    coalesce(consumed.interaction_count_prior_28d, 0) as interaction_count_prior_28d,
    ln(
        (coalesce(consumed.interaction_count_28d, 0) + 1)::double precision
        / (coalesce(consumed.interaction_count_prior_28d, 0) + 1)
    ) as frequency_trend,
    consumed.mean_watched_fraction_28d,
    consumed.mean_watched_fraction_28d - consumed.mean_watched_fraction_prior_28d as completion_trend,
    consumed.drop_off_count_28d::double precision / nullif(consumed.interaction_count_28d, 0) as drop_off_share_28d,
    coalesce(signalled.skip_count_28d, 0) as skip_count_28d,
    coalesce(signalled.cancel_view_count_28d, 0) as cancel_view_count_28d,
    greatest(
        coalesce(failures.failed_payment_count_90d, 0), coalesce(signalled.reported_payment_failure_count_90d, 0)
    ) as failed_payment_count_90d,
    coalesce(signalled.support_contact_count_90d, 0) as support_contact_count_90d,
    coalesce(mail.unsubscribe_count, 0) as unsubscribe_count,
    extract(day from subscribers.renews_at - {{ as_of() }})::integer as days_to_renewal,
    subscribers.tenure_days,
    subscribers.paid_tenure_days,
    subscribers.purchase_intent,
    subscribers.plan,
    subscribers.subscription_status,
    subscribers.lifecycle_stage
from {{ ref('dim_subscribers') }} as subscribers
left join {{ ref('int_subscribers_consumed') }} as consumed on subscribers.subscriber_id = consumed.subscriber_id
left join {{ ref('int_subscribers_signalled') }} as signalled on subscribers.subscriber_id = signalled.subscriber_id
left join mail on subscribers.subscriber_id = mail.subscriber_id
left join failures on subscribers.subscriber_id = failures.subscriber_id
where {{ permitted('personalization', 'subscribers.subscriber_id') }}
