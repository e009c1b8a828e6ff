{#-
    What is new to a build. A build notes two things before it reads anything (ops.dbt_runs): the oldest transaction
    that was still open, and its as_of. The next one takes the rows whose transaction was open or later, and those that
    lay in the future then: no commit is overtaken, however long it took, and no moment is missed. A row can be taken
    twice, so an incremental model replaces by key.
-#}
{% macro arrived_since_last_build(moment='occurred_at') -%}
    {%- if execute and is_incremental() -%}
        {%- set last = last_build() -%}
        (loaded_xid >= {{ last['snapshot_xmin'] }} or {{ moment }} > timestamptz '{{ last["as_of"].isoformat() }}')
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#-
    What our own models wrote since the last build that went through, by the number of the transaction that they keep in
    a column: this build, and those before it that failed half way. Only one build runs at a time.
-#}
{% macro written_since_last_build(column) -%}
    {{ column }} >= {{ last_build()['next_xid'] if execute else 0 }}
{%- endmacro %}

{#- What lay in the future of the last build, by the moment in a column. -#}
{% macro came_due_since_last_build(moment) -%}
    {{ moment }} > timestamptz '{{ last_build()["as_of"].isoformat() if execute }}'
{%- endmacro %}

{#- written_since_last_build for a model that is written whole; nothing where the others are built anew. -#}
{% macro added_since_last_build(column) -%}
    {{ written_since_last_build(column) if execute and not should_full_refresh() else 'false' }}
{%- endmacro %}

{#- The number of this transaction, by which the next build knows what is new. -#}
{% macro this_transaction() -%}
    pg_current_xact_id()::text::bigint
{%- endmacro %}

{#- Take away what the model is about to write again: the rows whose key is in `touched`, a query. For a pre_hook. -#}
{% macro take_back(key, touched) -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} where {{ key }} in ({{ touched }})
    {%- endif -%}
{%- endmacro %}

{#- The ids of the events that this build wrote. -#}
{% macro written_events() -%}
    select message_id from {{ ref('int_events_sessionized') }} where {{ written_since_last_build('written_xid') }}
{%- endmacro %}

{#- Who gained an event in this build, or lost one to somebody else. -#}
{% macro subscribers_of_written_events() -%}
    select subscriber_id
    from {{ ref('int_events_sessionized') }}
    where {{ written_since_last_build('written_xid') }}
    union all
    select former.subscriber_id
    from {{ ref('int_events_sessionized') }} as events
    cross join jsonb_array_elements_text(events.former_subscriber_ids) as former (subscriber_id)
    where {{ written_since_last_build('events.written_xid') }}
{%- endmacro %}

{#- A pre_hook of models that sort or join everything: memory for this transaction and its indexes. -#}
{% macro take_memory() -%}
    set local work_mem = '256MB';
    set local maintenance_work_mem = '256MB'
{%- endmacro %}

{#-
    What this dbt command has found out once for all its nodes, by name. dbt keeps no values between nodes but the graph,
    which every node shares; a dbt that stays for several commands keeps those of each apart.
-#}
{% macro found_once() %}
    {% do return(graph.setdefault('found_once', {}).setdefault(invocation_id, {})) %}
{% endmacro %}

{#- The newest build that went through, none before the first. -#}
{% macro last_build() %}
    {% set found = found_once() %}
    {% if 'last_build' not in found %}
        {% set rows = run_query(
            "select dbt_run_id, as_of, snapshot_xmin, coalesce(next_xid, snapshot_xmin) as next_xid, fingerprint "
            "from ops.dbt_runs where completed_at is not null order by dbt_run_id desc limit 1"
        ).rows %}
        {% do found.update({'last_build': rows[0] if rows else none}) %}
    {% endif %}
    {% do return(found['last_build']) %}
{% endmacro %}

{#-
    What models and macros say, by which rules and variables: another text, and the tables are built anew. dbt shows macros
    no text of theirs: it comes hashed, from marquee.dbt_runner.
-#}
{% macro project_fingerprint() %}
    {% set parts = [] %}
    {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed') %}
        {% do parts.append(node.unique_id ~ node.checksum.checksum) %}
        {% do parts.append(tojson(node.config.meta.get('identity_rules', {}), sort_keys=true)) %}
    {% endfor %}
    {% do parts.extend([env_var('DBT_MARQUEE_MACROS', ''), tojson(var_texts(), sort_keys=true)]) %}
    {% do return(local_md5(parts | sort | join(' '))) %}
{% endmacro %}

{% macro var_texts() %}
    {% do return({
        'session_gap': var('session_gap'), 'genres': var('genres'), 'affinity': var('affinity'),
        'lifecycle': var('lifecycle')
    }) %}
{% endmacro %}

{#-
    In place of dbt's own: everything is also built anew where adding to it would be wrong. That is where a past moment
    is asked for, where the database was restored from elsewhere (its transactions count from a lower number), where
    old events were dropped, and where the models have changed. A model with `full_refresh: false` keeps what it has: it is a log.
-#}
{% macro should_full_refresh() %}
    {% set wanted = config.get('full_refresh') %}
    {% if wanted is none %}
        {% set wanted = flags.FULL_REFRESH %}
    {% endif %}
    {% if wanted or not execute or config.get('full_refresh') is sameas false %}
        {% do return(wanted) %}
    {% endif %}
    {% do return(is_everything_new()) %}
{% endmacro %}

{#- Whether what the last build left is nothing to add to. -#}
{% macro is_everything_new() %}
    {% set found = found_once() %}
    {% if 'is_everything_new' not in found %}
        {% do found.update({'is_everything_new': is_last_build_overtaken()}) %}
    {% endif %}
    {% do return(found['is_everything_new']) %}
{% endmacro %}

{% macro is_last_build_overtaken() %}
    {% set last = last_build() %}
    {% if last is none or last['fingerprint'] != project_fingerprint() %}
        {% do return(true) %}
    {% endif %}
    {% set overtaken = run_query(
        "select " ~ as_of() ~ " < (select max(as_of) from ops.dbt_runs where dbt_run_id >= " ~ last['dbt_run_id'] ~ ")"
        ~ " or pg_snapshot_xmin(pg_current_snapshot())::text::bigint < " ~ last['snapshot_xmin']
        ~ " or exists (select from ops.dropped_event_partitions where dropped_xid >= " ~ last['snapshot_xmin'] ~ ")"
    ) %}
    {% do return(overtaken.rows[0][0]) %}
{% endmacro %}

{% macro note_build_start() %}
    {% if execute and flags.WHICH in ('build', 'run') and not invocation_args_dict.get('select') %}
        insert into ops.dbt_runs (invocation_id, as_of, snapshot_xmin, fingerprint)
        select
            '{{ invocation_id }}',
            {{ as_of() }},
            pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
            '{{ project_fingerprint() }}'
        where {{ as_of() }} is not null
    {% endif %}
{% endmacro %}

{#- A build counts when every model was built: what failed or was skipped is new again to the next. -#}
{% macro note_build_end(results) %}
    {% if execute and flags.WHICH in ('build', 'run') and not invocation_args_dict.get('select') %}
        {% set unbuilt = [] %}
        {% for result in results if result.node.resource_type == 'model' and result.status != 'success' %}
            {% do unbuilt.append(result.node.name) %}
        {% endfor %}
        {% if not unbuilt %}
            update ops.dbt_runs
            set completed_at = now(), next_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint
            where invocation_id = '{{ invocation_id }}'
        {% endif %}
    {% endif %}
{% endmacro %}

{#-
    In place of dbt's own: a new temporary table has no statistics, and without them PostgreSQL reads the whole target to
    find the few rows that an increment replaces.
-#}
{% macro postgres__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    analyze {{ source }} ({{ unique_key if unique_key is string else unique_key | join(', ') }});
    {{ default__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) }}
{%- endmacro %}
