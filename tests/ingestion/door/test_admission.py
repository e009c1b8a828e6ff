"""A call becomes a row, or is set aside with the reason; whatever it is, nothing is raised."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from ingestion.collector.storing import store
from ingestion.door.admission import Admission, Admitted, Arrival, SetAside
from marquee import database
from marquee.settings import Settings
from tests.ingestion.door.calls import ARRIVAL, DOOR, NOW, call, row, sent_with_clock_off_by


def _aside(**changes: object) -> tuple[str, str | None, str]:
    admission = DOOR.admit(call(**changes), ARRIVAL)
    assert isinstance(admission, SetAside), admission
    return admission.field, admission.value, admission.reason


def test_every_identifier_has_its_column() -> None:
    context = {"device": {"id": 7, "type": "ios", "advertisingId": "ad-1"}, "consent": _granted("advertising")}
    found = row(
        DOOR.admit(
            call(
                type="identify",
                event=None,
                anonymousId="a-1",
                context=context,
                traits={"email": "Ann@Example.com", "phone": "+44 20", "plan": "basic", "is_simulated": True},
            ),
            ARRIVAL,
        )
    )
    assert (found.user_id, found.anonymous_id, found.device_id, found.advertising_id) == ("u-1", "a-1", "7", "ad-1")
    assert (found.email, found.phone, found.device_type) == ("Ann@Example.com", "+44 20", "mobile")
    assert (json.loads(found.properties), found.is_simulated, found.event) == ({"plan": "basic"}, True, None)
    alias = row(DOOR.admit(call(type="alias", event=None, previousId="a-1"), ARRIVAL))
    assert (alias.event_type, alias.previous_id, alias.user_id) == ("alias", "a-1", "u-1")
    company = {"name": "The Household", "email": "home@example.com"}
    group = row(DOOR.admit(call(type="group", event=None, groupId="g-1", traits=company), ARRIVAL))
    assert (group.group_id, group.email) == ("g-1", None)
    by_context = row(DOOR.admit(call(context={"traits": {"email": "ann@example.com"}}), ARRIVAL))
    assert by_context.email == "ann@example.com"


def _granted(*purposes: str) -> dict[str, object]:
    return {"categoryPreferences": dict.fromkeys(purposes, True)}


@pytest.mark.parametrize("advertising_id", ["00000000-0000-0000-0000-000000000000", "real"])
def test_an_advertising_id_that_is_switched_off_is_none(advertising_id: str) -> None:
    device = {"advertisingId": advertising_id, "adTrackingEnabled": advertising_id != "real"}
    context = {"device": device, "consent": _granted("advertising")}
    assert row(DOOR.admit(call(context=context), ARRIVAL)).advertising_id is None


@pytest.mark.parametrize(
    ("event", "properties", "content_id", "fraction"),
    [
        ("Video Playback Exited", {"content_id": "c", "watched_fraction": 0.4}, "c", 0.4),
        ("Video Playback Exited", {"content_asset_ids": ["c", "d"], "position": 30, "total_length": 120}, "c", 0.25),
        ("Video Content Playing", {"asset_id": "c", "position": 130, "total_length": 120}, "c", 1.0),
        ("Video Content Playing", {"asset_id": "c", "position": 5, "total_length": 0}, "c", None),
        # the position and the asset of an ad are not the film's
        ("Video Ad Started", {"asset_id": "ad", "content_id": "c", "position": 5, "total_length": 10}, "c", None),
        ("Article Read", {"content_id": 12, "watched_fraction": None}, "12", None),
    ],
)
def test_content_and_watched_share_are_found(
    event: str, properties: dict[str, object], content_id: str, fraction: float | None
) -> None:
    changes = {"content_id": "12"} if isinstance(properties.get("content_id"), int) else {}
    found = row(DOOR.admit(call(event=event, properties={**properties, **changes}), ARRIVAL))
    assert (found.content_id, found.watched_fraction) == (content_id, fraction)


@pytest.mark.parametrize("ahead", [-86_400, -3_600, 0, 90, 86_400])
def test_a_clock_that_is_off_is_corrected_by_its_own_sending_time(ahead: float) -> None:
    really = NOW - timedelta(minutes=5)
    said = (really + timedelta(seconds=ahead)).isoformat()
    assert row(DOOR.admit(call(timestamp=said), sent_with_clock_off_by(ahead))).occurred_at == really


def test_an_event_never_occurs_after_it_arrived() -> None:
    tomorrow = (NOW + timedelta(days=1)).isoformat()
    assert row(DOOR.admit(call(timestamp=tomorrow), ARRIVAL)).occurred_at == NOW
    assert row(DOOR.admit(call(timestamp=tomorrow), Arrival("live", NOW, NOW))).occurred_at == NOW
    assert row(DOOR.admit(call(timestamp=None), ARRIVAL)).occurred_at == NOW
    assert row(DOOR.admit(call(timestamp="2026-11-24T10:00:00+02:00"), ARRIVAL)).occurred_at == NOW.replace(hour=8)


def test_a_deprecated_name_is_stored_under_the_name_of_now() -> None:
    found = row(DOOR.admit(call(event="Search Performed", properties={"query": "comedy"}), ARRIVAL))
    assert (found.event, found.schema_version) == ("Content Searched", "1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event": "Teleported"}, ("event", "Teleported", "is not in the tracking plan")),
        ({"event": " "}, ("event", None, "is a track call without an event name")),
        ({"type": "teleport"}, ("type", "teleport", "is no call of the tracking plan")),
        ({"messageId": ""}, ("messageId", None, "is missing")),
        ({"messageId": "m" * 201}, ("messageId", "m" * 201, "is longer than 200 characters")),
        ({"userId": None}, ("userId", None, "has neither userId nor anonymousId")),
        ({"userId": True}, ("userId", "True", "is not text")),
        ({"userId": "a\x00"}, ("userId", "a\\x00", "holds a NUL character, which no database text can")),
        ({"type": "alias"}, ("previousId", None, "is missing")),
        ({"timestamp": "half past nine"}, ("timestamp", "half past nine", "is not an ISO 8601 moment")),
        ({"timestamp": "1969-12-31"}, ("timestamp", "1969-12-31", "is not a moment between 1970 and 2200")),
        ({"properties": []}, ("properties", "[]", "is not an object")),
        ({"context": "x"}, ("context", "x", "is not an object")),
        (
            {"properties": {}},
            ("properties", None, "has none of content_id, content_asset_id, content_asset_ids"),
        ),
        ({"event": "Content Searched"}, ("properties.query", None, "is missing")),
        (
            {"properties": {"content_id": "c", "watched_fraction": 17}},
            ("properties.watched_fraction", "17", "17 is greater than the maximum of 1"),
        ),
        (
            {"properties": {"content_id": "c", "genres": ["a", 3]}},
            ("properties.genres.1", "3", '3 is not of type "string"'),
        ),
        (
            {"properties": {"content_id": "c", "more": "\x00"}},
            ("properties", None, "holds a NUL character, which no database text can"),
        ),
        (
            {"properties": {"content_id": "c", "more": float("nan")}},
            ("properties", None, "holds a number that is not finite, which JSON cannot"),
        ),
        (
            {"context": {"schemaVersion": 9}},
            ("context.schemaVersion", "9", "is no version of this event; there is 1"),
        ),
        (
            {"context": {"consent": {"categoryPreferences": {"analytics": "yes"}}}},
            ("context.consent.categoryPreferences.analytics", "yes", "is neither true nor false"),
        ),
    ],
)
def test_what_cannot_be_admitted_says_which_field_and_why(
    changes: dict[str, object], expected: tuple[str, str | None, str]
) -> None:
    assert _aside(**changes) == expected


ANY_TEXT = st.text(max_size=8) | st.sampled_from(["\x00", "\ud800", "1e400", "-1", "2026-02-31", "\u2028", "\\u0000"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["type", "messageId", "event", "userId", "timestamp", "properties", "traits", "context"])
INNER = st.sampled_from(
    [
        "content_id", "watched_fraction", "position", "total_length", "email", "is_simulated", "device", "consent",
        "gpc", "ip", "userAgent", "page", "location", "schemaVersion", "traits", "id", "advertisingId",
        "categoryPreferences", "tcf", "gpp",
    ]
)  # fmt: skip
ANY_NAME = INNER | INNER | ANY_TEXT
LIKELY = st.dictionaries(INNER, st.dictionaries(ANY_NAME, ANY_JSON, max_size=2) | ANY_JSON, max_size=4)
ANY_CALL = st.dictionaries(NAMES, ANY_JSON, max_size=6) | st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "page", "identify", "group", "alias"]),
        "messageId": st.uuids().map(str),
        "event": st.sampled_from(["Video Playback Exited", "Content Searched", "Signed In"]),
        "userId": ANY_JSON,
        "previousId": st.just("a"),
        "groupId": st.just("g"),
    },
    optional={"timestamp": ANY_JSON, "properties": LIKELY, "traits": LIKELY, "context": LIKELY},
)


@pytest.fixture(scope="module")
def connection(make_database: Callable[[], str]) -> Iterator[Connection[DictRow]]:
    with database.connect(Settings(database_url=SecretStr(make_database()))) as connection:
        yield connection


@hypothesis_settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(ANY_CALL, min_size=1, max_size=6))
def test_any_call_is_admitted_set_aside_or_dropped_and_what_comes_of_it_is_stored(
    connection: Connection[DictRow], calls: list[dict[str, object]]
) -> None:
    admissions: list[Admission] = [DOOR.admit(one, Arrival("live", NOW, ip="::1", user_agent="x")) for one in calls]
    with connection.transaction(force_rollback=True):
        counts = store(connection, "live", admissions)
    ids = {one.message_id for one in admissions if isinstance(one, Admitted)}
    assert counts.stored == len(ids)


def test_what_was_admitted_is_in_the_table_as_it_was_said(warehouse: Connection[DictRow]) -> None:
    properties = {
        "content_id": "c",
        "watched_fraction": 0.5,
        "title": 'tab\t "quote" \\ \u2028 \U0001f600',
        "rating": 4,
    }
    arrival = Arrival("live", NOW, NOW, "203.0.113.77", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0")
    store(warehouse, "live", [DOOR.admit(call(properties=properties, context={"locale": "de"}), arrival)])
    stored = warehouse.execute("select * from raw.events").fetchone()
    assert stored is not None
    assert stored["properties"] == {"title": properties["title"], "rating": 4}
    agent = {"browser": "Firefox", "os": "Linux", "device": "web"}
    assert stored["context"] == {"locale": "de", "ip": "203.0.113.0", "userAgent": agent}
    assert (stored["device_type"], stored["received_at"], stored["sent_at"]) == ("web", NOW, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"context": {"consent": {"tcf": "\x00"}}},
        {"context": {"consent": {"gpp": "\ud800"}}},
        {"context": {"consent": {"categoryPreferences": {"\x00\ud800": 3}}}},
        {"context": {"userAgent": "\x00\ud800", "ip": "\ud800", "locale": "\x00"}},
        {"context": {"device": {"id": "\ud800"}}},
        {"event": "\x00"},
        {"messageId": "\ud800"},
        {"properties": {"content_id": "c", "\ud800": 1}},
        {"properties": {1: 2}},
        {"properties": {"content_id": "c", "more": 10**40}},
        {"timestamp": 10**400},
        {"userId": 10**400},
        {"userId": float("inf")},
    ],
)
def test_no_poison_reaches_the_database(warehouse: Connection[DictRow], changes: dict[str, object]) -> None:
    admission = DOOR.admit(call(**changes), ARRIVAL)
    assert isinstance(admission, SetAside)
    assert store(warehouse, "live", [admission]).set_aside == 1
