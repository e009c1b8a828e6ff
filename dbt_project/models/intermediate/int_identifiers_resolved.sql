{{ config(indexes=[{'columns': ['identifier'], 'unique': true}]) }}

-- Connected components of the identifier graph: what two records link through others is one subscriber.
-- Exact and transitive; components are small, so that walking each from all its members is cheap.
with recursive edges as (

    select
        identifier,
        linked_identifier
    from {{ ref('int_identifier_edges') }}

),

both_ways as (

    select
        identifier as from_identifier,
        linked_identifier as to_identifier
    from edges

    union

    select
        linked_identifier,
        identifier
    from edges

),

reached as (

    select
        from_identifier as identifier,
        from_identifier as reached_identifier
    from both_ways

    union

    select
        reached.identifier,
        both_ways.to_identifier
    from reached
    inner join both_ways on reached.reached_identifier = both_ways.from_identifier

),

components as (

    select
        identifier,
        min(reached_identifier) as smallest_identifier
    from reached
    group by identifier

),

seen as (

    select
        identifier,
        identifier_kind,
        identifier_value,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ ref('int_identifier_edges') }}
    group by identifier, identifier_kind, identifier_value

)

select
    seen.identifier,
    seen.identifier_kind,
    seen.identifier_value,
    md5(components.smallest_identifier) as subscriber_id,
    seen.first_seen_at,
    seen.last_seen_at
from seen
inner join components on seen.identifier = components.identifier
