"""Accepted messages are found through the Email Activity API's query language."""

from datetime import datetime

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from activation.channels.email.sender import EmailSender
from tests.activation.email.conftest import Endpoint, make_message


@pytest.fixture
def ids(endpoint: Endpoint, sender: EmailSender) -> dict[str, str]:
    """Provider's ids of three messages, by send_id."""
    messages = [
        make_message("one"),
        make_message("two", to_email="bob@example.org", subject='Say "hi"', categories=("onboarding", "day_3")),
        make_message("it's", to_email="eve@example.org", subject="100% yours"),
    ]
    return {message.custom_args["send_id"]: sender.send(message) for message in messages}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"one", "two", "it's"}),
        ("unique_args['send_id']=\"one\"", {"one"}),
        ("unique_args['send_id'] = \"it's\"", {"it's"}),
        ("unique_args['send_id']=\"on\"", set()),
        ("unique_args['send_id']!=\"one\"", {"two", "it's"}),
        ("unique_args['missing']=\"one\"", set()),
        ('unique_args[\'campaign_id\']="re_engagement" AND to_email="bob@example.org"', {"two"}),
        ('to_email LIKE "%@example.org"', {"two", "it's"}),
        ('to_email="bob@example.org" OR to_email="ada@example.com"', {"one", "two"}),
        ('(to_email="bob@example.org" OR subject="100% yours") AND status="delivered"', {"two", "it's"}),
        ('subject="Say \\"hi\\""', {"two"}),
        ('subject LIKE "%\\\\"', set()),
        ('CONTAINS(categories, "day_3")', {"two"}),
        ('from_email="hello@marquee.example"', {"one", "two", "it's"}),
        ('status="not_delivered"', set()),
    ],
)
def test_a_query_finds_its_messages(endpoint: Endpoint, ids: dict[str, str], query: str, expected: set[str]) -> None:
    answer = endpoint.search(query)
    assert answer.status_code == 200
    found = {message["msg_id"].partition(".")[0] for message in answer.json()["messages"]}
    assert found == {ids[send_id] for send_id in expected}


def test_a_message_is_found_by_the_id_under_which_it_is_listed(endpoint: Endpoint, ids: dict[str, str]) -> None:
    (listed,) = endpoint.search(f'msg_id LIKE "{ids["two"]}%"').json()["messages"]
    assert listed["msg_id"].startswith(f"{ids['two']}.")
    assert endpoint.search(f'msg_id="{listed["msg_id"]}"').json()["messages"] == [listed]


def test_a_listed_message_has_the_fields_of_sendgrids(endpoint: Endpoint, ids: dict[str, str]) -> None:
    (listed,) = endpoint.search("unique_args['send_id']=\"two\"").json()["messages"]
    assert datetime.strptime(listed.pop("last_event_time"), "%Y-%m-%dT%H:%M:%SZ")
    assert listed.pop("msg_id")
    assert listed == {
        "from_email": "hello@marquee.example",
        "to_email": "bob@example.org",
        "subject": 'Say "hi"',
        "status": "delivered",
        "opens_count": 0,
        "clicks_count": 0,
    }


def test_the_newest_come_first_and_no_more_than_asked_for(endpoint: Endpoint, ids: dict[str, str]) -> None:
    listed = endpoint.search("", limit=2).json()["messages"]
    assert [one["msg_id"].partition(".")[0] for one in listed] == [ids["it's"], ids["two"]]


@pytest.mark.parametrize(
    "query",
    ["to_email", "subject=", "subject=x", 'colour="red"', '(to_email="a"', 'to_email="a")', 'to_email="a" subject="b"',
     'to_email > "a"', 'unique_args="a"', "unique_args['a'", 'CONTAINS(subject, "a")', "(" * 400, 'to_email="a" AND',
     'to_email="\x00"', "; drop table x"],
)  # fmt: skip
def test_a_query_that_is_not_understood_is_refused_with_the_place(endpoint: Endpoint, query: str) -> None:
    answer = endpoint.search(query)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"][:14]) == ("query", "invalid query:")


@pytest.mark.parametrize("limit", [0, 1001])
def test_the_limit_is_between_one_and_a_thousand(endpoint: Endpoint, limit: int) -> None:
    answer = endpoint.search("", limit=limit)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "limit"


_pieces = st.sampled_from(
    ["to_email", "unique_args", "['a']", "=", "!=", "LIKE", '"a"', '"\\"', '"%\\\\"', "AND", "OR", "(", ")", ",",
     "CONTAINS", "categories", "'", "\\", "é", "%s", "%(x)s", "{}"]
)  # fmt: skip


@hypothesis_settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.lists(_pieces, max_size=9).map(" ".join) | st.text(max_size=30))
def test_any_query_is_answered_or_refused(endpoint: Endpoint, query: str) -> None:
    assert endpoint.search(query).status_code in (200, 400)
