-- From evidence to people: which identifiers are crowded, which are one cluster, which one profile. The functions that
-- compute take the moment for which they do it and change nothing; `settle` writes what they find.

-- The id of the subscriber whom an identifier names.
create or replace function identity.subscriber_id(identifier_key uuid) returns text
language sql immutable parallel safe as $$
    select replace(identifier_key::text, '-', '')
$$;

-- Kinds of which one profile may hold only so many, numbered from 1.
create or replace view identity.limited_kinds as
select kind_id, profile_limit, row_number() over (order by kind_id)::integer as limited_no
from identity.kinds
where profile_limit is not null;

-- Identifiers over a limit among `nodes` (null: all), by the links in force at `moment`.
create or replace function identity.crowded_at(nodes integer[], moment timestamptz)
returns table (identifier_id integer, counted_kind_id smallint, found_count integer, is_household boolean)
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
begin
    return query
    with ends as (
        select low_id as id, low_kind_id as kind_id, high_id as other_id, high_kind_id as other_kind_id, first_seen_at
        from identity.links
        where (nodes is null or low_id = any(nodes)) and low_id <> high_id
            and first_seen_at <= moment and (retracted_at is null or retracted_at > moment)
        union all
        select high_id, high_kind_id, low_id, low_kind_id, first_seen_at
        from identity.links
        where (nodes is null or high_id = any(nodes)) and low_id <> high_id
            and first_seen_at <= moment and (retracted_at is null or retracted_at > moment)
    ),
    suspects as (
        select ends.id, limits.counted_kind_id, limits.at_most, limits.within, limits.household_at_most
        from ends
        inner join identity.limits on limits.kind_id = ends.kind_id and limits.counted_kind_id = ends.other_kind_id
        group by ends.id, limits.kind_id, limits.counted_kind_id
        having count(*) > limits.at_most and count(distinct ends.other_id) > limits.at_most
    ),
    neighbours as (
        select suspects.id, suspects.counted_kind_id, suspects.at_most, suspects.within, suspects.household_at_most,
            ends.other_id, min(ends.first_seen_at) as met_at
        from suspects
        inner join ends on ends.id = suspects.id and ends.other_kind_id = suspects.counted_kind_id
        group by suspects.id, suspects.counted_kind_id, suspects.at_most, suspects.within,
            suspects.household_at_most, ends.other_id
    ),
    spread as (
        select neighbours.id, neighbours.counted_kind_id, neighbours.within, neighbours.household_at_most,
            neighbours.met_at - lag(neighbours.met_at, neighbours.at_most) over (
                partition by neighbours.id, neighbours.counted_kind_id order by neighbours.met_at
            ) as took
        from neighbours
    ),
    over_limits as (
        select spread.id, spread.counted_kind_id, count(*)::integer as found_count,
            coalesce(count(*) <= spread.household_at_most, false) as is_household
        from spread
        group by spread.id, spread.counted_kind_id, spread.within, spread.household_at_most
        having bool_or(spread.took is not null and (spread.within is null or spread.took <= spread.within))
    )
    select distinct on (over_limits.id)
        over_limits.id, over_limits.counted_kind_id, over_limits.found_count,
        bool_and(over_limits.is_household) over (partition by over_limits.id)
    from over_limits
    order by over_limits.id, over_limits.counted_kind_id;
end
$$;

-- The pairs that somebody parted, as low_id << 32 | high_id.
create or replace function identity.parted_pairs() returns bigint[] language sql stable as $$
    select array(
        select (least(l.identifier_id, h.identifier_id)::bigint << 32) | greatest(l.identifier_id, h.identifier_id)
        from identity.decisions
        inner join identity.identifiers as l on l.identifier_key = decisions.low_key
        inner join identity.identifiers as h on h.identifier_key = decisions.high_key
        where decisions.decision = 'parted'
    )
$$;

-- Links that join at `moment`, once a pair: in force, of kinds that join, at neither end blocked or one of `crowded`.
create or replace function identity.joining_links(nodes integer[], crowded integer[], moment timestamptz)
returns table (low_id integer, high_id integer, low_kind_id smallint, high_kind_id smallint, first_seen_at timestamptz)
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    joining_kinds smallint[] := array(select kind_id from identity.kinds where is_joining);
    blocked integer[] := array(
        select identifiers.identifier_id
        from identity.blocked_keys inner join identity.identifiers using (identifier_key)
    );
    outside integer[] := crowded || blocked;
    parted bigint[] := identity.parted_pairs();
begin
    return query
    select links.low_id, links.high_id, links.low_kind_id, links.high_kind_id, links.first_seen_at
    from identity.links
    where (nodes is null or links.low_id = any(nodes))
        and links.low_id <> links.high_id
        and links.first_seen_at <= moment and (links.retracted_at is null or links.retracted_at > moment)
        and links.low_kind_id = any(joining_kinds) and links.high_kind_id = any(joining_kinds)
        and links.low_id <> all(outside) and links.high_id <> all(outside)
        and ((links.low_id::bigint << 32) | links.high_id) <> all(parted);
end
$$;

-- Clusters and profiles of `nodes` (null: all) at `moment`; nodes must hold whole clusters.
-- ids are in order of age, and the first of a cluster is its oldest; `held` are the links that a profile's limits
-- refuse, `unseen` the identifiers that no record has named yet. Union-find with path compression over arrays: what one
-- pass costs a join, SQL's propagation costs many times.
create or replace function identity.clustered_at(
    nodes integer[], crowded integer[], moment timestamptz,
    out ids integer[], out clusters integer[], out profiles integer[], out held_low integer[], out held_high integer[],
    out unseen integer[]
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    parent integer[];
    low_places integer[];
    high_places integer[];
    place_of integer[];
    a integer;
    b integer;
    swap integer;
    parts record;
    tied integer[] := '{}';
    -- of each, how old and how strong it is: where both are the same, only the key says who is first
    arrivals timestamptz[];
    priorities smallint[];
    -- of each, which limited kind it is of; null: none, or not named yet
    limited_nos integer[];
    full_clusters integer[];
begin
    held_low := '{}';
    held_high := '{}';
    select coalesce(array_agg(identifier_id), '{}'), array_agg(limited_no), array_agg(arrived_at), array_agg(priority),
        coalesce(array_agg(identifier_id) filter (where arrived_at = 'infinity'), '{}')
    into ids, limited_nos, arrivals, priorities, unseen
    from (
        select seen.identifier_id, seen.arrived_at, kinds.priority,
            case when seen.arrived_at < 'infinity' then limited.limited_no end as limited_no
        from (
            -- numbers are sorted faster than rows: whoever has not been seen comes last
            select identifier_id, kind_id,
                case when first_seen_at <= moment then arrived_at else 'infinity' end as arrived_at
            from identity.identifiers
            where nodes is null or identifier_id = any(nodes)
        ) as seen
        inner join identity.kinds using (kind_id)
        left join identity.limited_kinds as limited using (kind_id)
        order by seen.arrived_at, kinds.priority
    ) as aged;
    parent := array(select generate_series(1, cardinality(ids)));
    if nodes is null then
        -- where a million stand is read from an array in less time than from a join
        place_of := array_fill(0, array[(select coalesce(max(identifier_id), 0) from identity.identifiers)]);
        for place in 1..cardinality(ids) loop
            place_of[ids[place]] := place;
        end loop;
        select array_agg(place_of[joining.low_id]), array_agg(place_of[joining.high_id]) into low_places, high_places
        from identity.joining_links(nodes, crowded, moment) as joining;
    else
        with places as (select id, place::integer from unnest(ids) with ordinality as numbered (id, place))
        select array_agg(low.place), array_agg(high.place) into low_places, high_places
        from identity.joining_links(nodes, crowded, moment) as joining
        inner join places as low on low.id = joining.low_id
        inner join places as high on high.id = joining.high_id;
    end if;
    for pair in 1..coalesce(cardinality(low_places), 0) loop
        a := low_places[pair];
        while parent[a] <> a loop a := parent[a]; end loop;
        b := high_places[pair];
        while parent[b] <> b loop b := parent[b]; end loop;
        if a < b then
            parent[b] := a;
            parent[high_places[pair]] := a;
            parent[low_places[pair]] := a;
        else
            parent[a] := b;
            parent[low_places[pair]] := b;
            parent[high_places[pair]] := b;
        end if;
    end loop;
    -- a parent is older than its child: once its own is final, the child's is
    for place in 1..cardinality(ids) loop
        a := parent[parent[place]];
        parent[place] := a;
        if priorities[place] = priorities[a] and arrivals[place] = arrivals[a] and place <> a then
            tied := tied || place;
        end if;
    end loop;
    -- by key only those are compared to whom it matters: to sort everybody by it takes five times as long as by age
    for a, b in
        with rivals as (
            select parent[place] as root, place from unnest(tied) as tied_places (place)
            union
            select parent[place], parent[place] from unnest(tied) as tied_places (place)
        )
        select distinct on (rivals.root) rivals.root, rivals.place
        from rivals inner join identity.identifiers on identifiers.identifier_id = ids[rivals.place]
        order by rivals.root, identifiers.identifier_key
    loop
        swap := ids[a]; ids[a] := ids[b]; ids[b] := swap;
        swap := limited_nos[a]; limited_nos[a] := limited_nos[b]; limited_nos[b] := swap;
    end loop;
    clusters := array(select ids[unnest(parent)]);
    profiles := clusters;
    full_clusters := array(
        select ids[held.root]
        from (select unnest(parent) as root, unnest(limited_nos) as limited_no) as held
        inner join identity.limited_kinds as limited using (limited_no)
        group by held.root, limited.limited_no, limited.profile_limit
        having count(*) > limited.profile_limit
    );
    if cardinality(full_clusters) > 0 then
        parts := identity.parted_at(
            array(
                select grouped.id from unnest(ids, clusters) as grouped (id, cluster_id)
                where grouped.cluster_id = any(full_clusters)
            ),
            crowded, moment
        );
        held_low := parts.held_low;
        held_high := parts.held_high;
        profiles := array(
            select coalesce(parts_of.profile_id, grouped.cluster_id)
            from unnest(ids, clusters) with ordinality as grouped (id, cluster_id, place)
            left join unnest(parts.ids, parts.profiles) as parts_of (id, profile_id) on parts_of.id = grouped.id
            order by grouped.place
        );
    end if;
end
$$;

-- Profiles of clusters that hold too much for one: the links are taken from the strongest kinds and the oldest on, and
-- one that would bring together more of a kind than a profile may hold is held, unless somebody has accepted it.
create or replace function identity.parted_at(
    nodes integer[], crowded integer[], moment timestamptz,
    out ids integer[], out profiles integer[], out held_low integer[], out held_high integer[]
) language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
    kind_limits integer[] := array(select profile_limit from identity.limited_kinds order by limited_no);
    kind_count integer := cardinality(kind_limits);
    parent integer[];
    -- of each limited kind, how many the set of a root holds
    counts integer[];
    link record;
    a integer;
    b integer;
    swap integer;
    is_within boolean;
begin
    held_low := '{}';
    held_high := '{}';
    ids := array(
        select identifiers.identifier_id
        from identity.identifiers inner join identity.kinds using (kind_id)
        where identifiers.identifier_id = any(nodes)
        order by (identifiers.first_seen_at <= moment) desc nulls last, identifiers.arrived_at, kinds.priority,
            identifiers.identifier_key
    );
    parent := array(select generate_series(1, cardinality(ids)));
    counts := array(
        select (identifiers.kind_id = limited.kind_id and coalesce(identifiers.first_seen_at <= moment, false))::integer
        from unnest(ids) with ordinality as numbered (id, place)
        inner join identity.identifiers on identifiers.identifier_id = numbered.id
        cross join identity.limited_kinds as limited
        order by numbered.place, limited.limited_no
    );
    for link in
        with places as (select id, place::integer from unnest(ids) with ordinality as numbered (id, place))
        select low.place as low_place, high.place as high_place, low.id as low_id, high.id as high_id,
            coalesce(decisions.decision = 'joined', false) as is_accepted
        from (
            select joining.low_id, joining.high_id, min(joining.first_seen_at) as first_seen_at
            from identity.joining_links(nodes, crowded, moment) as joining
            group by joining.low_id, joining.high_id
        ) as pairs
        inner join places as low on low.id = pairs.low_id
        inner join places as high on high.id = pairs.high_id
        inner join identity.identifiers as l on l.identifier_id = pairs.low_id
        inner join identity.identifiers as h on h.identifier_id = pairs.high_id
        inner join identity.kinds as lk on lk.kind_id = l.kind_id
        inner join identity.kinds as hk on hk.kind_id = h.kind_id
        left join identity.decisions
            on decisions.low_key = least(l.identifier_key, h.identifier_key)
            and decisions.high_key = greatest(l.identifier_key, h.identifier_key)
        order by is_accepted desc, greatest(lk.priority, hk.priority), least(lk.priority, hk.priority),
            pairs.first_seen_at, least(l.identifier_key, h.identifier_key), greatest(l.identifier_key, h.identifier_key)
    loop
        a := link.low_place;
        while parent[a] <> a loop parent[a] := parent[parent[a]]; a := parent[a]; end loop;
        b := link.high_place;
        while parent[b] <> b loop parent[b] := parent[parent[b]]; b := parent[b]; end loop;
        continue when a = b;
        is_within := true;
        for kind in 1..kind_count loop
            is_within := is_within and (
                counts[(a - 1) * kind_count + kind] = 0
                or counts[(b - 1) * kind_count + kind] = 0
                or counts[(a - 1) * kind_count + kind] + counts[(b - 1) * kind_count + kind] <= kind_limits[kind]
            );
        end loop;
        if not (is_within or link.is_accepted) then
            held_low := held_low || link.low_id;
            held_high := held_high || link.high_id;
            continue;
        end if;
        if b < a then swap := a; a := b; b := swap; end if;
        parent[b] := a;
        for kind in 1..kind_count loop
            counts[(a - 1) * kind_count + kind]
                := counts[(a - 1) * kind_count + kind] + counts[(b - 1) * kind_count + kind];
        end loop;
    end loop;
    for place in 1..cardinality(ids) loop
        parent[place] := parent[parent[place]];
    end loop;
    profiles := array(select ids[root] from unnest(parent) with ordinality as roots (root, place) order by place);
end
$$;

-- Which of `nodes` (null: all) nobody names any more at `moment`, since every link that named them was taken back, or may.
create or replace function identity.unnamed_at(nodes integer[], moment timestamptz) returns integer[]
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
begin
    return array(
        select identifiers.identifier_id
        from identity.blocked_keys inner join identity.identifiers using (identifier_key)
        union
        select lost.id
        from (
            select unnest(array[low_id, high_id]) as id
            from identity.links
            where (nodes is null or low_id = any(nodes) or high_id = any(nodes)) and retracted_at <= moment
        ) as lost
        where not exists (
            select from identity.links
            where links.low_id = lost.id and first_seen_at <= moment
                and (retracted_at is null or retracted_at > moment)
        ) and not exists (
            select from identity.links
            where links.high_id = lost.id and first_seen_at <= moment
                and (retracted_at is null or retracted_at > moment)
        )
    );
end
$$;
