{#-
    The stage of a subscriber, the first that holds; `lifecycle` in the variables has the days. Reads is_known,
    subscription_status, is_in_trial, won_back_at, acquired_at, last_consumed_at, is_paying and renews_at.
    docs/profiles.md says why the order is this one.
-#}
{% macro lifecycle_stage() -%}
    {%- set days = var('lifecycle') -%}
    case
        when not is_known then 'anonymous'
        when subscription_status = 'canceled' then 'cancelled'
        when is_in_trial then 'trial'
        when won_back_at > {{ as_of() }} - interval '{{ days.won_back }} days' then 'won_back'
        -- the whole of the last day counts: 30 days and some hours are 30 days
        when acquired_at > {{ as_of() }} - interval '{{ days.onboarding }} days' - interval '1 day' then 'onboarding'
        when last_consumed_at is null or last_consumed_at <= {{ as_of() }} - interval '{{ days.lapsed }} days'
            then 'lapsed'
        when
            is_paying
            and renews_at > {{ as_of() }}
            and renews_at <= {{ as_of() }} + interval '{{ days.renewal_window }} days'
            then 'renewal_window'
        when last_consumed_at <= {{ as_of() }} - interval '{{ days.at_risk }} days' then 'at_risk'
        else 'active'
    end
{%- endmacro %}
