"""Whatever the order and the portions in which records come, identity is what one build from nothing makes of them."""

import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from tests.ingestion.identity.graph import (
    Call,
    Contact,
    Copy,
    Decided,
    adopt,
    catch_up,
    empty,
    groups,
    moment,
    profiles,
    rebuild,
    resolved,
    state,
    write,
)

_users = st.sampled_from(["u1", "u2", "u3", "u4"])
_emails = st.sampled_from(["a@example.com", "A+news@example.com", "b@example.com", "test@example.com"])
_anonymous = st.sampled_from(["a1", "a2", "a3"])
_devices = st.sampled_from(["tv", "phone"])
_calls = st.builds(
    Call,
    message_id=st.uuids().map(str),
    day=st.integers(0, 20),
    arrived=st.integers(0, 20),
    user_id=st.none() | _users,
    anonymous_id=st.none() | _anonymous,
    device_id=st.none() | _devices,
    email=st.none() | _emails,
    # often somebody's own id, sometimes one that nobody else names
    previous_id=st.none() | st.none() | _users | _anonymous | st.just("old"),
)
_contacts = st.builds(
    Contact,
    crm_id=st.sampled_from(["c1", "c2"]),
    day=st.integers(0, 20),
    user_id=st.none() | _users,
    email=st.none() | _emails,
    is_deleted=st.booleans(),
)
_decisions = st.builds(
    Decided,
    one=_users.map("user_id:{}".format),
    other=_users.map("user_id:{}".format) | _anonymous.map("anonymous_id:{}".format),
    decision=st.sampled_from(["joined", "parted", None]),
).filter(lambda decided: decided.one != decided.other)


def _possible(history: list[Call | Contact | Decided]) -> list[Call | Contact | Decided]:
    """Exports follow each other: a record vanishes after all that was said of it, and returns no earlier."""
    newest: dict[str, int] = {}
    vanished: dict[str, int] = {}
    possible: list[Call | Contact | Decided] = []
    for record in history:
        if isinstance(record, Contact):
            floor = newest if record.is_deleted else vanished
            record = replace(record, day=max(record.day, floor.get(record.crm_id, 0)))
            newest[record.crm_id] = max(record.day, newest.get(record.crm_id, 0))
            if record.is_deleted:
                vanished[record.crm_id] = record.day
        possible.append(record)
    return possible


_histories = st.lists(_calls | _calls | _contacts | _decisions, min_size=3, max_size=14).map(_possible)


def _delivered_otherwise(history: list[Call | Contact | Decided], seed: int) -> list[Call | Contact | Decided]:
    """The same records, calls in another order; a system's versions and a person's decisions keep theirs."""
    shuffled = random.Random(seed)
    calls = [record for record in history if isinstance(record, Call)]
    others = [record for record in history if not isinstance(record, Call)]
    shuffled.shuffle(calls)
    places = [isinstance(record, Call) for record in history]
    shuffled.shuffle(places)
    return [calls.pop() if is_call else others.pop(0) for is_call in places]


@given(history=_histories, seed=st.integers(0, 1_000), day=st.integers(0, 20))
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_live_in_portions_and_from_nothing_are_the_same(
    warehouse: Connection[DictRow], history: list[Call | Contact | Decided], seed: int, day: int
) -> None:
    adopt(warehouse)
    empty(warehouse)
    for record in history:
        write(warehouse, record)
        catch_up(warehouse)
    live = state(warehouse)
    live_then = groups(profiles(warehouse, day))
    rebuild(warehouse)
    assert state(warehouse) == live

    empty(warehouse)
    portions = random.Random(seed)
    for record in _delivered_otherwise(history, seed):
        write(warehouse, record)
        if portions.random() < 0.3:
            catch_up(warehouse)
    catch_up(warehouse)
    assert state(warehouse) == live

    empty(warehouse)
    known = [record for record in history if isinstance(record, Decided) or record.day <= day]
    write(warehouse, *known)
    rebuild(warehouse)
    assert groups(profiles(warehouse)) == live_then, "what is known of a past day is what was there on it"


@given(history=_histories, days=st.lists(st.integers(0, 3), min_size=14, max_size=14))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_copy_that_follows_what_changed_is_what_is_read_anew(
    warehouse: Connection[DictRow], history: list[Call | Contact | Decided], days: list[int]
) -> None:
    adopt(warehouse)
    empty(warehouse)
    copy = Copy({}, day=0, next_xid=0)
    for record, days_on in zip(history, days, strict=False):
        write(warehouse, record)
        # now and then the live path has taken it in before the build does
        if days_on != 1:
            catch_up(warehouse)
        # now and then several changes come between two builds
        if days_on:
            copy.follow(warehouse, copy.day + days_on)
            assert copy.rows == resolved(warehouse, copy.day)


def test_what_a_build_took_in_itself_it_does_not_look_at_again(graph: Connection[DictRow]) -> None:
    _write_many(graph, "first", 2_000, people=600)
    copy = Copy({}, day=0, next_xid=0)
    assert copy.follow(graph, 20) > 1_000
    write(graph, Call("new", day=20, arrived=20, user_id="somebody", anonymous_id="new"))
    assert copy.follow(graph, 20) == 2
    assert copy.rows == resolved(graph, 20)


def test_a_large_portion_leaves_what_a_build_from_nothing_leaves(graph: Connection[DictRow]) -> None:
    _write_many(graph, "first", 2_000, people=600)
    catch_up(graph)
    copy = Copy({}, day=0, next_xid=0)
    copy.follow(graph, 20)
    # more than a handful is counted, sorted and emptied in other ways, and this joins much of what was apart
    _write_many(graph, "second", 3_000, people=450)
    catch_up(graph)
    live = state(graph)
    copy.follow(graph, 21)
    assert copy.rows == resolved(graph, 21)
    rebuild(graph)
    assert state(graph) == live


def _write_many(graph: Connection[DictRow], prefix: str, count: int, people: int) -> None:
    """Calls of many people with several browsers, addresses and devices each, some of which others have too."""
    graph.execute(
        "insert into raw.events (source, message_id, event_type, user_id, anonymous_id, device_id, email, occurred_at, "
        "received_at, is_simulated) select 'web', %(prefix)s || n, 'track', "
        "case when n %% 3 = 0 then 'u' || n %% %(people)s end, 'a' || n %% (2 * %(people)s), "
        "case when n %% 5 = 0 then 'd' || n %% 311 end, case when n %% 7 = 0 then n %% 97 || '@example.com' end, "
        "%(start)s + n %% 17 * interval '1 day', %(start)s + n %% 13 * interval '1 day', true "
        "from generate_series(1, %(count)s) as n",
        {"prefix": prefix, "people": people, "count": count, "start": moment(0)},
    )
    graph.commit()
