"""What is left of a context: nothing that finds a person's house, and twice the same."""

import json

import pytest

from ingestion.door.admission import Arrival
from ingestion.door.reduction import Reducer, reduced_user_agent, truncated_ip
from tests.ingestion.door.calls import DOOR, NOW, POLICY, call, door_with, row


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.77", "203.0.113.0"),
        (" 203.0.113.77 ", "203.0.113.0"),
        ("2001:db8:abcd:12::1", "2001:db8:abcd::"),
        ("[2001:db8:abcd:12::1]", "2001:db8:abcd::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("203.0.113", None),
        ("fe80::1%" + "e" * 300, None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_cut_short(address: str | None, expected: str | None) -> None:
    assert truncated_ip(address) == expected
    assert truncated_ip(expected) == expected


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
            "Safari/537.36",
            ("Chrome", "Windows", "web"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.4 Mobile/15E148 Safari/604.1",
            ("Mobile Safari", "iOS", "web"),
        ),
        ("Marquee/7 CFNetwork/1410.0.3 Darwin/22.6.0", ("Marquee", "iOS", "mobile")),
        ("okhttp/4.12.0", ("okhttp", "Other", "mobile")),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/6.0 TV "
            "Safari/538.1",
            ("Safari", "Tizen", "connected_tv"),
        ),
        ("Roku/DVP-9.10 (519.10E04111A)", ("Roku", "Roku", "connected_tv")),
        ("analytics-python/2.3.2", ("Other", "Other", "server")),
    ],
)
def test_a_user_agent_becomes_families_and_a_class(agent: str, expected: tuple[str, str, str]) -> None:
    assert tuple(reduced_user_agent(agent).values()) == expected


CONTEXT: dict[str, object] = {
    "ip": "203.0.113.77",
    "locale": "de-DE",
    "timezone": "Europe/Berlin",
    "location": {"country": "DE", "region": "BE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4},
    "network": {"wifi": True, "carrier": "one"},
    "device": {"id": "d", "type": "web", "model": "Pixel 9", "name": "Ann's phone", "manufacturer": "Google"},
    "page": {
        "url": "https://a.example/reset?token=secret#x",
        "path": "/reset",
        "title": "Reset",
        "search": "?token=secret",
    },
    "os": {"name": "Android", "version": "15"},
    "app": "no object",
    "favourite": "unknown keys are not kept",
}


def test_only_what_the_policy_names_is_kept() -> None:
    found = row(DOOR.admit(call(context=CONTEXT), Arrival("live", NOW, ip="198.51.100.9", user_agent="okhttp/4.12.0")))
    assert json.loads(found.context) == {
        "ip": "203.0.113.0",
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
        "location": {"country": "DE", "region": "BE"},
        "device": {"manufacturer": "Google", "model": "Pixel 9"},
        "page": {"path": "/reset", "title": "Reset", "url": "https://a.example/reset"},
        "os": {"name": "Android", "version": "15"},
        "userAgent": {"browser": "okhttp", "os": "Other", "device": "mobile"},
    }
    bare = door_with(ip="drop", user_agent="drop", context={})
    arrival = Arrival("live", NOW, ip="198.51.100.9", user_agent="okhttp/4.12.0")
    assert json.loads(row(bare.admit(call(context=CONTEXT), arrival)).context) == {}


def test_reducing_twice_is_reducing_once() -> None:
    reducer = Reducer(POLICY)
    once, agent = reducer.reduce(CONTEXT, None, "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0")
    assert reducer.reduce(once, None, None) == (once, agent)
