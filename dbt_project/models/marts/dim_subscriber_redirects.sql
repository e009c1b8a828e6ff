-- serving looks up a former id in a request
{{ config(indexes=[{'columns': ['former_subscriber_id'], 'unique': true}]) }}

select
    former_subscriber_id,
    subscriber_id,
    changed_at
from {{ ref('int_subscribers_redirected') }}
