-- Taking evidence in: links that are new are numbered and stored, and what they touch is settled. From nothing it is
-- the same, with two processes at work where PostgreSQL lets them.

-- Where links on their way in are put, empty, for this transaction.
create or replace function identity.open_incoming(is_whole boolean) returns regclass language plpgsql as $$
begin
    if to_regclass('pg_temp.incoming_links') is null then
        create temp table incoming_links (like identity.incoming_links including defaults) on commit delete rows;
        create temp table incoming_identifiers (
            identifier_id integer not null,
            identifier_key uuid not null,
            kind_id smallint not null,
            value text collate "C" not null,
            first_seen_at timestamptz,
            last_seen_at timestamptz,
            arrived_at timestamptz,
            is_new boolean not null,
            -- known before, and younger than it is now: its profile may get another id
            is_aged boolean not null,
            is_changed boolean not null
        ) on commit delete rows;
    end if;
    if is_whole then
        truncate identity.incoming_links;
        return 'identity.incoming_links'::regclass;
    end if;
    return 'pg_temp.incoming_links'::regclass;
end
$$;

-- Store what came in, and settle what it touches. Returns how many links are new, gone or older than was known.
create or replace function identity.apply_incoming(incoming regclass, moment timestamptz) returns integer
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB'
-- the planner has to tell a handful from a million, and nothing finer
set default_statistics_target = 10 as $$
declare
    is_first constant boolean := not exists (select from identity.identifiers);
    this_xid constant bigint := pg_current_xact_id()::text::bigint;
    touched integer[];
    found integer[];
    link_count integer;
    incoming_count integer;
begin
    execute format('select count(*) from %s', incoming) into incoming_count;
    if incoming_count = 0 then
        return 0;
    end if;
    -- without this the planner takes a million rows for a hundred; for a handful it would cost more than it saves
    if incoming_count > 1000 then
        execute format('analyze %s', incoming);
    end if;
    if is_first then
        if incoming_count > 10000 then
            perform identity.drop_indexes();
        end if;
        insert into identity.identifiers (
            identifier_key, kind_id, value, first_seen_at, last_seen_at, arrived_at, changed_xid
        )
        select met.*, this_xid from identity.met_identifiers(incoming) as met;
        analyze identity.identifiers;
        insert into identity.links select * from identity.met_links(incoming, 'identity.identifiers', this_xid);
        get diagnostics link_count = row_count;
        perform identity.make_indexes();
        analyze identity.links;
    else
        touched := identity.store_identifiers(incoming, this_xid);
        execute format(
            $query$
                with gone as (
                    delete from identity.links
                    using (select distinct source, record_key from %s where record_key <> '') as records
                    where links.source = records.source and links.record_key = records.record_key
                    returning links.low_id, links.high_id
                )
                select array_agg(low_id) || array_agg(high_id) from gone
            $query$,
            incoming
        ) into found;
        if found is not null then
            perform identity.mark_changed(found);
            touched := touched || found;
        end if;
        with stored as (
            insert into identity.links as kept
            select * from identity.met_links(incoming, 'pg_temp.incoming_identifiers', this_xid)
            on conflict (low_id, high_id, source, record_key, span) do update set
                first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
                last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at),
                evidence = least(kept.evidence, excluded.evidence),
                changed_xid = case
                    when excluded.first_seen_at < kept.first_seen_at then excluded.changed_xid else kept.changed_xid
                end
            where excluded.first_seen_at < kept.first_seen_at or excluded.last_seen_at > kept.last_seen_at
                or excluded.evidence < kept.evidence
            returning low_id, high_id, changed_xid
        )
        select coalesce(array_agg(low_id) || array_agg(high_id), '{}') into found
        from stored where changed_xid = this_xid;
        link_count := cardinality(found) / 2;
        touched := array(select distinct id from unnest(touched || found) as ends (id));
    end if;
    -- a truncated table is another file: for a handful that costs more than their removal
    execute format(case when incoming_count > 1000 then 'truncate %s' else 'delete from %s' end, incoming);
    delete from pg_temp.incoming_identifiers;
    if touched is null or cardinality(touched) > 0 then
        perform identity.settle(touched, moment);
    end if;
    return link_count;
end
$$;

-- The identifiers of what came in, as columns of identity.identifiers, of whose values the hashes are `hashed` ('< 0').
create or replace function identity.met_identifiers_hashed(incoming regclass, hashed text)
returns table (
    identifier_key uuid, kind_id smallint, value text, first_seen_at timestamptz, last_seen_at timestamptz,
    arrived_at timestamptz
) language plpgsql stable parallel safe cost 10000000
set plan_cache_mode = force_custom_plan set work_mem = '256MB'
-- two processes would each find most of the identifiers, and one put them together again
set max_parallel_workers_per_gather = 0 as $$
begin
    return query execute format(
        $query$
            with sides as (
                select left_kind as kind, left_value as value, true as is_named, first_seen_at, last_seen_at, arrived_at
                from %1$s
                where hashtext(left_value) %2$s
                union all
                select right_kind, right_value, is_right_named, first_seen_at, last_seen_at, arrived_at
                from %1$s
                where hashtext(right_value) %2$s
            ),
            named as (
                select
                    kind, value,
                    min(first_seen_at) filter (where is_named) as first_seen_at,
                    max(last_seen_at) filter (where is_named) as last_seen_at,
                    min(arrived_at) filter (where is_named) as arrived_at
                from sides
                group by kind, value
            )
            select identity.key_of(named.kind, named.value), kinds.kind_id, named.value::text, named.first_seen_at,
                named.last_seen_at, named.arrived_at
            from named inner join identity.kinds using (kind)
        $query$,
        incoming, hashed
    );
end
$$;

-- All of them. Of a table that several processes can read each of two takes one half.
create or replace function identity.met_identifiers(incoming regclass)
returns table (
    identifier_key uuid, kind_id smallint, value text, first_seen_at timestamptz, last_seen_at timestamptz,
    arrived_at timestamptz
) language plpgsql set plan_cache_mode = force_custom_plan
-- this process waits for the two
set max_parallel_workers_per_gather = 2 as $$
begin
    if incoming = 'identity.incoming_links'::regclass then
        return query
        select * from identity.met_identifiers_hashed(incoming, '< 0')
        union all
        select * from identity.met_identifiers_hashed(incoming, '>= 0');
    else
        return query select * from identity.met_identifiers_hashed(incoming, 'is not null');
    end if;
end
$$;

-- Store the identifiers of what came in, and note their numbers. Returns those known before whose age changed.
create or replace function identity.store_identifiers(incoming regclass, this_xid bigint) returns integer[]
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    numbers constant regclass := pg_get_serial_sequence('identity.identifiers', 'identifier_id');
    met_count integer;
begin
    insert into pg_temp.incoming_identifiers
    select
        coalesce(kept.identifier_id, nextval(numbers)::integer), met.*,
        kept.identifier_id is null,
        kept.identifier_id is not null
        and coalesce(
            met.arrived_at < kept.arrived_at or met.first_seen_at is not null and kept.first_seen_at is null, false
        ),
        kept.identifier_id is not null
        and coalesce(
            met.first_seen_at < kept.first_seen_at or met.last_seen_at > kept.last_seen_at
            or met.arrived_at < kept.arrived_at or met.first_seen_at is not null and kept.first_seen_at is null,
            false
        )
    from identity.met_identifiers(incoming) as met
    left join identity.identifiers as kept using (identifier_key);
    get diagnostics met_count = row_count;
    if met_count > 1000 then
        analyze pg_temp.incoming_identifiers;
    end if;
    insert into identity.identifiers (
        identifier_id, identifier_key, kind_id, value, first_seen_at, last_seen_at, arrived_at, changed_xid
    )
    overriding system value
    select identifier_id, identifier_key, kind_id, value, first_seen_at, last_seen_at, arrived_at, this_xid
    from pg_temp.incoming_identifiers
    where is_new;
    update identity.identifiers as kept set
        first_seen_at = least(kept.first_seen_at, met.first_seen_at),
        last_seen_at = greatest(kept.last_seen_at, met.last_seen_at),
        arrived_at = least(kept.arrived_at, met.arrived_at),
        changed_xid = this_xid
    from pg_temp.incoming_identifiers as met
    where met.is_changed and kept.identifier_id = met.identifier_id;
    return array(select identifier_id from pg_temp.incoming_identifiers where is_aged);
end
$$;

-- What came in, as rows of identity.links; `numbered` is a table that has the numbers of its identifiers.
create or replace function identity.met_links(incoming regclass, numbered regclass, this_xid bigint)
returns setof identity.links
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB'
-- a row from another process is no dearer than it is
set parallel_tuple_cost = 0.001 as $$
begin
    return query execute format(
        $query$
            select
                least(l.identifier_id, r.identifier_id), greatest(l.identifier_id, r.identifier_id),
                case when l.identifier_id < r.identifier_id then l.kind_id else r.kind_id end,
                case when l.identifier_id < r.identifier_id then r.kind_id else l.kind_id end,
                span, min(incoming.first_seen_at), max(incoming.last_seen_at), min(incoming.retracted_at),
                source, record_key, min(evidence), $1
            from %1$s as incoming
            inner join identity.kinds as lk on lk.kind = left_kind
            inner join identity.kinds as rk on rk.kind = coalesce(right_kind, left_kind)
            inner join %2$s as l on l.kind_id = lk.kind_id and l.value = left_value
            inner join %2$s as r on r.kind_id = rk.kind_id and r.value = coalesce(right_value, left_value)
            group by 1, 2, 3, 4, source, record_key, span
        $query$,
        incoming, numbered
    ) using this_xid;
end
$$;

-- Bring identity up to what raw holds now. Returns how many links changed; nothing new costs next to nothing.
create or replace function identity.catch_up(moment timestamptz) returns integer language plpgsql as $$
declare
    before pg_snapshot;
    seen pg_snapshot;
    incoming regclass;
    changed integer;
begin
    perform pg_advisory_xact_lock(hashtextextended('identity', 0));
    seen := pg_current_snapshot();
    before := (select progress.seen from identity.progress);
    -- a database that was restored elsewhere counts its transactions anew: everything is read again, and known again
    if pg_snapshot_xmax(seen) < pg_snapshot_xmin(before) then
        before := null;
    end if;
    incoming := identity.open_incoming(before is null);
    execute format(
        'insert into %s select * from identity.event_links($1, $2) union all select * from identity.record_links($1, $2)',
        incoming
    ) using before, seen;
    changed := identity.apply_incoming(incoming, moment);
    insert into identity.progress (seen) values (seen) on conflict (is_only) do update set seen = excluded.seen;
    return changed;
end
$$;
