"""A simulated media house of any size, made by PostgreSQL itself: for a benchmark, and small for tests.

In: counts and a moment. Out: rows in every raw table that dbt reads. A session is five events of one client: a visit,
a search, and a playback's start, progress and end. A fifth of the sessions are signed out. Few subscribers and titles
have many events, many have few.
"""

from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

EVENTS_PER_SESSION = 5
HISTORY_DAYS = 180

_CONTENTS = """
insert into raw.cms_content (
    source, source_key, row_hash, content_id, content_type, title, tags, release_year, duration_minutes, published_at,
    updated_at, is_simulated
)
select
    'cms', 'c-' || n, '1', 'c-' || n, (array['video', 'video', 'video', 'article', 'podcast'])[n %% 5 + 1],
    'Title ' || n, array[(array['Drama', 'Comedy', 'Action', 'Thriller', 'Documentary'])[n %% 5 + 1]], '2001', '90',
    %(as_of)s - interval '400 days', %(as_of)s - interval '400 days', true
from generate_series(1, %(contents)s) as n
"""

_CONTACTS = """
insert into raw.crm_contacts (
    source, source_key, row_hash, crm_id, user_id, email, phone, first_name, birth_year, gender, occupation, country,
    created_at, updated_at, is_simulated
)
select
    'crm', 'crm-' || n, '1', 'crm-' || n, 'user-' || n, 'person' || n || '@example.com',
    '+44' || (7000000000 + n), 'Lou', (1950 + n %% 55)::text, (array['F', 'M'])[n %% 2 + 1], 'artist',
    (array['DE', 'FR', 'GB', 'US', 'US', 'BR'])[n %% 6 + 1], %(as_of)s - interval '1 day' * (n %% 700),
    %(as_of)s - interval '1 day' * (n %% 90), true
from generate_series(1, %(subscribers)s) as n
"""

# every fifth subscription changed its plan once
_SUBSCRIPTIONS = """
insert into raw.billing_subscriptions (
    source, source_key, row_hash, billing_id, user_id, email, plan, status, monthly_amount_cents, currency, started_at,
    renews_at, canceled_at, updated_at, is_simulated
)
select
    'billing', 'b-' || n, version::text, 'b-' || n, 'user-' || n, 'person' || n || '@example.com',
    case when version = 1 then 'standard' else 'premium' end, 'active',
    case when version = 1 then '999' else '1499' end, 'EUR', %(as_of)s - interval '1 day' * (200 + n %% 500),
    %(as_of)s + interval '1 day' * (n %% 30),
    case when n %% 11 = 0 and version = 1 then %(as_of)s - interval '1 day' * (n %% 60) end,
    %(as_of)s - interval '1 day' * (n %% 60 + case when version = 1 then 61 else 0 end), true
from generate_series(1, %(subscribers)s) as n
cross join generate_series(1, 2) as version
where n %% 5 < 3 and (version = 1 or n %% 5 = 0)
"""

_INVOICES = """
insert into raw.billing_invoices (
    source, source_key, row_hash, invoice_id, billing_id, status, amount_cents, currency, issued_at, paid_at,
    updated_at, is_simulated
)
select
    'invoices', 'i-' || n || '-' || month, '1', 'i-' || n || '-' || month, 'b-' || n, 'paid', '999', 'EUR',
    %(as_of)s - interval '30 days' * month, %(as_of)s - interval '30 days' * month,
    %(as_of)s - interval '30 days' * month, true
from generate_series(1, %(subscribers)s) as n
cross join generate_series(1, 2) as month
where n %% 5 < 3
"""

_EMAILS = """
insert into raw.email_provider_events (
    source, source_key, row_hash, email, event, message_id, campaign, occurred_at, is_simulated
)
select
    'email', 'm-' || n || '-' || kind, '1', 'person' || n || '@example.com', kind, 'm-' || n, 'weekly',
    %(as_of)s - interval '1 hour' * (n %% 2000) - interval '2 minutes' + interval '1 minute' * place, true
from generate_series(1, %(subscribers)s) as n
cross join unnest(array['delivered', 'open', 'click']) with ordinality as events (kind, place)
where place = 1 or n %% (place * 2) = 0
"""

_CONSENTS = """
insert into raw.consent_records (
    source, source_key, row_hash, identifier_kind, identifier_value, purpose, is_granted, region, recorded_at,
    is_simulated
)
select
    'consents', 'p-' || n || '-' || purpose, '1', 'user_id', 'user-' || n, purpose, n %% 7 <> 0, 'eu',
    %(as_of)s - interval '1 day' * (n %% 300 + 1), true
from generate_series(1, %(subscribers)s) as n
cross join unnest(array['personalization', 'email_marketing']) as purposes (purpose)
where n %% 10 <> 0
"""

# `first` keeps message ids apart between loads
_EVENTS = """
insert into raw.events (
    source, message_id, event_type, event, user_id, anonymous_id, device_id, device_type, content_id, watched_fraction,
    properties, occurred_at, received_at, is_simulated
)
select
    'live',
    'm-' || %(first)s + session || '-' || step,
    case step when 1 then 'page' else 'track' end,
    (array['Home', 'Content Searched', 'Video Playback Started', 'Video Content Playing',
        case when session %% 3 = 0 then 'Video Playback Exited' else 'Video Playback Completed' end])[step],
    case when session %% 5 > 0 then 'user-' || subscriber end,
    'anon-' || subscriber || '-' || session %% 2,
    'device-' || subscriber || '-' || session %% 2,
    (array['web', 'mobile', 'connected_tv'])[session %% 3 + 1],
    case when step > 2 then 'c-' || content end,
    case when step = 5 then round(fraction::numeric, 3) end,
    case step
        when 2 then '{"query": "something"}'::jsonb
        when 1 then '{}'
        else jsonb_build_object(
            'session_id', 'play-' || %(first)s + session, 'position', 60 * step, 'total_length', 5400
        )
    end,
    started_at + interval '3 minutes' * step,
    greatest(started_at + interval '3 minutes' * step, %(received_at)s),
    true
from (
    select
        session,
        1 + floor(%(subscribers)s * power(random(), 1.5))::integer as subscriber,
        1 + floor(%(contents)s * power(random(), 2.5))::integer as content,
        random() as fraction,
        %(until)s - random() * %(span)s::interval - interval '20 minutes' as started_at
    from generate_series(1, %(sessions)s) as session
) as sessions
cross join generate_series(1, %(steps)s) as step
"""


def make_world(connection: Connection[DictRow], event_count: int, subscriber_count: int, as_of: datetime) -> None:
    """Fill every raw table with what happened up to `as_of`."""
    connection.execute("select setseed(0.7)")
    counts = {"as_of": as_of, "subscribers": subscriber_count, "contents": _content_count(subscriber_count)}
    connection.execute(_CONTENTS.encode(), counts)
    for statement in (_CONTACTS, _SUBSCRIPTIONS, _INVOICES, _EMAILS, _CONSENTS):
        connection.execute(statement.encode(), counts)
    connection.execute(
        "select raw.ensure_event_partition(month) "
        "from generate_series(%s - interval '7 months', %s, '1 month') as month",
        (as_of, as_of),
    )
    _add_events(connection, event_count, subscriber_count, as_of, HISTORY_DAYS, first=0)


def add_day(
    connection: Connection[DictRow],
    event_count: int,
    subscriber_count: int,
    until: datetime,
    first: int = 1_000_000_000,
) -> None:
    """One day more: events of that day, a tenth of them late by up to a month, new people, and second thoughts."""
    connection.execute("select setseed(0.3)")
    late_count = event_count // 10
    people = subscriber_count + subscriber_count // 100
    _add_events(connection, event_count - late_count, people, until, 1, first=first)
    _add_events(connection, late_count, people, until, 30, first=first + 1_000_000)
    connection.execute(
        "insert into raw.consent_records (source, source_key, row_hash, identifier_kind, identifier_value, purpose, "
        "is_granted, region, recorded_at, is_simulated) "
        "select 'consents', 'p-' || n || '-personalization', %s, 'user_id', 'user-' || n, 'personalization', "
        "(n + %s) %% 3 = 0, 'eu', %s - interval '1 hour', true from generate_series(1, 200) as n",
        (str(first), first, until),
    )


def _add_events(
    connection: Connection[DictRow], event_count: int, people: int, until: datetime, days: int, *, first: int
) -> None:
    connection.execute(
        _EVENTS.encode(),
        {
            "first": first,
            "sessions": event_count // EVENTS_PER_SESSION,
            "steps": EVENTS_PER_SESSION,
            "subscribers": people,
            "contents": _content_count(people),
            "until": until,
            "received_at": until,
            "span": f"{days} days",
        },
    )
    connection.execute(
        "insert into raw.event_keys (message_key, received_at) select md5(message_id)::uuid, received_at "
        "from raw.events where loaded_xid = pg_current_xact_id()::text::bigint on conflict do nothing"
    )


def _content_count(subscriber_count: int) -> int:
    """A title for twenty people, as many as a media house offers at most."""
    return min(5_000, subscriber_count // 20)
