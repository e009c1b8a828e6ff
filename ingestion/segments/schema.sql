-- segments in the live path: who entered or left one since the newest build. Each statement can run again.
create schema if not exists raw;

-- Where live evaluation and the newest build differ. A row is there from the moment of an event until a build agrees.
create table if not exists raw.live_segment_memberships (
    subscriber_id text not null,
    segment text not null,
    -- false: the build has them in it, and they left since
    is_member boolean not null,
    since timestamptz not null,
    evaluated_at timestamptz not null,
    is_simulated boolean not null,
    primary key (subscriber_id, segment)
);

-- How far raw.events has been read.
create table if not exists raw.live_segment_progress (
    is_only boolean primary key default true check (is_only),
    seen pg_snapshot not null
);

-- An event is its user's, or else its visitor's, or else its device's: the events of one subscriber are looked up at
-- every new one.
create index if not exists events_by_person on raw.events (
    coalesce(nullif(trim(user_id), ''), nullif(trim(anonymous_id), ''), nullif(trim(device_id), '')), occurred_at
);

-- The newest build's members with who entered and left since. A function, for what it reads is bound when it is called:
-- a view would be dropped with the tables that every build replaces, and be missing until the build came to it.
set local check_function_bodies = off;
create or replace function raw.segment_memberships_now()
returns table (subscriber_id text, segment text, since timestamptz, is_live boolean, is_simulated boolean)
language sql stable as $$
    with changes as (
        select live.subscriber_id, live.segment, live.is_member, live.since, live.is_simulated
        from raw.live_segment_memberships as live
        -- what is older than the build, the build knows better
        where live.evaluated_at > (select max(evaluated_at) from marts.dim_segments)
    )
    select built.subscriber_id, built.segment, built.since, false, built.is_simulated
    from marts.fct_segment_memberships as built
    left join changes on built.subscriber_id = changes.subscriber_id and built.segment = changes.segment
    where changes.is_member is distinct from false
    union all
    select changes.subscriber_id, changes.segment, changes.since, true, changes.is_simulated
    from changes
    left join marts.fct_segment_memberships as built
        on changes.subscriber_id = built.subscriber_id and changes.segment = built.segment
    where changes.is_member and built.segment is null
$$;
reset check_function_bodies;
