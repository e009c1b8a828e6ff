"""Simulated people in a warehouse, of any number, and among them some whom a wrong record makes one with somebody else.

In: a connection, how many people, how many mistakes of each sort. Out: raw rows, and an identifier of each mistaken
profile. Three in four people have an account; the others are leads, known by an address and a browser, and half of
them by a contact. Honest people look odd too: contacts twice, with names cut short or pet names, birth years in two
digits or a year off, people who moved or travel, second addresses with or without a contact of their own, which may
lack the name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import Connection
from psycopg.rows import DictRow

# a bill that carries somebody else's address, an address typed in somebody else's browser, an alias for somebody else's
# browser, a tablet on which two people subscribe to a newsletter
MISTAKES = ("bill", "browser", "alias", "tablet")

_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Mistake:
    """One wrong record, and an identifier (`kind`, `value`) of the profile that it spoils."""

    sort: str
    kind: str
    value: str


# who people are, by their number: a person's contacts and browsers say the same
_PEOPLE = """
create temporary table people on commit drop as
select
    n, n <= %(accounts)s as has_account,
    'person' || n || '@example.com' as email,
    case when n %% 5 < 3 then '+447' || lpad(n::text, 9, '0') end as phone,
    (array[
        'Amalia', 'Benjamin', 'Camille', 'Daniela', 'Edwin', 'Florence', 'Gregor', 'Hannah', 'Ignacio', 'Josephine',
        'Konrad', 'Lorena', 'Marius', 'Nadia', 'Oliver', 'Paulina', 'Quentin', 'Rosalie', 'Stefan', 'Theresa',
        'Ulrich', 'Valerie', 'Wilhelm', 'Xenia', 'Yannick', 'Zelda', 'Antonia', 'Bernard', 'Clarissa', 'Dominik'
    ])[hashtext('name' || n) %% 15 + 15] as first_name,
    1950 + (hashtext('born' || n) & 1023) %% 55 as born,
    case when n %% 20 > 0 then (array['F', 'M'])[n %% 2 + 1] end as gender,
    (hashtext('country' || n) & 1023) %% 6 + 1 as country_no,
    %(start)s + interval '1 hour' * ((hashtext('seen' || n) & 65535) %% 1400) as seen_at
from generate_series(1, %(people)s) as n
"""

_COUNTRY = "(array['DE', 'FR', 'GB', 'US', 'BR', 'JP'])"
_ZONE = (
    "(array['Europe/Berlin', 'Europe/Paris', 'Europe/London', 'America/New_York', 'America/Sao_Paulo', 'Asia/Tokyo'])"
)

_CONTACTS = f"""
insert into raw.crm_contacts (
    source, source_key, row_hash, crm_id, user_id, email, phone, first_name, birth_year, gender, country, updated_at,
    is_simulated
)
select 'crm', key, 'hash', key, user_id, email, phone, first_name, born, gender, country, seen_at, true
from (
    select 'crm-' || n as key, case when has_account then 'user-' || n end as user_id, email, phone, first_name,
        born::text as born, gender, {_COUNTRY}[country_no] as country, seen_at
    from people
    where has_account or n %% 2 = 0
    union all
    select 'twin-' || n, null, email, null,
        case when n %% 75 = 0 then 'Sunny' when n %% 3 = 0 then first_name when n %% 3 = 1 then left(first_name, 3) end,
        case n %% 4 when 0 then right(born::text, 2) when 1 then (born + 1)::text else born::text end, gender,
        {_COUNTRY}[case when n %% 50 = 0 then country_no %% 6 + 1 else country_no end], seen_at
    from people
    where has_account and n %% 25 = 0
    union all
    select 'second-' || n, null, 'other' || n || '@example.org', null, case when n %% 3 > 0 then first_name end,
        case when n %% 7 > 0 then born::text end, gender,
        {_COUNTRY}[country_no], seen_at
    from people
    where has_account and n %% 40 = 7
) as contacts
"""

_EVENTS = f"""
insert into raw.events (
    source, message_id, event_type, user_id, anonymous_id, device_id, email, previous_id, context, occurred_at,
    received_at, is_simulated
)
select 'web', message_id, event_type, user_id, anonymous_id, device_id, email, previous_id,
    jsonb_build_object('timezone', {_ZONE}[zone_no]), occurred_at, occurred_at, true
from (
    -- a visit signed out, and two signed in if there is an account
    select 'visit-' || n || '-' || client || '-' || visit as message_id, 'track' as event_type,
        case when has_account and visit > 1 then 'user-' || n end as user_id,
        'a-' || n || '-' || client as anonymous_id, 'd-' || n || '-' || client as device_id, null as email,
        null as previous_id,
        -- some travel between two visits
        case when n %% 20 = 3 and visit = 3 then country_no %% 6 + 1 else country_no end as zone_no,
        seen_at + interval '1 day' * visit + interval '10 minutes' * client as occurred_at
    from people cross join generate_series(1, 2) as client cross join generate_series(1, 3) as visit
    where client = 1 or n %% 4 = 1
    union all
    select 'address-' || n, 'identify', case when has_account then 'user-' || n end, 'a-' || n || '-1',
        'd-' || n || '-1', email, null, country_no, seen_at + interval '25 hours'
    from people
    where not has_account or n %% 3 = 0
    union all
    select 'second-' || n, 'identify', 'user-' || n, 'a-' || n || '-1', 'd-' || n || '-1',
        'other' || n || '@example.org', null, country_no, seen_at + interval '30 hours'
    from people
    where has_account and n %% 20 = 7
) as calls
"""

# Of the mistakes of sort s (from 0) number i is that of the account s * each + i and the lead of that number.
_WRONG_BILLS = """
insert into raw.billing_subscriptions (
    source, source_key, row_hash, billing_id, user_id, email, updated_at, is_simulated
)
select 'billing', 'bill-' || i, 'hash', 'bill-' || i, 'user-' || i, lead.email, lead.seen_at, true
from generate_series(1, %(each)s) as i
inner join people as lead on lead.n = %(accounts)s + i
"""

_WRONG_CALLS = f"""
insert into raw.events (
    source, message_id, event_type, user_id, anonymous_id, device_id, email, previous_id, context, occurred_at,
    received_at, is_simulated
)
select 'web', message_id, event_type, user_id, anonymous_id, device_id, email, previous_id,
    jsonb_build_object('timezone', {_ZONE}[zone_no]), occurred_at, occurred_at, true
from (
    select 'wrong-browser-' || i as message_id, 'identify' as event_type, 'user-' || account.n as user_id,
        'a-' || account.n || '-1' as anonymous_id, 'd-' || account.n || '-1' as device_id, lead.email as email,
        null as previous_id, account.country_no as zone_no, account.seen_at + interval '40 hours' as occurred_at
    from generate_series(1, %(each)s) as i
    inner join people as account on account.n = %(each)s + i
    inner join people as lead on lead.n = %(accounts)s + %(each)s + i
    union all
    select 'wrong-alias-' || i, 'alias', 'user-' || account.n, null, null, null, 'a-' || lead.n || '-1',
        account.country_no, account.seen_at + interval '40 hours'
    from generate_series(1, %(each)s) as i
    inner join people as account on account.n = 2 * %(each)s + i
    inner join people as lead on lead.n = %(accounts)s + 2 * %(each)s + i
    union all
    -- both are about at the same time, each at home
    select 'wrong-alias-' || i || '-' || one.n, 'track', null, 'a-' || one.n || '-1', 'd-' || one.n || '-1', null, null,
        one.country_no, %(start)s + interval '90 days' + interval '5 minutes' * (one.n %% 3)
    from generate_series(1, %(each)s) as i
    inner join people as one on one.n in (2 * %(each)s + i, %(accounts)s + 2 * %(each)s + i)
    union all
    select 'wrong-tablet-' || i, 'identify', null, 'a-tablet-' || i, 'd-' || lead.n || '-1', other.email, null,
        lead.country_no, lead.seen_at + interval '40 hours'
    from generate_series(1, %(each)s) as i
    inner join people as lead on lead.n = %(accounts)s + 3 * %(each)s + i
    inner join people as other on other.n = %(accounts)s + 4 * %(each)s + i
) as calls
"""


def make_world(connection: Connection[DictRow], people: int, each: int) -> list[Mistake]:
    """Write the rows, with `each` mistakes of each sort; `people` must be 20 times that at least."""
    values = {"people": people, "accounts": _accounts(people), "each": each, "start": _START}
    for statement in (_PEOPLE, _CONTACTS, _EVENTS, _WRONG_BILLS, _WRONG_CALLS):
        connection.execute(statement.encode(), values)
    connection.commit()
    return list(_mistakes(people, each))


def _mistakes(people: int, each: int) -> Iterator[Mistake]:
    for place, sort in enumerate(MISTAKES):
        for number in range(1, each + 1):
            if sort == "tablet":
                yield Mistake(sort, "device_id", f"d-{_accounts(people) + place * each + number}-1")
            else:
                yield Mistake(sort, "user_id", f"user-{place * each + number}")


def _accounts(people: int) -> int:
    return people * 3 // 4
