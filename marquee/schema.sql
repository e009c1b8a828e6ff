-- Tables that every room writes its runs and verdicts to. Each statement can run again.
create schema if not exists ops;
create schema if not exists features;
create schema if not exists feast;

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

create table if not exists ops.source_watermarks (
    source text primary key,
    watermark timestamptz not null,
    updated_at timestamptz not null default now()
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
    metrics jsonb not null,
    gate jsonb not null,
    is_gate_passed boolean not null
);

-- Which version serves, and which served before it: a roll-back is one more row.
create table if not exists ops.model_promotions (
    promotion_id bigint generated always as identity primary key,
    model_version text not null references ops.model_versions,
    promoted_at timestamptz not null,
    reason text not null
);

create table if not exists ops.quality_verdicts (
    run_key text not null,
    check_kind text not null check (check_kind in ('drift', 'fairness', 'quality', 'freshness')),
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
