-- identity: who is who. Evidence says which identifiers one record named together; members says whose each one is now.
-- What is stored decides everything: members, crowded and held links are a pure function of identifiers, links,
-- decisions and rules, whatever the order in which these came (docs/identity.md). Each statement can run again.
create schema if not exists identity;

-- The rules as the file has them (dbt_project/models/intermediate/int_identifiers_resolved.yml), and taken apart below.
create table if not exists identity.rules (
    rules jsonb not null,
    adopted_at timestamptz not null
);

create table if not exists identity.kinds (
    kind_id smallint generated always as identity primary key,
    kind text collate "C" not null unique,
    -- 1 is the strongest: it is believed first, and names a profile first among identifiers of one arrival
    priority smallint not null default 100,
    is_joining boolean not null default false,
    -- how many identifiers of this kind one profile may hold; null: any number
    profile_limit integer
);

create table if not exists identity.limits (
    kind_id smallint not null references identity.kinds,
    counted_kind_id smallint not null references identity.kinds,
    -- more than this many distinct identifiers of the counted kind, new within the window, and it joins nobody
    at_most integer not null,
    -- null: ever
    within interval,
    -- up to this many the identifier is a household's; null: never one
    household_at_most integer,
    primary key (kind_id, counted_kind_id)
);

create table if not exists identity.blocked_keys (
    identifier_key uuid primary key
);

create table if not exists identity.identifiers (
    identifier_id integer generated always as identity,
    -- MD5 of kind:value; as text the id of the subscriber whom it names
    identifier_key uuid not null,
    -- of identity.kinds: a foreign key would be looked up for a million rows
    kind_id smallint not null,
    value text collate "C" not null,
    -- null while only an alias has called it somebody's former id
    first_seen_at timestamptz,
    last_seen_at timestamptz,
    -- when the first record that names it reached us, in days for batches: late records do not move it
    arrived_at timestamptz,
    -- the transaction that last wrote it
    changed_xid bigint not null
);
alter table identity.identifiers add column if not exists changed_xid bigint not null default 0;

-- One row a pair and source where events tell (record_key is empty), one a pair, record and span of its versions where
-- records do. A record that names one identifier only is a pair of that with itself.
create table if not exists identity.links (
    low_id integer not null,
    high_id integer not null,
    low_kind_id smallint not null,
    high_kind_id smallint not null,
    span integer not null default 0,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    -- when a newer version of the record, or its deletion, took it back
    retracted_at timestamptz,
    source text collate "C" not null,
    record_key text collate "C" not null default '',
    -- the record that says so: of events the first message id in the order of letters
    evidence text collate "C" not null,
    -- the transaction in which it came into force, out of it, or was found to be older
    changed_xid bigint not null
);

-- What people decided about a pair: `joined` whatever the limits of a profile say, or `parted` whatever records say.
create table if not exists identity.decisions (
    low_key uuid not null,
    high_key uuid not null,
    decision text not null check (decision in ('joined', 'parted')),
    reason text not null,
    decided_at timestamptz not null,
    primary key (low_key, high_key)
);

create table if not exists identity.members (
    identifier_id integer not null,
    -- all that could be one person: what the next change has to look at
    cluster_id integer not null,
    -- the oldest identifier of the profile, which gives it its id
    profile_id integer not null,
    -- false where no record in force names it (any more): it is listed nowhere
    is_named boolean not null,
    -- the transaction that last changed this, or took evidence about it away
    changed_xid bigint not null
);
alter table identity.members add column if not exists changed_xid bigint not null default 0;

-- In which transactions an identifier was erased: it is gone, and who keeps a copy of what is concluded looks for it.
create table if not exists identity.erasures (
    erased_xid bigint not null
);

-- Links on their way in. Ordinary portions go through a temporary table of this form; a build from nothing goes through
-- this one, because PostgreSQL reads no temporary table in parallel. `right_value` null: the record names one identifier
-- only; a right side that is not named is somebody's former id by an alias's word alone.
create unlogged table if not exists identity.incoming_links (
    left_kind text collate "C" not null,
    left_value text collate "C" not null,
    right_kind text collate "C",
    right_value text collate "C",
    is_right_named boolean not null default true,
    source text collate "C" not null,
    record_key text collate "C" not null default '',
    span integer not null default 0,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    arrived_at timestamptz not null,
    retracted_at timestamptz,
    evidence text collate "C" not null
);

-- A build from nothing takes them away and makes them again: sorting once costs a tenth of sorting in row by row.
create or replace function identity.make_indexes() returns void language sql as $$
    create unique index if not exists identifiers_by_id on identity.identifiers (identifier_id);
    create unique index if not exists identifiers_by_key on identity.identifiers (identifier_key);
    create unique index if not exists links_by_pair
        on identity.links (low_id, high_id, source, record_key, span);
    create index if not exists links_by_high on identity.links (high_id);
    create index if not exists links_by_record on identity.links (source, record_key) where record_key <> '';
    create index if not exists links_retracted on identity.links (retracted_at) where retracted_at is not null;
$$;

create or replace function identity.drop_indexes() returns void language sql as $$
    drop index if exists identity.identifiers_by_id, identity.identifiers_by_key, identity.links_by_pair,
        identity.links_by_high, identity.links_by_record, identity.links_retracted;
$$;

create or replace function identity.make_member_indexes() returns void language sql as $$
    create unique index if not exists members_by_identifier on identity.members (identifier_id);
    create index if not exists members_by_cluster on identity.members (cluster_id);
$$;

select identity.make_indexes(), identity.make_member_indexes();

-- Identifiers over a limit: they join nobody.
create table if not exists identity.crowded (
    identifier_id integer primary key,
    counted_kind_id smallint not null,
    found_count integer not null,
    is_household boolean not null
);

-- Links that would have joined more than a profile may hold, such as two users: they wait for a decision.
create table if not exists identity.held_links (
    low_id integer not null,
    high_id integer not null,
    cluster_id integer not null,
    primary key (low_id, high_id)
);
create index if not exists held_links_by_cluster on identity.held_links (cluster_id);

-- When and by which evidence two subscriber ids became one, or one two: a log, the only table that remembers an order.
create table if not exists identity.history (
    history_id bigint generated always as identity primary key,
    change text not null check (change in ('joined', 'split', 'renamed')),
    from_subscriber_id text not null,
    to_subscriber_id text not null,
    changed_at timestamptz not null,
    identifier text,
    other_identifier text,
    source text,
    evidence text
);
create index if not exists history_by_former_id on identity.history (from_subscriber_id);

-- How far raw has been read: what this snapshot saw. Moves in the transaction of its effects.
create table if not exists identity.progress (
    is_only boolean primary key default true check (is_only),
    seen pg_snapshot not null
);

-- The catching up looks for what is new in every raw table, many times a minute.
create index if not exists crm_contacts_by_load on raw.crm_contacts (loaded_xid);
create index if not exists billing_subscriptions_by_load on raw.billing_subscriptions (loaded_xid);
create index if not exists survey_answers_by_load on raw.survey_answers (loaded_xid);
create index if not exists email_provider_events_by_load on raw.email_provider_events (loaded_xid);
