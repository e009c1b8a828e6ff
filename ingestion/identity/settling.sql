-- Writing what resolution.sql finds: after links, decisions or rules changed, the clusters that they touch are looked at
-- again, and no other. A build from nothing is the same with everything touched.

-- Look again at the clusters of `touched` identifiers (null: all); `moment` is when the change became known.
create or replace function identity.settle(touched integer[], moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    crowded_before integer[];
    freed integer[];
    nodes integer[];
begin
    if touched is null then
        perform identity.settle_all(moment);
        return;
    end if;
    crowded_before := array(select identifier_id from identity.crowded where identifier_id = any(touched));
    delete from identity.crowded where identifier_id = any(crowded_before);
    insert into identity.crowded select * from identity.crowded_at(touched, 'infinity');
    freed := array(
        select id from unnest(crowded_before) as former (id)
        where id not in (select identifier_id from identity.crowded where identifier_id = any(touched))
    );
    -- whoever a crowded identifier stood beside may now be joined through it
    touched := touched || array(select high_id from identity.links where low_id = any(freed))
        || array(select low_id from identity.links where high_id = any(freed));
    nodes := array(
        select identifier_id from identity.members
        where cluster_id in (select cluster_id from identity.members where identifier_id = any(touched))
        union
        select unnest(touched)
    );
    perform identity.settle_some(nodes, moment);
end
$$;

create or replace function identity.settle_all(moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    grouped record;
    hidden integer[];
    former_ids integer[];
    former_profiles integer[];
begin
    select coalesce(array_agg(identifier_id), '{}'), coalesce(array_agg(profile_id), '{}')
    into former_ids, former_profiles
    from identity.members where is_named;
    delete from identity.crowded;
    delete from identity.held_links;
    -- emptying a table and making its indexes shut out who reads it: only where that saves much
    if (select count(*) from identity.identifiers) > 20000 then
        truncate identity.members;
        drop index if exists identity.members_by_identifier, identity.members_by_cluster;
    else
        delete from identity.members;
    end if;
    insert into identity.crowded select * from identity.crowded_at(null, 'infinity');
    grouped := identity.grouped_at(null, array(select identifier_id from identity.crowded), 'infinity');
    hidden := identity.unnamed_at(null, 'infinity');
    insert into identity.members (identifier_id, cluster_id, profile_id, is_named)
    select id, cluster_id, profile_id, id <> all(hidden)
    from unnest(grouped.ids, grouped.clusters, grouped.profiles) as found (id, cluster_id, profile_id)
    order by id;
    perform identity.make_member_indexes();
    analyze identity.members, identity.crowded;
    perform identity.hold(grouped.held_low, grouped.held_high);
    perform identity.remember(former_ids, former_profiles, moment);
end
$$;

create or replace function identity.settle_some(nodes integer[], moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare
    grouped record;
    hidden integer[];
    former_ids integer[];
    former_profiles integer[];
begin
    select coalesce(array_agg(identifier_id), '{}'), coalesce(array_agg(profile_id), '{}')
    into former_ids, former_profiles
    from identity.members where identifier_id = any(nodes) and is_named;
    delete from identity.held_links
    where cluster_id in (select cluster_id from identity.members where identifier_id = any(nodes));
    grouped := identity.grouped_at(
        nodes, array(select identifier_id from identity.crowded where identifier_id = any(nodes)), 'infinity'
    );
    hidden := identity.unnamed_at(nodes, 'infinity');
    insert into identity.members as kept (identifier_id, cluster_id, profile_id, is_named)
    select id, cluster_id, profile_id, id <> all(hidden)
    from unnest(grouped.ids, grouped.clusters, grouped.profiles) as found (id, cluster_id, profile_id)
    on conflict (identifier_id) do update set
        cluster_id = excluded.cluster_id, profile_id = excluded.profile_id, is_named = excluded.is_named
    where (kept.cluster_id, kept.profile_id, kept.is_named)
        is distinct from (excluded.cluster_id, excluded.profile_id, excluded.is_named);
    perform identity.hold(grouped.held_low, grouped.held_high);
    perform identity.remember(former_ids, former_profiles, moment);
end
$$;

create or replace function identity.hold(held_low integer[], held_high integer[]) returns void language sql as $$
    insert into identity.held_links (low_id, high_id, cluster_id)
    select low_id, high_id, members.cluster_id
    from unnest(held_low, held_high) as held (low_id, high_id)
    inner join identity.members on members.identifier_id = held.low_id
$$;

-- Write down which subscriber ids became one or two, given the profiles that identifiers had before.
create or replace function identity.remember(ids integer[], profiles integer[], moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
    if not exists (
        select from unnest(ids, profiles) as former (id, profile_id)
        inner join identity.members on members.identifier_id = former.id
        where members.is_named and members.profile_id <> former.profile_id
    ) then
        return;
    end if;
    insert into identity.history (
        change, from_subscriber_id, to_subscriber_id, changed_at, identifier, other_identifier, source, evidence
    )
    with moves as (
        select former.id, former.profile_id as old_id, members.profile_id as new_id
        from unnest(ids, profiles) as former (id, profile_id)
        inner join identity.members on members.identifier_id = former.id
        where members.is_named
    ),
    -- where the identifier that named a profile is now, the profile's id leads
    homes as (
        select old_id, new_id as home_id from moves where id = old_id
    ),
    changes as (
        select
            case
                when exists (select from moves where new_id = homes.home_id and old_id <> homes.old_id) then 'joined'
                else 'renamed'
            end as change,
            old_id, home_id as new_id
        from homes
        where home_id <> old_id
        union
        select 'split', moves.old_id, moves.new_id
        from moves left join homes using (old_id)
        where moves.new_id is distinct from homes.home_id and moves.new_id <> moves.old_id
    )
    select changes.change, identity.subscriber_id(o.identifier_key), identity.subscriber_id(n.identifier_key), moment,
        lk.kind || ':' || l.value, hk.kind || ':' || h.value, link.source, link.evidence
    from changes
    inner join identity.identifiers as o on o.identifier_id = changes.old_id
    inner join identity.identifiers as n on n.identifier_id = changes.new_id
    -- the newest word among the links between the two: it joined them, or was taken back and had joined them
    left join lateral (
        select links.low_id, links.high_id, links.source, links.evidence
        from moves
        inner join identity.links on moves.id in (links.low_id, links.high_id)
        left join moves as others
            on others.id = case when links.low_id = moves.id then links.high_id else links.low_id end
        where moves.old_id = changes.old_id and links.low_id <> links.high_id
            and case
                when changes.change = 'split' then moves.new_id = changes.new_id and others.old_id = changes.old_id
                    and others.new_id <> changes.new_id
                else others.old_id is distinct from changes.old_id and links.retracted_at is null
            end
        order by links.changed_xid desc, links.first_seen_at asc, links.evidence asc
        limit 1
    ) as link on true
    left join identity.identifiers as l on l.identifier_id = link.low_id
    left join identity.kinds as lk on lk.kind_id = l.kind_id
    left join identity.identifiers as h on h.identifier_id = link.high_id
    left join identity.kinds as hk on hk.kind_id = h.kind_id
    order by 1, 2, 3;
end
$$;
