-- The steps that led each subscriber up to an outcome, or up to the last one where there was none: of the days before
-- it, repeats of a kind taken as one. What leads to `subscription` is looked for among those who never paid,
-- to `upgrade` among those who do, to `cancellation` among those whose subscription ran.
{% set paths = var('paths') %}
{% set looked_at_days = paths.observed_days + paths.window_days %}
with known_steps as (

    select
        subscriber_id,
        occurred_at,
        interaction_id as step_id,
        case
            when interaction_type = 'play' and watched_fraction < {{ var('affinity').drop_off_fraction }}
                then 'drop_off'
            else interaction_type
        end as step,
        is_simulated
    from {{ ref('fct_interactions') }}
    where occurred_at > {{ as_of() }} - interval '{{ looked_at_days }} days'
    union all
    select
        subscriber_id,
        occurred_at,
        message_id as step_id,
        signal as step,
        is_simulated
    from {{ ref('int_signals_recognised') }}
    where
        -- what billing says of the outcome itself is no step towards it
        signal not in ('subscribe', 'upgrade', 'downgrade', 'renewal', 'cancel')
        and occurred_at > {{ as_of() }} - interval '{{ looked_at_days }} days'
    union all
    select
        subscriber_id,
        occurred_at,
        email_event_id as step_id,
        case event_type
            when 'open' then 'email_open' when 'click' then 'email_click' else 'email_unsubscribe'
        end as step,
        false as is_simulated
    from {{ ref('int_email_events_attributed') }}
    where
        event_type in ('open', 'click', 'unsubscribe')
        and occurred_at > {{ as_of() }} - interval '{{ looked_at_days }} days'

),

steps as (

    select *
    from known_steps
    where {{ permitted('analytics', 'subscriber_id') }}

),

outcomes as (

    select
        subscriber_id,
        outcome,
        min(occurred_at) filter (
            where occurred_at > {{ as_of() }} - interval '{{ paths.observed_days }} days'
        ) as reached_at
    from {{ ref('int_subscription_outcomes') }}
    group by subscriber_id, outcome

),

last_steps as (

    select
        subscriber_id,
        max(occurred_at) as last_step_at
    from steps
    group by subscriber_id

),

-- who could have reached what, and the moment up to which the steps count
candidates as (

    select
        last_steps.subscriber_id,
        'subscription' as outcome,
        subscription.reached_at,
        last_steps.last_step_at
    from last_steps
    left join outcomes as subscription
        on last_steps.subscriber_id = subscription.subscriber_id and subscription.outcome = 'subscription'
    where subscription.subscriber_id is null or subscription.reached_at is not null
    union all
    select
        last_steps.subscriber_id,
        'upgrade' as outcome,
        upgrade.reached_at,
        last_steps.last_step_at
    from last_steps
    inner join outcomes as subscription
        on last_steps.subscriber_id = subscription.subscriber_id and subscription.outcome = 'subscription'
    left join outcomes as upgrade
        on last_steps.subscriber_id = upgrade.subscriber_id and upgrade.outcome = 'upgrade'
    union all
    select
        last_steps.subscriber_id,
        'cancellation' as outcome,
        cancellation.reached_at,
        last_steps.last_step_at
    from last_steps
    inner join {{ ref('int_subscribers_attributed') }} as subscribers
        on last_steps.subscriber_id = subscribers.subscriber_id
    left join outcomes as cancellation
        on last_steps.subscriber_id = cancellation.subscriber_id and cancellation.outcome = 'cancellation'
    where subscribers.subscription_status = 'active' or cancellation.reached_at is not null

),

before as (

    select
        candidates.outcome,
        candidates.subscriber_id,
        candidates.reached_at is not null as is_reached,
        steps.step,
        steps.occurred_at,
        steps.step_id,
        steps.is_simulated,
        lag(steps.step) over (
            partition by candidates.outcome, candidates.subscriber_id order by steps.occurred_at, steps.step_id
        ) as step_before
    from candidates
    inner join steps
        on
            candidates.subscriber_id = steps.subscriber_id
            and coalesce(candidates.reached_at, candidates.last_step_at)
            < steps.occurred_at + interval '{{ paths.window_days }} days'
            and (candidates.reached_at is null or candidates.reached_at > steps.occurred_at)

)

select
    outcome,
    subscriber_id,
    is_reached,
    step,
    row_number() over (partition by outcome, subscriber_id order by occurred_at desc, step_id desc) as steps_to_end,
    is_simulated
from before
where step is distinct from step_before
