-- raw: what each system said, in its own words, append-only. A row is one version of one source record:
-- (source_key, row_hash) makes a second load of the same version a no-op, a changed record a new row. Of a system that
-- hands over its whole export, a record that is no longer in it gets a row with `is_deleted`, at the load's moment;
-- `arrival` counts how often the same words came to stand again after others had.
-- `consent_purposes` is the consent that travelled with the row; null where the system sends none.
-- Every column but the keys is text or jsonb as the system wrote it: staging parses, and can be corrected and rerun.
create schema if not exists raw;

-- Up to version 0.1 raw.events was one table; its rows move into the partitions below.
do $$
begin
    if exists (select from pg_class where oid = to_regclass('raw.events') and relkind = 'r') then
        alter table raw.events rename to events_unpartitioned;
        drop index raw.events_by_occurrence;
    end if;
end
$$;

create table if not exists raw.crm_contacts (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    crm_id text not null,
    user_id text,
    email text,
    phone text,
    first_name text,
    last_name text,
    birth_year text,
    gender text,
    occupation text,
    postal_code text,
    country text,
    timezone text,
    created_at timestamptz,
    updated_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now()
);
alter table raw.crm_contacts add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;
alter table raw.crm_contacts add column if not exists is_deleted boolean not null default false;
alter table raw.crm_contacts add column if not exists deleted_at timestamptz;
alter table raw.crm_contacts add column if not exists arrival integer not null default 1;
alter table raw.crm_contacts drop constraint if exists crm_contacts_source_source_key_row_hash_key;
create unique index if not exists crm_contacts_by_version on raw.crm_contacts (source, source_key, row_hash, arrival);

create table if not exists raw.billing_subscriptions (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    billing_id text not null,
    user_id text,
    email text,
    plan text,
    status text,
    monthly_amount_cents text,
    currency text,
    started_at timestamptz,
    renews_at timestamptz,
    canceled_at timestamptz,
    updated_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);
alter table raw.billing_subscriptions add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;
alter table raw.billing_subscriptions add column if not exists trial_ends_at timestamptz;
-- the system itself says that the record is gone
alter table raw.billing_subscriptions add column if not exists is_deleted boolean not null default false;

create table if not exists raw.billing_invoices (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    invoice_id text not null,
    billing_id text,
    status text,
    amount_cents text,
    refunded_cents text,
    currency text,
    period_starts_at timestamptz,
    period_ends_at timestamptz,
    issued_at timestamptz,
    paid_at timestamptz,
    refunded_at timestamptz,
    is_deleted boolean not null default false,
    updated_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    loaded_xid bigint not null default pg_current_xact_id()::text::bigint,
    unique (source, source_key, row_hash)
);

create table if not exists raw.email_provider_events (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    email text not null,
    event text not null,
    message_id text,
    campaign text,
    url text,
    occurred_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);
alter table raw.email_provider_events add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;

create table if not exists raw.cms_content (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    content_id text not null,
    content_type text not null,
    title text not null,
    tags text[],
    release_year text,
    duration_minutes text,
    maturity_rating text,
    published_at timestamptz,
    updated_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now()
);
alter table raw.cms_content add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;
alter table raw.cms_content add column if not exists is_deleted boolean not null default false;
alter table raw.cms_content add column if not exists deleted_at timestamptz;
alter table raw.cms_content add column if not exists arrival integer not null default 1;
-- the licence: empty is without limit
alter table raw.cms_content add column if not exists available_from timestamptz;
alter table raw.cms_content add column if not exists available_until timestamptz;
alter table raw.cms_content add column if not exists licensed_countries text[];
alter table raw.cms_content drop constraint if exists cms_content_source_source_key_row_hash_key;
create unique index if not exists cms_content_by_version on raw.cms_content (source, source_key, row_hash, arrival);

-- Live and extracted events: https://segment.com/docs/connections/spec/
-- Partitioned by month of occurrence, so that retention drops a table and not rows. The message id is the event's key
-- over all partitions and sources: raw.event_keys holds a fingerprint of each that was stored.
create sequence if not exists raw.event_positions;

create table if not exists raw.events (
    raw_id bigint not null default nextval('raw.event_positions'),
    source text not null,
    message_id text not null,
    event_type text not null,
    event text,
    user_id text,
    anonymous_id text,
    -- the id that an alias call merges into user_id
    previous_id text,
    group_id text,
    device_id text,
    advertising_id text,
    device_type text,
    email text,
    phone text,
    content_id text,
    watched_fraction double precision,
    properties jsonb not null default '{}',
    -- what the door's policy left of the call's context
    context jsonb not null default '{}',
    -- by the server's clock: timestamp corrected by the difference between sentAt and the moment of arrival
    occurred_at timestamptz not null,
    sent_at timestamptz,
    received_at timestamptz not null default now(),
    -- purposes granted when it happened; null where the client did not say
    consent_purposes text[],
    -- the signals themselves: TCF and GPP strings, Sec-GPC
    consent_signals jsonb,
    -- version of the tracking plan's schema that the event met
    schema_version text,
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    -- readers that go on where they stopped compare it with their snapshot's xmin: no commit is overtaken
    loaded_xid bigint not null default pg_current_xact_id()::text::bigint
) partition by range (occurred_at);
alter sequence raw.event_positions owned by raw.events.raw_id;
create index if not exists events_by_occurrence on raw.events (occurred_at);
create index if not exists events_by_load on raw.events (loaded_xid);
-- few events carry an address, and the warehouse asks for those alone
create index if not exists events_with_email on raw.events (occurred_at) where email is not null;
-- what lies outside the months that have a partition
create table if not exists raw.events_other partition of raw.events default;

create table if not exists raw.event_keys (
    -- the message id's MD5
    message_key uuid primary key,
    received_at timestamptz not null default now()
);
create index if not exists event_keys_by_arrival on raw.event_keys using brin (received_at);

-- Make the partition of the month of a moment, unless rows of that month lie in the default one already.
create or replace function raw.ensure_event_partition(moment timestamptz) returns void language plpgsql as $$
declare
    first_day timestamptz := date_trunc('month', moment at time zone 'UTC') at time zone 'UTC';
    next_day timestamptz := (date_trunc('month', moment at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    partition_name text := 'events_' || to_char(moment at time zone 'UTC', 'YYYYMM');
begin
    if to_regclass('raw.' || partition_name) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('raw.event_partitions', 0));
    if to_regclass('raw.' || partition_name) is not null
        or exists (select from raw.events_other where occurred_at >= first_day and occurred_at < next_day)
    then
        return;
    end if;
    execute format(
        'create table raw.%I partition of raw.events for values from (%L) to (%L)', partition_name, first_day, next_day
    );
end
$$;

do $$
begin
    if to_regclass('raw.events_unpartitioned') is null then
        return;
    end if;
    perform raw.ensure_event_partition(month)
    from (select distinct date_trunc('month', occurred_at, 'UTC') as month from raw.events_unpartitioned) as months;
    insert into raw.event_keys (message_key)
    select distinct md5(message_id)::uuid from raw.events_unpartitioned;
    insert into raw.events (
        source, message_id, event_type, event, user_id, anonymous_id, device_id, device_type, email, content_id,
        watched_fraction, properties, occurred_at, received_at, consent_purposes, is_simulated, loaded_at
    )
    select distinct on (message_id)
        source, message_id, event_type, event, user_id, anonymous_id, device_id, device_type, email, content_id,
        watched_fraction, properties, occurred_at, loaded_at, consent_purposes, is_simulated, loaded_at
    from raw.events_unpartitioned
    order by message_id asc, raw_id asc;
    -- the views of dbt's staging read it; the next build makes them again
    drop table raw.events_unpartitioned cascade;
end
$$;

-- Calls that the door set aside: the tracking plan does not allow them, or no row can hold them. `payload` is the call
-- with its context reduced, from which `marquee events replay` admits it again once the plan allows it.
create table if not exists raw.quarantined_events (
    quarantined_event_id bigint generated always as identity primary key,
    source text not null,
    -- null where the call had none
    message_id text,
    payload_hash text not null,
    event text,
    field text not null,
    value text,
    reason text not null,
    payload jsonb not null,
    sent_at timestamptz,
    received_at timestamptz not null,
    quarantined_at timestamptz not null default now(),
    -- when it was admitted after all, or dropped by the policy of then
    replayed_at timestamptz
);
-- where a call stood that came in a file
alter table raw.quarantined_events add column if not exists file text;
alter table raw.quarantined_events add column if not exists line bigint;
create unique index if not exists quarantined_events_once
    on raw.quarantined_events (coalesce(message_id, ''), payload_hash);
create index if not exists quarantined_events_waiting
    on raw.quarantined_events (event, reason) where replayed_at is null;

create table if not exists raw.consent_records (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    identifier_kind text not null,
    identifier_value text not null,
    purpose text not null,
    is_granted boolean not null,
    region text,
    recorded_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);
alter table raw.consent_records add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;
-- a refusal that takes back what was granted
alter table raw.consent_records add column if not exists is_withdrawal boolean not null default false;
alter table raw.consent_records add column if not exists legal_basis text not null default 'consent'
    check (legal_basis in ('consent', 'legitimate_interest', 'contract', 'legal_obligation'));
-- version of the text that the person was shown
alter table raw.consent_records add column if not exists text_version text;
alter table raw.consent_records add column if not exists recorded_via text not null default 'register'
    check (recorded_via in ('register', 'preference_centre', 'import_assumption'));
-- where the proof lies: a document, a form, a row of ours
alter table raw.consent_records add column if not exists proof text;

-- What was said stays said: a row is neither changed nor taken away. An import may truncate the demo's.
create or replace function raw.refuse_change_of_consent() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('marquee.is_erasing', true) = 'on' then
        return old;
    end if;
    raise exception 'raw.consent_records is append-only: % refused', lower(tg_op)
        using
            errcode = 'restrict_violation',
            hint = 'Record a newer word; an erasure goes through raw.erase_consent_records().';
end
$$;
create or replace trigger consent_records_are_kept before update or delete on raw.consent_records
    for each row execute function raw.refuse_change_of_consent();

-- Erase what one identifier said, on the person's request (GDPR, article 17); returns how many rows there were.
create or replace function raw.erase_consent_records(erased_kind text, erased_value text) returns bigint
language plpgsql set marquee.is_erasing = 'on' as $$
declare
    erased_count bigint;
begin
    delete from raw.consent_records where identifier_kind = erased_kind and identifier_value = erased_value;
    get diagnostics erased_count = row_count;
    return erased_count;
end
$$;

create table if not exists raw.survey_answers (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    email text,
    user_id text,
    question text not null,
    answer text,
    answered_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);
alter table raw.survey_answers add column if not exists loaded_xid bigint not null
    default pg_current_xact_id()::text::bigint;
