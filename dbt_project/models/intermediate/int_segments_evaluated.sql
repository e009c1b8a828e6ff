-- Who is in which declared segment at as_of: a view on the profiles, which find it out.
{{ config(materialized='view') }}

select
    subscribers.subscriber_id,
    found.segment,
    subscribers.is_simulated
from {{ ref('dim_subscribers') }} as subscribers
cross join unnest(subscribers.segments) as found (segment)
