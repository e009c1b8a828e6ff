-- How identity is read and told what to do: who is whose at a moment, households, decisions, and the rules.

-- Identifiers of which something is known that came after `moment`.
create or replace function identity.later_than(moment timestamptz) returns integer[] language sql stable as $$
    select array(
        select unnest(array[low_id, high_id]) from identity.links where first_seen_at > moment or retracted_at > moment
        union
        select identifier_id from identity.identifiers where first_seen_at > moment
    )
$$;

-- The identifiers among `wanted` (null: all) that a record names at `as_of`, with their subscribers. What came after that
-- moment is left out: the clusters that it touches are computed again without it, and all others read as they stand.
create or replace function identity.resolved_among(wanted integer[], as_of timestamptz)
returns table (
    identifier text, identifier_kind text, identifier_value text, subscriber_id text, first_seen_at timestamptz,
    last_seen_at timestamptz
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
#variable_conflict use_column
declare
    later integer[] := identity.later_than(as_of);
    nodes integer[] := '{}';
    crowded integer[];
    freed integer[];
    beside integer[];
    grouped_ids integer[] := '{}';
    grouped_profiles integer[] := '{}';
    hidden integer[] := '{}';
begin
    if cardinality(later) > 0 then
        crowded := array(select crowded_at.identifier_id from identity.crowded_at(later, as_of));
        freed := array(
            select former.identifier_id from identity.crowded as former
            where former.identifier_id = any(later) and former.identifier_id <> all(crowded)
        );
        beside := array(select high_id from identity.links where low_id = any(freed))
            || array(select low_id from identity.links where high_id = any(freed));
        nodes := array(
            select members.identifier_id from identity.members
            where members.cluster_id in (
                select touched.cluster_id from identity.members as touched where touched.identifier_id = any(later || beside)
            )
        );
        crowded := crowded || array(
            select former.identifier_id from identity.crowded as former
            where former.identifier_id = any(nodes) and former.identifier_id <> all(later)
        );
        select ids, profiles, unseen into grouped_ids, grouped_profiles, hidden
        from identity.clustered_at(nodes, crowded, as_of);
        hidden := hidden || identity.unnamed_at(nodes, as_of);
    end if;
    return query
    with whose as (
        select members.identifier_id, members.profile_id
        from identity.members
        where members.is_named and members.identifier_id <> all(nodes)
            and (wanted is null or members.identifier_id = any(wanted))
        union all
        select found.id, found.profile_id
        from unnest(grouped_ids, grouped_profiles) as found (id, profile_id)
        where found.id <> all(hidden) and (wanted is null or found.id = any(wanted))
    )
    select
        kinds.kind || ':' || named.value, kinds.kind, named.value, identity.subscriber_id(profile.identifier_key),
        named.first_seen_at, least(named.last_seen_at, as_of)
    from whose
    inner join identity.identifiers as named on named.identifier_id = whose.identifier_id
    inner join identity.identifiers as profile on profile.identifier_id = whose.profile_id
    inner join identity.kinds on kinds.kind_id = named.kind_id
    where as_of is not null;
end
$$;

-- Every identifier that a record names at `as_of`, with its subscriber.
create or replace function identity.resolved_at(as_of timestamptz)
returns table (
    identifier text, identifier_kind text, identifier_value text, subscriber_id text, first_seen_at timestamptz,
    last_seen_at timestamptz
) language sql stable as $$
    select * from identity.resolved_among(null, as_of)
$$;

-- For who keeps what resolved_at gave: the identifiers that may read otherwise at `as_of` than at `former_as_of`, which is
-- no later, to who saw every transaction before `since_xid` and of those after it `seen_xids`, its own. Without a
-- subscriber: a row of the past that goes. Erased identifiers are not among them (identity.erasures).
create or replace function identity.resolved_changes(
    as_of timestamptz, former_as_of timestamptz, since_xid bigint, seen_xids bigint[]
) returns table (
    identifier text, identifier_kind text, identifier_value text, subscriber_id text, first_seen_at timestamptz,
    last_seen_at timestamptz
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
#variable_conflict use_column
declare
    changed integer[] := identity.later_than(former_as_of) || array(
        select members.identifier_id from identity.members
        where members.changed_xid >= since_xid and members.changed_xid <> all(seen_xids)
        union
        select unnest(array[low_id, high_id]) from identity.links
        where links.changed_xid >= since_xid and links.changed_xid <> all(seen_xids)
    );
    crowded integer[] := array(
        select crowded.identifier_id from identity.crowded where crowded.identifier_id = any(changed)
    );
    clusters integer[];
    wanted integer[];
begin
    -- at one of the two moments a crowded identifier may have joined whom it stands beside
    changed := changed || array(select high_id from identity.links where low_id = any(crowded))
        || array(select low_id from identity.links where high_id = any(crowded));
    clusters := array(select distinct cluster_id from identity.members where members.identifier_id = any(changed));
    wanted := array(
        select members.identifier_id from identity.members where members.cluster_id = any(clusters)
        union
        select identifiers.identifier_id from identity.identifiers
        where identifiers.changed_xid >= since_xid and identifiers.changed_xid <> all(seen_xids)
            or identifiers.last_seen_at > former_as_of
    );
    return query
    select kinds.kind || ':' || named.value, kinds.kind, named.value, found.subscriber_id, found.first_seen_at,
        found.last_seen_at
    from identity.identifiers as named
    inner join identity.kinds on kinds.kind_id = named.kind_id
    left join identity.resolved_among(wanted, as_of) as found
        on found.identifier_kind = kinds.kind and found.identifier_value = named.value
    where named.identifier_id = any(wanted);
end
$$;

-- The subscriber to whom an identifier belongs now.
create or replace function identity.subscriber_of(kind text, value text) returns text language sql stable as $$
    select identity.subscriber_id(profile.identifier_key)
    from identity.identifiers as named
    inner join identity.members on members.identifier_id = named.identifier_id and members.is_named
    inner join identity.identifiers as profile on profile.identifier_id = members.profile_id
    where named.identifier_key = identity.key_of($1, $2)
$$;

-- The id under which a subscriber is known now, whichever of its former ids is given; null for an id of nobody. The
-- identifier that named a former id is somebody's still; where it was erased, the history says whose the rest is.
create or replace function identity.current_subscriber(former_id text) returns text language sql stable as $$
    with recursive led as (
        select former_id as subscriber_id, 0 as steps
        union all
        select newest.to_subscriber_id, led.steps + 1
        from led cross join lateral (
            select history.to_subscriber_id
            from identity.history
            where history.from_subscriber_id = led.subscriber_id
                and not exists (
                    select from identity.identifiers
                    where identifier_key = case when led.subscriber_id ~ '^[0-9a-f]{32}$' then led.subscriber_id::uuid end
                )
            order by history.history_id desc
            limit 1
        ) as newest
        where led.steps < 100
    )
    select identity.subscriber_id(profile.identifier_key)
    from (select subscriber_id from led order by steps desc limit 1) as last
    inner join identity.identifiers as named on named.identifier_key
        = case when last.subscriber_id ~ '^[0-9a-f]{32}$' then last.subscriber_id::uuid end
    inner join identity.members on members.identifier_id = named.identifier_id and members.is_named
    inner join identity.identifiers as profile on profile.identifier_id = members.profile_id
$$;

-- Which users share which household device at `as_of`, and how many users one household may have.
create or replace function identity.household_devices_at(as_of timestamptz)
returns table (device_identifier text, user_identifier text, household_at_most integer)
language sql stable as $$
    select distinct
        device_kinds.kind || ':' || devices.value, user_kinds.kind || ':' || users.value, limits.household_at_most
    from identity.crowded_at(array(select identifier_id from identity.crowded), as_of) as shared
    inner join identity.identifiers as devices on devices.identifier_id = shared.identifier_id
    inner join identity.kinds as device_kinds on device_kinds.kind_id = devices.kind_id
    inner join identity.kinds as user_kinds on user_kinds.kind_id = shared.counted_kind_id
    inner join identity.limits
        on limits.kind_id = devices.kind_id and limits.counted_kind_id = shared.counted_kind_id
    inner join identity.links
        on shared.identifier_id in (links.low_id, links.high_id)
        and links.first_seen_at <= as_of and (links.retracted_at is null or links.retracted_at > as_of)
    inner join identity.identifiers as users
        on users.identifier_id = links.low_id + links.high_id - shared.identifier_id
        and users.kind_id = shared.counted_kind_id
    where shared.is_household
$$;

-- Take the rules of the file (docs/identity.md) into force. Returns whether they changed; then everybody is settled anew.
create or replace function identity.adopt_rules(wanted jsonb, moment timestamptz) returns boolean
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('identity', 0));
    if exists (select from identity.rules where rules.rules = wanted) then
        return false;
    end if;
    delete from identity.rules;
    insert into identity.rules (rules, adopted_at) values (wanted, moment);
    insert into identity.kinds as kept (kind, priority, is_joining, profile_limit)
    select
        key, (value ->> 'priority')::smallint, coalesce((value ->> 'joins')::boolean, true),
        (value ->> 'profile_limit')::integer
    from jsonb_each(wanted -> 'kinds')
    order by (value ->> 'priority')::smallint, key
    on conflict (kind) do update set
        priority = excluded.priority, is_joining = excluded.is_joining, profile_limit = excluded.profile_limit;
    update identity.kinds set is_joining = false where not wanted -> 'kinds' ? kind;
    delete from identity.limits;
    insert into identity.limits (kind_id, counted_kind_id, at_most, within, household_at_most)
    select
        kinds.kind_id, counted.kind_id, (rule ->> 'at_most')::integer,
        (rule ->> 'within_days')::integer * interval '1 day', (rule ->> 'household_at_most')::integer
    from jsonb_array_elements(wanted -> 'limits') as listed (rule)
    inner join identity.kinds on kinds.kind = rule ->> 'identifier'
    inner join identity.kinds as counted on counted.kind = rule ->> 'counts';
    delete from identity.blocked_keys;
    insert into identity.blocked_keys (identifier_key)
    select distinct case rule ->> 'kind'
        when 'email' then identity.key_of(
            'email_hash', identity.hashed(identity.normalised_email(rule ->> 'value'))
        )
        when 'phone' then identity.key_of(
            'phone_hash', identity.hashed(identity.normalised_phone(rule ->> 'value'))
        )
        else identity.key_of(rule ->> 'kind', rule ->> 'value')
    end
    from jsonb_array_elements(wanted -> 'blocked') as listed (rule);
    -- too few for autovacuum to look at, and taken for a thousand where nobody did
    analyze identity.kinds, identity.limits;
    perform identity.settle(null, moment);
    return true;
end
$$;

-- Decide about the link between two identifiers (`kind:value`): `joined` or `parted`, or null to let the rules decide.
create or replace function identity.decide(
    one text, other text, wanted text, why text, moment timestamptz
) returns void language plpgsql as $$
declare
    low constant uuid := least(md5(one)::uuid, md5(other)::uuid);
    high constant uuid := greatest(md5(one)::uuid, md5(other)::uuid);
    ends constant integer[] := array(
        select identifier_id from identity.identifiers where identifier_key in (low, high)
    );
begin
    perform pg_advisory_xact_lock(hashtextextended('identity', 0));
    delete from identity.decisions where low_key = low and high_key = high;
    if wanted is not null then
        insert into identity.decisions (low_key, high_key, decision, reason, decided_at)
        values (low, high, wanted, why, moment);
    end if;
    perform identity.mark_changed(ends);
    perform identity.settle(ends, moment);
end
$$;

-- Forget an identifier and every link that names it; what it alone held together falls apart.
create or replace function identity.erase(erased text, moment timestamptz) returns boolean language plpgsql as $$
declare
    gone integer;
    beside integer[];
begin
    perform pg_advisory_xact_lock(hashtextextended('identity', 0));
    gone := (select identifier_id from identity.identifiers where identifier_key = md5(erased)::uuid);
    if gone is null then
        return false;
    end if;
    beside := array(
        select low_id from identity.links where high_id = gone and low_id <> gone
        union
        select high_id from identity.links where low_id = gone and high_id <> gone
    );
    delete from identity.links where gone in (low_id, high_id);
    update identity.identifiers set first_seen_at = null, last_seen_at = null where identifier_id = gone;
    perform identity.mark_changed(beside);
    perform identity.settle(beside || gone, moment);
    delete from identity.members where identifier_id = gone;
    delete from identity.identifiers where identifier_id = gone;
    insert into identity.erasures (erased_xid) values (pg_current_xact_id()::text::bigint);
    return true;
end
$$;
