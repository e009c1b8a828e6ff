-- From raw rows to evidence: one spelling of each identifier, which ones a record names together, and what is new.

-- One spelling of an email: trimmed, lower case, without the plus tag; null where it is no address.
create or replace function identity.normalised_email(spelled text) returns text
language sql immutable parallel safe as $$
    select case
        when trim(spelled) ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$'
            then regexp_replace(lower(trim(spelled)), '[+][^@]*@', '@')
    end
$$;

-- The last ten digits, which is what differs between subscribers however the prefix is written.
create or replace function identity.normalised_phone(spelled text) returns text
language sql immutable parallel safe as $$
    select case
        when length(regexp_replace(spelled, '[^0-9]', '', 'g')) >= 7
            then right(regexp_replace(spelled, '[^0-9]', '', 'g'), 10)
    end
$$;

create or replace function identity.hashed(plain text) returns text
language sql stable parallel safe as $$
    select encode(sha256(convert_to(plain, 'UTF8')), 'hex')
$$;

create or replace function identity.key_of(kind text, value text) returns uuid
language sql immutable parallel safe as $$
    select md5(kind || ':' || value)::uuid
$$;

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

-- Every pair of the identifiers that one record names, a lone one beside nothing. Kinds stand in order of strength.
create or replace function identity.pairs_of(kinds text[], named text[])
returns table (left_kind text, left_value text, right_kind text, right_value text)
language sql immutable parallel safe rows 3 as $$
    with present as (
        select kind, value, place
        from unnest(kinds, named) with ordinality as listed (kind, value, place)
        where value is not null
    )
    select l.kind, l.value, r.kind, r.value
    from present as l inner join present as r on l.place < r.place
    union all
    select min(kind), min(value), null, null from present having count(*) = 1
$$;

-- What events say that were not visible in `before` (null: all): the same names once, with their span of time.
create or replace function identity.event_links(before pg_snapshot, seen pg_snapshot)
returns setof identity.incoming_links
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    oldest_new bigint := coalesce(pg_snapshot_xmin(before)::text::bigint, 0);
begin
    return query
    with calls as (
        select
            source,
            nullif(trim(user_id), '') as user_id,
            email,
            phone,
            nullif(lower(trim(advertising_id)), '') as advertising_id,
            nullif(trim(device_id), '') as device_id,
            nullif(trim(anonymous_id), '') as anonymous_id,
            nullif(trim(previous_id), '') as previous_id,
            min(occurred_at) as first_seen_at,
            max(occurred_at) as last_seen_at,
            min(received_at) as arrived_at,
            min(message_id) as evidence
        from raw.events
        where loaded_xid >= oldest_new
            and (before is null or (
                not pg_visible_in_snapshot(loaded_xid::text::xid8, before)
                and pg_visible_in_snapshot(loaded_xid::text::xid8, seen)
            ))
        group by source, user_id, email, phone, advertising_id, device_id, anonymous_id, previous_id
    ),
    named as materialized (
        select
            calls.*,
            identity.hashed(identity.normalised_email(email)) as email_hash,
            identity.hashed(identity.normalised_phone(phone)) as phone_hash
        from calls
    )
    select pairs.left_kind, pairs.left_value, pairs.right_kind, pairs.right_value, true, named.source, '', 0,
        named.first_seen_at, named.last_seen_at, named.arrived_at, null::timestamptz, named.evidence
    from named cross join lateral identity.pairs_of(
        '{user_id,email_hash,phone_hash,advertising_id,device_id,anonymous_id}',
        array[named.user_id, named.email_hash, named.phone_hash, named.advertising_id, named.device_id,
            named.anonymous_id]
    ) as pairs
    union all
    -- an alias does not say of which kind the former id is: it is both until a record names it as one
    select 'user_id', named.user_id, former.kind, named.previous_id, false, named.source, '', 0,
        named.first_seen_at, named.last_seen_at, named.arrived_at, null, named.evidence
    from named cross join (values ('user_id'), ('anonymous_id')) as former (kind)
    where named.user_id is not null and named.previous_id is not null and named.previous_id <> named.user_id
    union all
    select 'email_hash', identity.hashed(identity.normalised_email(email)), null, null, true, source, '', 0,
        min(occurred_at), max(occurred_at), min(date_trunc('day', loaded_at, 'UTC')), null, min(source_key)
    from raw.email_provider_events
    where loaded_xid >= oldest_new and identity.normalised_email(email) is not null
        and (before is null or (
            not pg_visible_in_snapshot(loaded_xid::text::xid8, before)
            and pg_visible_in_snapshot(loaded_xid::text::xid8, seen)
        ))
    group by source, identity.normalised_email(email);
end
$$;

-- Every version of every record that can change: what it names, and in which order versions stood. Of a system that
-- hands over whole exports, a record's versions after it vanished are a life of their own.
create or replace view identity.record_versions as
select
    source, source_key as record_key, raw_id, loaded_xid, loaded_at, is_deleted,
    case when is_deleted then deleted_at else updated_at end as stood_at,
    count(*) filter (where is_deleted) over (
        partition by source, source_key order by raw_id rows between unbounded preceding and 1 preceding
    ) as life,
    is_deleted as is_last_of_life,
    '{user_id,email_hash,phone_hash,crm_id}'::text[] as kinds,
    array[
        nullif(trim(user_id), ''), identity.hashed(identity.normalised_email(email)),
        identity.hashed(identity.normalised_phone(phone)), nullif(trim(crm_id), '')
    ] as named
from raw.crm_contacts
union all
select source, source_key, raw_id, loaded_xid, loaded_at, is_deleted, updated_at, 0, false,
    '{user_id,email_hash,billing_id}',
    array[nullif(trim(user_id), ''), identity.hashed(identity.normalised_email(email)), nullif(trim(billing_id), '')]
from raw.billing_subscriptions
union all
select source, source_key, raw_id, loaded_xid, loaded_at, false, answered_at, 0, false,
    '{user_id,email_hash}',
    array[nullif(trim(user_id), ''), identity.hashed(identity.normalised_email(email))]
from raw.survey_answers;

-- The records of which a version was not visible in `before` (null: all), whole: each pair's spans of versions.
create or replace function identity.record_links(before pg_snapshot, seen pg_snapshot)
returns setof identity.incoming_links
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    oldest_new bigint := coalesce(pg_snapshot_xmin(before)::text::bigint, 0);
    changed text[];
begin
    if before is not null then
        changed := array(
            select record_key
            from (
                select source_key as record_key, loaded_xid from raw.crm_contacts
                union all
                select source_key, loaded_xid from raw.billing_subscriptions
                union all
                select source_key, loaded_xid from raw.survey_answers
            ) as rows
            where loaded_xid >= oldest_new and not pg_visible_in_snapshot(loaded_xid::text::xid8, before)
                and pg_visible_in_snapshot(loaded_xid::text::xid8, seen)
        );
        if cardinality(changed) = 0 then
            return;
        end if;
    end if;
    return query
    with versions as (
        select
            source, record_key, kinds, named, loaded_at, is_deleted,
            max(stood_at) over in_order as stood_at,
            row_number() over in_order as version_no
        from identity.record_versions
        where changed is null or record_key = any(changed)
        window in_order as (
            partition by source, record_key order by life, is_last_of_life, stood_at, raw_id
        )
    ),
    followed as (
        select versions.*, lead(stood_at) over (partition by source, record_key order by version_no) as replaced_at
        from versions
    ),
    said as (
        select followed.source, followed.record_key, followed.version_no, followed.stood_at, followed.replaced_at,
            followed.loaded_at, pairs.*,
            followed.version_no - row_number() over (
                partition by followed.source, followed.record_key, pairs.left_kind, pairs.left_value,
                    pairs.right_kind, pairs.right_value
                order by followed.version_no
            ) as span
        from followed cross join lateral identity.pairs_of(followed.kinds, followed.named) as pairs
        where not followed.is_deleted
    )
    select said.left_kind, said.left_value, said.right_kind, said.right_value, true, said.source, said.record_key,
        said.span::integer, min(said.stood_at), max(said.stood_at), min(date_trunc('day', said.loaded_at, 'UTC')),
        case when bool_or(said.replaced_at is null) then null else max(said.replaced_at) end,
        said.record_key
    from said
    group by said.source, said.record_key, said.left_kind, said.left_value, said.right_kind, said.right_value,
        said.span;
end
$$;

-- Store what came in, and settle what it touches. Returns how many links are new, gone or older than was known.
create or replace function identity.apply_incoming(incoming regclass, moment timestamptz) returns integer
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
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
        and coalesce(met.arrived_at < kept.arrived_at or met.first_seen_at is not null and kept.first_seen_at is null, false),
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
language plpgsql set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
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
