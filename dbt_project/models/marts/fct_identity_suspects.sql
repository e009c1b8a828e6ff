-- a view: profiles that are most likely wrong, by the graph of identity as it stands when it is read
{{ config(materialized='view') }}

-- depends_on: {{ ref('int_identifiers_resolved') }}
select
    subscriber_id,
    reason,
    points,
    sum(points) over (partition by subscriber_id)::integer as score,
    identifier,
    other_identifier,
    source,
    evidence as evidence_id,
    found_count,
    detail
from identity.suspects()
