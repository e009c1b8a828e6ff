-- From raw rows to evidence: one spelling of each identifier, and which ones a record names together.

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
