-- Writing what resolution.sql finds: after links, decisions or rules changed, the clusters that they touch are looked at
-- again, and no other. A build from nothing is the same with everything touched.

-- Look again at the clusters of `touched` identifiers (null: all); `moment` is when the change became known.
create or replace function identity.settle(touched integer[], moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    crowded_before integer[];
    freed integer[];
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
    perform identity.settle_clusters(touched, moment);
end
$$;

create or replace function identity.settle_all(moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    grouped record;
    moves record;
    this_xid constant bigint := pg_current_xact_id()::text::bigint;
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
    if (select count(*) from identity.identifiers) > 10000 then
        truncate identity.members;
        drop index if exists identity.members_by_identifier, identity.members_by_cluster;
    else
        delete from identity.members;
    end if;
    insert into identity.crowded select * from identity.crowded_at(null, 'infinity');
    grouped := identity.clustered_at(null, array(select identifier_id from identity.crowded), 'infinity');
    hidden := grouped.unseen || identity.unnamed_at(null, 'infinity');
    insert into identity.members (identifier_id, cluster_id, profile_id, is_named, changed_xid)
    select id, cluster_id, profile_id, id <> all(hidden), this_xid
    from (
        select unnest(grouped.ids) as id, unnest(grouped.clusters) as cluster_id, unnest(grouped.profiles) as profile_id
    ) as found;
    perform identity.make_member_indexes();
    analyze identity.members, identity.crowded;
    perform identity.hold(grouped.held_low, grouped.held_high);
    select
        coalesce(array_agg(id), '{}') as ids, array_agg(former.profile_id) as former_profiles,
        array_agg(members.profile_id) as profiles
    into moves
    from unnest(former_ids, former_profiles) as former (id, profile_id)
    inner join identity.members on members.identifier_id = former.id
    where members.is_named;
    perform identity.remember(moves.ids, moves.former_profiles, moves.profiles, moment);
end
$$;

-- The clusters of `touched`, and what stands in none yet. Where a page costs as much as it does on disk, reading some
-- thousand clusters by index looks dearer than reading every table from end to end; it is not, and this is about them only.
create or replace function identity.settle_clusters(touched integer[], moment timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' set random_page_cost = 0.1 as $$
declare
    clusters_before constant integer[] := array(
        select distinct cluster_id from identity.members where identifier_id = any(touched)
    );
    before record;
    nodes integer[];
    grouped record;
    moves record;
    this_xid constant bigint := pg_current_xact_id()::text::bigint;
    hidden integer[];
begin
    select
        coalesce(array_agg(identifier_id), '{}') as ids, array_agg(cluster_id) as clusters,
        array_agg(profile_id) as profiles, array_agg(is_named) as named
    into before
    from identity.members where cluster_id = any(clusters_before);
    nodes := before.ids || array(select distinct id from unnest(touched) as changed (id) where id <> all(before.ids));
    delete from identity.held_links where cluster_id = any(clusters_before);
    grouped := identity.clustered_at(
        nodes, array(select identifier_id from identity.crowded where identifier_id = any(nodes)), 'infinity'
    );
    hidden := grouped.unseen || identity.unnamed_at(nodes, 'infinity');
    insert into identity.members as kept (identifier_id, cluster_id, profile_id, is_named, changed_xid)
    select found.*, this_xid
    from (
        select id, cluster_id, profile_id, id <> all(hidden) as is_named
        from unnest(grouped.ids, grouped.clusters, grouped.profiles) as settled (id, cluster_id, profile_id)
    ) as found
    left join unnest(before.ids, before.clusters, before.profiles, before.named)
        as former (id, cluster_id, profile_id, is_named) using (id)
    where (found.cluster_id, found.profile_id, found.is_named)
        is distinct from (former.cluster_id, former.profile_id, former.is_named)
    on conflict (identifier_id) do update set
        cluster_id = excluded.cluster_id, profile_id = excluded.profile_id, is_named = excluded.is_named,
        changed_xid = excluded.changed_xid;
    perform identity.hold(grouped.held_low, grouped.held_high);
    select
        coalesce(array_agg(id), '{}') as ids, array_agg(former.profile_id) as former_profiles,
        array_agg(settled.profile_id) as profiles
    into moves
    from unnest(before.ids, before.profiles, before.named) as former (id, profile_id, is_named)
    inner join unnest(grouped.ids, grouped.profiles) as settled (id, profile_id) using (id)
    where former.is_named and id <> all(hidden);
    perform identity.remember(moves.ids, moves.former_profiles, moves.profiles, moment);
end
$$;

-- Note that the evidence about `ids` changed in a way that no link in store tells (identity.resolved_changes).
create or replace function identity.mark_changed(ids integer[]) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
    update identity.members set changed_xid = pg_current_xact_id()::text::bigint where identifier_id = any(ids);
end
$$;

create or replace function identity.hold(held_low integer[], held_high integer[]) returns void language sql as $$
    insert into identity.held_links (low_id, high_id, cluster_id)
    select low_id, high_id, members.cluster_id
    from unnest(held_low, held_high) as held (low_id, high_id)
    inner join identity.members on members.identifier_id = held.low_id
$$;

-- Write down which subscriber ids became one or two: the profiles of `ids` before and after.
create or replace function identity.remember(
    ids integer[], former_profiles integer[], profiles integer[], moment timestamptz
) returns void
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' set random_page_cost = 0.1 as $$
declare
    moved_profiles constant integer[] := array(
        select distinct old_id
        from unnest(former_profiles, profiles) as moves (old_id, new_id)
        where old_id <> new_id
    );
begin
    if cardinality(moved_profiles) = 0 then
        return;
    end if;
    insert into identity.history (
        change, from_subscriber_id, to_subscriber_id, changed_at, identifier, other_identifier, source, evidence
    )
    with moves as materialized (
        select id, old_id, new_id from unnest(ids, former_profiles, profiles) as moved (id, old_id, new_id)
    ),
    -- where the identifier that named a profile is now, the profile's id leads
    homes as (
        select old_id, new_id as home_id from moves where id = old_id
    ),
    mixed as (
        select new_id from moves group by new_id having min(old_id) <> max(old_id)
    ),
    changes as (
        select case when mixed.new_id is null then 'renamed' else 'joined' end as change, old_id, home_id as new_id
        from homes left join mixed on mixed.new_id = homes.home_id
        where home_id <> old_id
        union
        select 'split', moves.old_id, moves.new_id
        from moves left join homes using (old_id)
        where moves.new_id is distinct from homes.home_id and moves.new_id <> moves.old_id
    ),
    sides as (
        select moves.old_id, moves.new_id, links.high_id as other_id, links.*
        from moves inner join identity.links on links.low_id = moves.id
        where moves.old_id = any(moved_profiles) and links.low_id <> links.high_id
        union all
        select moves.old_id, moves.new_id, links.low_id, links.*
        from moves inner join identity.links on links.high_id = moves.id
        where moves.old_id = any(moved_profiles) and links.low_id <> links.high_id
    ),
    -- the newest word among the links between the two: it joined them, or was taken back and had joined them
    words as (
        select distinct on (changes.change, changes.old_id, changes.new_id)
            changes.change, changes.old_id, changes.new_id, sides.low_id, sides.high_id, sides.source, sides.evidence
        from changes
        inner join sides on sides.old_id = changes.old_id
        left join moves as others on others.id = sides.other_id
        where case
            when changes.change = 'split' then sides.new_id = changes.new_id and others.old_id = changes.old_id
                and others.new_id <> changes.new_id
            else others.old_id is distinct from changes.old_id and sides.retracted_at is null
        end
        order by changes.change, changes.old_id, changes.new_id, sides.changed_xid desc, sides.first_seen_at,
            sides.evidence
    )
    select change, identity.subscriber_id(o.identifier_key), identity.subscriber_id(n.identifier_key), moment,
        lk.kind || ':' || l.value, hk.kind || ':' || h.value, link.source, link.evidence
    from changes
    inner join identity.identifiers as o on o.identifier_id = changes.old_id
    inner join identity.identifiers as n on n.identifier_id = changes.new_id
    left join words as link using (change, old_id, new_id)
    left join identity.identifiers as l on l.identifier_id = link.low_id
    left join identity.kinds as lk on lk.kind_id = l.kind_id
    left join identity.identifiers as h on h.identifier_id = link.high_id
    left join identity.kinds as hk on hk.kind_id = h.kind_id
    order by 1, 2, 3;
end
$$;
