-- Who is about to buy, and who looks for what, lately.
select
    subscribers.subscriber_id,
    subscribers.lifecycle_stage,
    subscribers.plan,
    signalled.purchase_intent,
    signalled.plan_view_count_28d,
    signalled.checkout_count_28d,
    signalled.last_intent_at,
    signalled.search_count_28d,
    signalled.last_searched_at,
    signalled.recent_searches,
    signalled.searched_genres,
    subscribers.is_simulated
from {{ ref('dim_subscribers') }} as subscribers
inner join {{ ref('int_subscribers_signalled') }} as signalled
    on subscribers.subscriber_id = signalled.subscriber_id
where
    {{ permitted('personalization', 'subscribers.subscriber_id') }}
    and (signalled.purchase_intent > 0 or signalled.search_count_28d > 0)
