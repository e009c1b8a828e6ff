{#-
    Segments as SQL. What a file declares (models/marts/segments.yml) becomes conditions here and nowhere else: dbt's
    models call these macros, and so does the preview (ingestion/segments/rendering.py). Names of fields are compared
    with the profile's columns, and every other word of a file passes through `segment_literal`. No condition is ever
    null: a field that is not known is none of the values asked for. ingestion/segments/evaluation.py says the same in
    Python, for one profile in memory; tests/ingestion/segments/test_agreement.py holds the two equal.
-#}

{#- What the yml of fct_segment_memberships declares: the live segments, as a list. -#}
{% macro declared_segments() %}
    {% set live = [] %}
    {% if execute %}
        {% for segment in graph.nodes['model.marquee.fct_segment_memberships'].config.meta.segments %}
            {% if segment.status == 'live' %}
                {% do live.append(segment) %}
            {% endif %}
        {% endfor %}
    {% endif %}
    {% do return(live) %}
{% endmacro %}

{#- Names of the groups whose segments exclude each other. -#}
{% macro exclusive_segment_groups() %}
    {% set names = [] %}
    {% if execute %}
        {% for group in graph.nodes['model.marquee.fct_segment_memberships'].config.meta.segment_groups %}
            {% if group.is_exclusive %}
                {% do names.append(group.name) %}
            {% endif %}
        {% endfor %}
    {% endif %}
    {% do return(names) %}
{% endmacro %}

{#- Type of each field of the profile, by name. -#}
{% macro segment_fields() %}
    {% set fields = {} %}
    {% if execute %}
        {% for column in graph.nodes['model.marquee.dim_subscribers'].columns.values() if column.name != 'segments' %}
            {% do fields.update({column.name: column.data_type}) %}
        {% endfor %}
    {% endif %}
    {% do return(fields) %}
{% endmacro %}

{#- The purpose to which a subscriber must have agreed, by the segment's kind. -#}
{% macro segment_purpose(kind) -%}
    {%- set purposes = {'audience': 'advertising', 'message': 'email_marketing', 'analysis': 'personalization'} -%}
    {%- if kind not in purposes -%}
        {{ exceptions.raise_compiler_error("segments: there is no kind " ~ kind ~ "; take one of " ~ purposes) }}
    {%- endif -%}
    {{ purposes[kind] }}
{%- endmacro %}

{#- A value of a file as a literal of SQL: the only way in. -#}
{% macro segment_literal(value) -%}
    {%- if value is sameas true -%}
        true
    {%- elif value is sameas false -%}
        false
    {%- elif value is string -%}
        '{{ value | replace("'", "''") }}'
    {%- elif value is number -%}
        {{ value }}
    {%- else -%}
        {{ exceptions.raise_compiler_error("segments: " ~ value ~ " is neither text, number nor truth value") }}
    {%- endif -%}
{%- endmacro %}

{% macro segment_literals(values) -%}
    {%- for value in values -%}
        {{ segment_literal(value) }}{{ ', ' if not loop.last else '' }}
    {%- endfor -%}
{%- endmacro %}

{#- Days as hours: a day of 23 hours where the session's time zone changes its clock would be another window. -#}
{% macro segment_days(days) -%}
    {%- if days is not integer -%}
        {{ exceptions.raise_compiler_error("segments: " ~ days ~ " is no whole number of days") }}
    {%- endif -%}
    interval '{{ days * 24 }} hours'
{%- endmacro %}

{#- Every distinct condition on events in a tree, added to `counted`: each becomes one count. -#}
{% macro segment_find_events(condition, counted) %}
    {% for inner in condition['all'] or condition['any'] or ([condition['not']] if 'not' in condition else []) %}
        {% do segment_find_events(inner, counted) %}
    {% endfor %}
    {% if 'did' in condition or 'did_not' in condition %}
        {% set filter = segment_event_filter(condition) %}
        {% if filter not in counted %}
            {% do counted.append(filter) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{#- Which events a condition counts. -#}
{% macro segment_event_filter(condition) -%}
    events.event_type = {{ segment_literal(condition['call'] or 'track') }}
    and events.event = {{ segment_literal(condition['did'] or condition['did_not']) }}
    and events.occurred_at > build.as_of - {{ segment_days(condition['within_days']) }}
    and events.occurred_at <= build.as_of
    {%- for test in condition['where'] or [] %}
    and {{ segment_property(test) }}
    {%- endfor -%}
{%- endmacro %}

{#- A condition on a property of an event; what the event's own columns hold is looked up there. -#}
{% macro segment_property(test) -%}
    {%- set columns = {'content_id': 'text', 'device_type': 'text', 'watched_fraction': 'double precision'} -%}
    {%- set operator = segment_operator(test, ['property']) -%}
    {%- set value = test[operator] -%}
    {%- if test['property'] in columns -%}
        {{ segment_comparison('events.' ~ test['property'], operator, value) }}
    {%- else -%}
        {%- set found = "events.properties -> " ~ segment_literal(test['property']) -%}
        {%- if operator in ('is', 'is_not', 'in', 'not_in') -%}
            {{ 'not ' if 'not' in operator else '' }}coalesce({{ found }} in (
            {%- for one in (value if operator in ('in', 'not_in') else [value]) -%}
                to_jsonb({{ segment_literal(one) }}{{ '::text' if one is string else '' }}){{ ', ' if not loop.last else '' }}
            {%- endfor -%}
            ), false)
        {%- else -%}
            {%- set number = "case when jsonb_typeof(" ~ found ~ ") = 'number' then (" ~ found ~ ")::numeric end" -%}
            {{ segment_comparison(number, operator, value) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- The one word of a condition that says how to compare. -#}
{% macro segment_operator(condition, others) -%}
    {%- set words = condition.keys() | reject('in', others) | list -%}
    {%- if words | length != 1 -%}
        {{ exceptions.raise_compiler_error("segments: " ~ condition ~ " must have one operator") }}
    {%- endif -%}
    {{ words[0] }}
{%- endmacro %}

{#- An expression compared with what a file says. Never null. -#}
{% macro segment_comparison(expression, operator, value) -%}
    {%- if operator == 'is' -%}
        coalesce({{ expression }} = {{ segment_literal(value) }}, false)
    {%- elif operator == 'is_not' -%}
        not coalesce({{ expression }} = {{ segment_literal(value) }}, false)
    {%- elif operator == 'in' -%}
        coalesce({{ expression }} in ({{ segment_literals(value) }}), false)
    {%- elif operator == 'not_in' -%}
        not coalesce({{ expression }} in ({{ segment_literals(value) }}), false)
    {%- elif operator == 'at_least' -%}
        coalesce({{ expression }} >= {{ segment_literal(value) }}, false)
    {%- elif operator == 'at_most' -%}
        coalesce({{ expression }} <= {{ segment_literal(value) }}, false)
    {%- elif operator == 'between' -%}
        coalesce({{ expression }} between {{ segment_literal(value[0]) }} and {{ segment_literal(value[1]) }}, false)
    {%- elif operator == 'within_days' -%}
        coalesce({{ expression }} > build.as_of - {{ segment_days(value) }} and {{ expression }} <= build.as_of, false)
    {%- elif operator == 'older_than_days' -%}
        coalesce({{ expression }} <= build.as_of - {{ segment_days(value) }}, false)
    {%- elif operator == 'due_within_days' -%}
        coalesce({{ expression }} > build.as_of and {{ expression }} <= build.as_of + {{ segment_days(value) }}, false)
    {%- elif operator == 'has' -%}
        coalesce({{ segment_literal(value) }} = any({{ expression }}), false)
    {%- elif operator == 'has_not' -%}
        not coalesce({{ segment_literal(value) }} = any({{ expression }}), false)
    {%- elif operator == 'is_set' -%}
        {{ expression }} is {{ 'not ' if value else '' }}null
    {%- else -%}
        {{ exceptions.raise_compiler_error("segments: there is no operator " ~ operator) }}
    {%- endif -%}
{%- endmacro %}

{#-
    A tree of conditions over `profiles`, `build` and `event_counts`, whose counts stand in the order of `counted`.
    `fields` are the profile's columns with their types.
-#}
{% macro segment_condition(condition, fields, counted) -%}
    {%- if 'all' in condition or 'any' in condition -%}
        (
        {%- for inner in condition['all'] or condition['any'] -%}
            {{ segment_condition(inner, fields, counted) }}
            {{- (' and ' if 'all' in condition else ' or ') if not loop.last else '' }}
        {%- endfor -%}
        )
    {%- elif 'not' in condition -%}
        (not {{ segment_condition(condition['not'], fields, counted) }})
    {%- elif 'did' in condition or 'did_not' in condition -%}
        coalesce(event_counts.event_count_{{ counted.index(segment_event_filter(condition)) + 1 }}, 0)
        {{- ' >= ' if 'did' in condition else ' < ' }}{{ segment_literal(condition['at_least'] or 1) }}
    {%- elif condition['field'] not in fields -%}
        {{ exceptions.raise_compiler_error("segments: " ~ condition ~ " names no field of the profile") }}
    {%- elif 'category' in condition -%}
        {{ segment_comparison(
            "coalesce((profiles." ~ condition['field'] ~ " ->> " ~ segment_literal(condition['category'])
            ~ ")::double precision, 0)",
            segment_operator(condition, ['field', 'category']),
            condition[segment_operator(condition, ['field', 'category'])]
        ) }}
    {%- else -%}
        {{ segment_comparison(
            "profiles." ~ condition['field'],
            segment_operator(condition, ['field']),
            condition[segment_operator(condition, ['field'])]
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Whether a profile meets the conditions of a segment and agreed to its purpose. -#}
{% macro segment_reach(segment, fields, counted) -%}
    profiles.is_permitted_{{ segment_purpose(segment['kind']) }} and {{ segment_condition(
        segment['conditions'], fields, counted
    ) }}
{%- endmacro %}

{#-
    The segments of a profile, as elements of an array: one case a segment, and one a group of segments that exclude
    each other, in which the highest priority that holds wins.
-#}
{% macro segment_cases(segments, exclusive_groups, fields, counted) -%}
    {%- set seen = [] -%}
    {%- for segment in segments -%}
        {%- set group = segment['group'] -%}
        {%- if group not in exclusive_groups -%}
            {{ ',' if not loop.first else '' }}
            case when {{ segment_reach(segment, fields, counted) }} then {{ segment_literal(segment['name']) }} end
        {%- elif group not in seen -%}
            {%- do seen.append(group) -%}
            {{ ',' if not loop.first else '' }}
            case
            {%- for rival in segments | selectattr('group', 'equalto', group) | sort(attribute='priority', reverse=true) %}
                when {{ segment_reach(rival, fields, counted) }} then {{ segment_literal(rival['name']) }}
            {%- endfor %}
            end
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#-
    The steps that conditions read: `build` (as_of), `profiles` (with a column a purpose that says whether it is
    permitted) and `event_counts` (a column a condition on events; only events that some condition counts are read).
-#}
{% macro segment_sources(counted, as_of, profiles, events) -%}
build as (

    select {{ as_of }} as as_of

),

profiles as (

    select
        *,
        {{ permitted('advertising', 'subscriber_id') }} as is_permitted_advertising,
        {{ permitted('email_marketing', 'subscriber_id') }} as is_permitted_email_marketing,
        {{ permitted('personalization', 'subscriber_id') }} as is_permitted_personalization
    from {{ profiles }}
    -- a fence: without it PostgreSQL looks up the permission again for every segment
    offset 0

),

event_counts as (

    select
        events.subscriber_id
        {%- for filter in counted %},
        count(*) filter (where {{ filter }}) as event_count_{{ loop.index }}
        {%- endfor %}
    from {{ events }} as events
    cross join build
    where {% if counted %}({{ counted | join(') or (') }}){% else %}false{% endif %}
    group by events.subscriber_id

)
{%- endmacro %}

{#- Rows of the log that a build has to follow: what came after the last one, or at the same moment, built again. -#}
{% macro changed_since_last_build(log) -%}
    {%- set last = "timestamptz '" ~ (last_build()['as_of'].isoformat() if execute) ~ "'" -%}
    ({{ log }}.changed_at > {{ last }} or ({{ log }}.changed_at = {{ last }} and {{ as_of() }} = {{ last }}))
{%- endmacro %}

{#- A pre_hook of fct_segment_memberships: take away who came or went, and say of the others whether they are simulated. -#}
{% macro take_back_members() -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} as kept
        using {{ ref('fct_segment_changes') }} as changes
        where
            changes.subscriber_id = kept.subscriber_id
            and changes.segment = kept.segment
            and {{ changed_since_last_build('changes') }};
        update {{ this }} as kept
        set is_simulated = subscribers.is_simulated
        from {{ ref('dim_subscribers') }} as subscribers
        where
            subscribers.subscriber_id = kept.subscriber_id
            and subscribers.is_simulated <> kept.is_simulated
    {%- endif -%}
{%- endmacro %}
