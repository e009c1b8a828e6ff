-- raw: what each system said, in its own words, append-only. A row is one version of one source record:
-- (source_key, row_hash) makes a second load of the same version a no-op, a changed record a new row.
-- `consent_purposes` is the consent that travelled with the row; null where the system sends none.
-- Every column but the keys is text or jsonb as the system wrote it: staging parses, and can be corrected and rerun.
create schema if not exists raw;

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
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);

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
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);

-- Segment's event spec: https://segment.com/docs/connections/spec/
create table if not exists raw.events (
    raw_id bigint generated always as identity primary key,
    source text not null,
    source_key text not null,
    row_hash text not null,
    message_id text not null,
    event_type text not null,
    event text,
    user_id text,
    anonymous_id text,
    device_id text,
    device_type text,
    email text,
    content_id text,
    watched_fraction double precision,
    properties jsonb not null default '{}',
    occurred_at timestamptz not null,
    consent_purposes text[],
    is_simulated boolean not null,
    loaded_at timestamptz not null default now(),
    unique (source, source_key, row_hash)
);
create index if not exists events_by_occurrence on raw.events (occurred_at);

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
