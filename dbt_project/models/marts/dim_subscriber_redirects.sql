-- serving looks up a former id in a request, and what was chosen under all of them
{{ config(indexes=[{'columns': ['former_subscriber_id'], 'unique': true}, {'columns': ['subscriber_id']}]) }}

select
    former_subscriber_id,
    subscriber_id,
    changed_at
from {{ ref('int_subscribers_redirected') }}
