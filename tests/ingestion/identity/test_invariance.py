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
    Decided,
    adopt,
    catch_up,
    empty,
    groups,
    profiles,
    rebuild,
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
