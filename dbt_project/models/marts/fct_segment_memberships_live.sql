-- a view: the members that the newest build found, with who entered and left since. The live path has the function: it
-- outlives the tables that a build replaces (ingestion/segments/schema.sql).
-- depends_on: {{ ref('fct_segment_memberships') }}
-- depends_on: {{ ref('dim_segments') }}
-- depends_on: {{ source('live', 'live_segment_memberships') }}
{{ config(materialized='view') }}

select
    subscriber_id,
    segment,
    since,
    is_live,
    is_simulated
from raw.segment_memberships_now()
