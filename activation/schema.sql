-- activation: every effect on the outside world is claimed here before it happens.
create schema if not exists activation;

-- Under which ids a subscriber is known: links, sends and choices keep the one of their day, and after profiles were
-- joined an older one leads to the present one (docs/identity.md). Everything here that looks for a subscriber asks these.
-- The marts come with the first build, so the bodies are looked at when they are called.
set local check_function_bodies = off;

-- The id of a present or former one; one that nobody ever had is given back.
create or replace function activation.present_id(given text) returns text language sql stable as $$
    select coalesce(
        (select subscriber_id from marts.dim_subscriber_redirects where former_subscriber_id = given), given
    )
$$;

-- Every id of the subscriber of a present or former one, the present one first.
create or replace function activation.ids_of(given text) returns text[] language sql stable as $$
    select present.subscriber_id || array(
        select former_subscriber_id from marts.dim_subscriber_redirects where subscriber_id = present.subscriber_id
    )
    from (select activation.present_id(given) as subscriber_id) as present
$$;

set local check_function_bodies = on;

-- One row an occurrence of a campaign for a subscriber. The unique key is what makes a message go out once.
-- `claimed`: about to be sent; `held`: nobody knows yet whether it went; `failed`: the provider refused it for good.
create table if not exists activation.sends (
    send_id uuid primary key default gen_random_uuid(),
    campaign_id text not null,
    category text not null,
    subscriber_id text not null,
    occurrence_key text not null,
    email_hash text not null,
    status text not null check (status in ('claimed', 'sent', 'failed', 'held')),
    reason text,
    provider_message_id text,
    run_key text not null,
    claimed_at timestamptz not null,
    settled_at timestamptz,
    unique (campaign_id, subscriber_id, occurrence_key)
);
-- Subscriber ids change when identities merge, and two can share an address: one address gets an occurrence once.
create unique index if not exists sends_once_per_address
    on activation.sends (campaign_id, email_hash, occurrence_key);
create index if not exists sends_by_address on activation.sends (email_hash, claimed_at desc);
create index if not exists sends_by_subscriber on activation.sends (subscriber_id, claimed_at desc);
create index if not exists sends_unsettled on activation.sends (campaign_id) where status in ('claimed', 'held');

-- Who was a candidate and got nothing, and why, by run: a marketer's exclusion counts.
create table if not exists activation.campaign_runs (
    campaign_id text not null,
    run_key text not null,
    as_of timestamptz not null,
    candidate_count bigint not null,
    sent_count bigint not null,
    excluded_counts jsonb not null,
    finished_at timestamptz not null default now(),
    primary key (campaign_id, run_key)
);

-- What subscribers chose in the preference centre; ingestion reads it back into raw.consent_records.
create table if not exists activation.preference_changes (
    preference_change_id uuid primary key default gen_random_uuid(),
    subscriber_id text not null,
    purpose text not null,
    is_granted boolean not null,
    changed_via text not null,
    changed_at timestamptz not null
);
-- version of the texts that stood beside the choice (activation/preferences/texts.yml)
alter table activation.preference_changes add column if not exists text_version text;
create index if not exists preference_changes_by_subscriber
    on activation.preference_changes (subscriber_id, purpose, changed_at desc);

-- Which recommendations were shown, where, by which model; ingestion reads it back as events.
create table if not exists activation.impressions (
    impression_id bigint generated always as identity primary key,
    request_id uuid not null,
    subscriber_id text,
    surface text not null,
    model_version text,
    is_fallback boolean not null,
    fallback_reason text,
    content_ids text[] not null,
    shown_at timestamptz not null
);
-- which of MARQUEE_SERVED_MODEL made the list; null where none did, and of before there was a choice
alter table activation.impressions add column if not exists model text;

-- The local SendGrid endpoint's memory: the stand-in provider's side, not ours. Never used with the real service.
create table if not exists activation.captured_messages (
    provider_message_id text primary key,
    accepted_at timestamptz not null default now(),
    from_email text not null,
    to_email text not null,
    subject text not null,
    html text,
    plain text,
    categories text[] not null default '{}',
    custom_args jsonb not null default '{}',
    headers jsonb not null default '{}',
    payload jsonb not null
);
create index if not exists captured_messages_by_time on activation.captured_messages (accepted_at desc);
create index if not exists captured_messages_by_custom_args on activation.captured_messages using gin (custom_args);
