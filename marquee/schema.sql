-- Tables that every room writes its runs and verdicts to. Each statement can run again.
create schema if not exists ops;
create schema if not exists features;
create schema if not exists feast;
create schema if not exists mlflow;

create table if not exists ops.state (
    name text primary key,
    value text not null,
    created_at timestamptz not null default now()
);

-- One row a load of one source: what was read, what was new, how far the source has been read.
create table if not exists ops.ingest_batches (
    batch_id bigint generated always as identity primary key,
    source text not null,
    run_key text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null default now(),
    read_count bigint not null,
    new_count bigint not null,
    quarantined_count bigint not null,
    watermark timestamptz
);
-- another version of a record that was known; a record that is gone
alter table ops.ingest_batches add column if not exists corrected_count bigint not null default 0;
alter table ops.ingest_batches add column if not exists deleted_count bigint not null default 0;

-- What each system holds, as the newest inventory found it (ingestion/inventory): a row a stream, and a row a field.
create table if not exists ops.source_inventory (
    system text not null,
    relation text not null,
    owner text not null,
    handover text not null,
    expected_hours double precision not null,
    -- between loads that brought something; null before there were two
    observed_hours double precision,
    last_loaded_at timestamptz,
    watermark timestamptz,
    row_count bigint not null,
    record_count bigint not null,
    simulated_share double precision,
    -- null where the rows are about nobody, or are known by our own id
    missing_consent_share double precision,
    missing_identifier_share double precision,
    known_elsewhere_share double precision,
    quarantined_counts jsonb not null,
    taken_at timestamptz not null,
    primary key (system, relation)
);
create table if not exists ops.source_inventory_fields (
    system text not null,
    relation text not null,
    field text not null,
    place integer not null,
    data_type text not null,
    pii text not null,
    filled_share double precision,
    distinct_share double precision,
    -- null for what is about a person
    example text,
    primary key (system, relation, field)
);

-- The newest load of each file, by which a load knows without reading whether it can hold something new.
create table if not exists ops.ingested_files (
    source text not null,
    file text not null,
    size_bytes bigint not null,
    modified_ns bigint not null,
    sha256 text not null,
    -- held: a snapshot that lost too much, of which nothing was deleted; damaged: could not be read to its end;
    -- superseded: a snapshot older than one that was loaded before
    outcome text not null check (outcome in ('loaded', 'held', 'damaged', 'superseded')),
    read_count bigint not null,
    quarantined_count bigint not null,
    run_key text not null,
    loaded_at timestamptz not null,
    primary key (source, file)
);

create table if not exists ops.source_watermarks (
    source text primary key,
    watermark timestamptz not null,
    updated_at timestamptz not null default now()
);

-- Builds of the warehouse: from where the next one goes on (dbt_project/macros/increments.sql).
create table if not exists ops.dbt_runs (
    dbt_run_id bigint generated always as identity primary key,
    invocation_id text not null unique,
    as_of timestamptz not null,
    -- the oldest transaction that was open when the build began
    snapshot_xmin bigint not null,
    fingerprint text not null,
    started_at timestamptz not null default now(),
    completed_at timestamptz
);
-- the lowest number that a transaction after the build can have
alter table ops.dbt_runs add column if not exists next_xid bigint;

-- Months of raw.events that were dropped because they are older than events are kept (ingestion/retention.py). A build
-- after it starts anew (dbt_project/macros/increments.sql).
create table if not exists ops.dropped_event_partitions (
    dropped_event_partition_id bigint generated always as identity primary key,
    partition_name text not null,
    dropped_before timestamptz not null,
    event_count bigint not null,
    key_count bigint not null,
    dropped_at timestamptz not null default now(),
    dropped_xid bigint not null default pg_current_xact_id()::text::bigint
);

-- Rows that were set aside: where they came from, what is wrong, and the row itself, so that it can be replayed.
create table if not exists ops.quarantined_rows (
    quarantined_row_id bigint generated always as identity primary key,
    source text not null,
    file text not null,
    line bigint not null,
    field text not null,
    value text,
    reason text not null,
    payload jsonb not null,
    row_hash text not null,
    quarantined_at timestamptz not null default now(),
    unique (source, file, line, field, row_hash)
);

-- What the door did, by hour of arrival: `admitted` and `set_aside` events, those `stored_without` a purpose, and those
-- `dropped` for want of it, with the reason (`refused`, `gpc`, `unsaid`). Empty where there is no purpose.
create table if not exists ops.door_counts (
    hour timestamptz not null,
    source text not null,
    outcome text not null check (outcome in ('admitted', 'stored_without', 'dropped', 'set_aside')),
    purpose text not null default '',
    reason text not null default '',
    event_count bigint not null,
    primary key (hour, source, outcome, purpose, reason)
);

create table if not exists ops.materializations (
    run_key text not null,
    feature_view text not null,
    row_count bigint not null,
    features_until timestamptz not null,
    finished_at timestamptz not null default now(),
    primary key (run_key, feature_view)
);

-- Every trained model, promoted or not; the artefact is the directory of that name under the models folder.
create table if not exists ops.model_versions (
    model_version text primary key,
    trained_at timestamptz not null,
    data_from timestamptz not null,
    data_until timestamptz not null,
    metrics jsonb not null
);
-- of a table that is there already, too: what the gate says is in ops.model_verdicts
alter table ops.model_versions drop column if exists gate, drop column if exists is_gate_passed;

-- Which version serves, and which served before it: a roll-back is one more row.
create table if not exists ops.model_promotions (
    promotion_id bigint generated always as identity primary key,
    model_version text not null references ops.model_versions,
    promoted_at timestamptz not null,
    reason text not null,
    -- of a roll-back: the version that stopped serving; none of the next goes back to it
    rolled_back_from text references ops.model_versions
);
-- of a table of before, where the reason alone said so
do $$
begin
    if not exists (
        select from information_schema.columns
        where table_schema = 'ops' and table_name = 'model_promotions' and column_name = 'rolled_back_from'
    ) then
        alter table ops.model_promotions add column rolled_back_from text references ops.model_versions;
        update ops.model_promotions set rolled_back_from = versions.model_version from ops.model_versions as versions
        where reason = 'rolled back from ' || versions.model_version;
    end if;
end
$$;

-- What a training run found of its version, by step; a figure without a threshold is only told.
create table if not exists ops.model_checks (
    run_key text not null,
    step text not null check (step in ('batch', 'quality', 'fairness', 'champion')),
    subject text not null,
    metric text not null,
    outcome text not null check (outcome in ('pass', 'warn', 'hold', 'reject')),
    value double precision,
    low double precision,
    high double precision,
    threshold double precision,
    detail text not null default '',
    primary key (run_key, step, subject, metric)
);

-- What followed from it: one verdict a run, and the page that shows it (a path below the reports folder).
create table if not exists ops.model_verdicts (
    run_key text primary key,
    model_version text not null references ops.model_versions,
    -- that served when the verdict was made
    champion_version text,
    verdict text not null check (verdict in ('promote', 'hold', 'reject')),
    reasons text[] not null,
    decided_at timestamptz not null,
    published_at timestamptz,
    report text
);
create index if not exists model_verdicts_by_version on ops.model_verdicts (model_version, decided_at);

create table if not exists ops.quality_verdicts (
    run_key text not null,
    check_kind text not null,
    subject text not null,
    metric text not null,
    value double precision,
    threshold double precision,
    verdict text not null check (verdict in ('pass', 'warn', 'fail')),
    detail text not null default '',
    report text,
    checked_at timestamptz not null,
    primary key (run_key, check_kind, subject, metric)
);
-- of a table that is there already, too: checks are added
alter table ops.quality_verdicts drop constraint if exists quality_verdicts_check_kind_check;
alter table ops.quality_verdicts add constraint quality_verdicts_check_kind_check
    check (check_kind in ('drift', 'fairness', 'quality', 'freshness', 'identity'));
