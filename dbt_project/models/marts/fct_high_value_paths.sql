-- Sequences of two to four steps that precede an outcome more, or less, often than it is reached at all. A subscriber
-- counts once for a path, however often it was gone. The interval is Wilson's, of the rate, over the base rate.
{% set paths = var('paths') %}
with steps as (

    select
        outcome,
        subscriber_id,
        is_reached,
        is_simulated,
        array[step, lead(step, 1) over onward, lead(step, 2) over onward, lead(step, 3) over onward] as onward_steps
    from {{ ref('int_paths_walked') }}
    where steps_to_end <= {{ paths.last_steps }}
    window onward as (partition by outcome, subscriber_id order by steps_to_end desc)

),

walked as (

    select distinct
        steps.outcome,
        steps.subscriber_id,
        steps.is_reached,
        steps.onward_steps[1:lengths.step_count] as path
    from steps
    cross join (values (2), (3), (4)) as lengths (step_count)
    where steps.onward_steps[lengths.step_count] is not null

),

eligible as (

    select
        outcome,
        count(distinct subscriber_id) as eligible_count,
        count(distinct subscriber_id) filter (where is_reached) as reached_count,
        bool_or(is_simulated) as is_simulated
    from steps
    group by outcome

),

counted as (

    select
        outcome,
        path,
        count(*) as subscriber_count,
        count(*) filter (where is_reached) as outcome_count
    from walked
    group by outcome, path
    having count(*) >= {{ paths.minimum_subscribers }}

),

rated as (

    select
        counted.outcome,
        counted.path,
        counted.subscriber_count,
        counted.outcome_count,
        eligible.eligible_count,
        eligible.is_simulated,
        counted.subscriber_count::double precision as n,
        counted.outcome_count::double precision / counted.subscriber_count as outcome_rate,
        eligible.reached_count::double precision / eligible.eligible_count as base_rate,
        -- 1.96 squared: 95%
        3.8416::double precision as z2
    from counted
    inner join eligible on counted.outcome = eligible.outcome
    where eligible.reached_count > 0

),

bounded as (

    select
        *,
        (outcome_rate + z2 / (2 * n)) / (1 + z2 / n) as centre,
        sqrt(z2 * outcome_rate * (1 - outcome_rate) / n + z2 * z2 / (4 * n * n)) / (1 + z2 / n) as half_width
    from rated

)

select
    outcome,
    path,
    cardinality(path) as step_count,
    subscriber_count,
    outcome_count,
    eligible_count,
    subscriber_count::double precision / eligible_count as support,
    outcome_rate,
    base_rate,
    round((outcome_rate / base_rate)::numeric, 4)::double precision as lift,
    round((greatest(centre - half_width, 0) / base_rate)::numeric, 4)::double precision as lift_low,
    round((least(centre + half_width, 1) / base_rate)::numeric, 4)::double precision as lift_high,
    {{ as_of() }} as observed_until,
    is_simulated
from bounded
