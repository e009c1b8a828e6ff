"""The endpoint accepts and refuses Mail Send requests as SendGrid does."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from activation.channels.email.api_key import LOCAL_KEY
from activation.channels.email.mail_send import MAX_BYTES
from tests.activation.email.conftest import Endpoint, make_request

_ERROR_KEYS = {"message", "field", "help"}


def test_a_good_request_is_stored_and_answered_with_an_id_and_no_body(endpoint: Endpoint) -> None:
    answer = endpoint.post(
        make_request(
            categories=["onboarding"],
            custom_args={"send_id": "1", "campaign_id": "onboarding"},
            headers={"X-One": "all"},
            personalizations=[
                {
                    "to": [{"email": "ada@example.com"}],
                    "subject": "Only for Ada",
                    "custom_args": {"send_id": "2"},
                    "headers": {"X-Two": "own"},
                }
            ],
        )
    )
    assert (answer.status_code, answer.content) == (202, b"")
    (row,) = endpoint.stored()
    assert row["provider_message_id"] == answer.headers["X-Message-Id"]
    assert (row["from_email"], row["to_email"]) == ("hello@marquee.example", "ada@example.com")
    assert (row["subject"], row["html"], row["plain"]) == ("Only for Ada", "<p>Hello", "Hello")
    assert row["categories"] == ["onboarding"]
    assert row["custom_args"] == {"send_id": "2", "campaign_id": "onboarding"}
    assert row["headers"] == {"X-One": "all", "X-Two": "own"}
    assert row["payload"]["from"]["name"] == "Marquee"


def test_every_recipient_of_a_request_gets_a_row_of_their_own(endpoint: Endpoint) -> None:
    answer = endpoint.post(
        make_request(
            personalizations=[
                {"to": [{"email": "a@example.com"}], "cc": [{"email": "b@example.com"}]},
                {"to": [{"email": "a@example.com"}], "bcc": [{"email": "c@example.com"}]},
            ]
        )
    )
    rows = endpoint.stored()
    assert sorted(row["to_email"] for row in rows) == [
        "a@example.com",
        "a@example.com",
        "b@example.com",
        "c@example.com",
    ]
    assert all(row["provider_message_id"].startswith(answer.headers["X-Message-Id"]) for row in rows)
    assert all(len(row["payload"]["personalizations"]) == 1 for row in rows)


def _recipients(count: int) -> list[dict[str, str]]:
    return [{"email": f"p{number}@example.com"} for number in range(count)]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"from": None}, "from", "The from object is required."),
        ({"from": {"email": "nobody"}}, "from.email", "valid address"),
        ({"personalizations": None}, "personalizations", "The personalizations array is required."),
        ({"personalizations": []}, "personalizations", "at least one entry"),
        ({"personalizations": [{}]}, "personalizations.0.to", "The to array is required."),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to", "at least one entry"),
        ({"personalizations": [{"to": [{"email": "no address"}]}]}, "personalizations.0.to.0.email", "valid address"),
        ({"personalizations": [{"to": _recipients(1)}] * 1001}, "personalizations", "limited to 1000"),
        ({"personalizations": [{"to": _recipients(1001)}]}, "personalizations", "1000 total recipients"),
        (
            {"personalizations": [{"to": _recipients(600)}, {"to": _recipients(1), "bcc": _recipients(401)[1:]}]},
            "personalizations",
            "1000 total recipients",
        ),
        (
            {"personalizations": [{"to": _recipients(1), "cc": [{"email": "P0@example.com"}]}]},
            "personalizations.0",
            "should be unique between to, cc, and bcc",
        ),
        ({"subject": None}, "subject", "The subject is required."),
        ({"subject": ""}, "subject", "The subject is required."),
        ({"subject": 7}, "subject", "string"),
        ({"content": None}, "content", "Unless a valid template_id is provided"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value", "at least one character"),
        ({"content": [{"value": "x"}]}, "content.0.type", "required"),
        (
            {"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]},
            "content",
            "text/plain must be the first",
        ),
        ({"content": [{"type": "text/plain", "value": "x"}] * 2}, "content", "only be provided once"),
        ({"categories": [str(number) for number in range(11)]}, "categories", "limited to 10"),
        ({"categories": ["a", "a"]}, "categories", "unique"),
        ({"categories": ["é"]}, "categories.0", "ASCII"),
        ({"categories": ["x" * 256]}, "categories.0", "255"),
        ({"custom_args": {"a": "x" * 10_000}}, "personalizations.0.custom_args", "less than 10000 bytes"),
        ({"custom_args": {"a": 1}}, "custom_args.a", "string"),
        ({"headers": {"Subject": "x"}}, "headers", "The header Subject is reserved"),
        ({"headers": {"X-A": "x\r\nBcc: y@example.com"}}, "headers", "line break"),
        (
            {"personalizations": [{"to": _recipients(1), "headers": {"dkim-signature": "x"}}]},
            "personalizations.0.headers",
            "reserved",
        ),
        ({"reply_to": _recipients(1)[0], "reply_to_list": _recipients(1)}, "reply_to_list", "not both"),
        ({"attachments": [{"filename": "a.txt"}]}, "attachments.0.content", "required"),
        ({"subject": "\x00"}, None, "NUL"),
    ],
)  # fmt: skip
def test_a_faulty_request_is_refused_in_sendgrids_shape_and_not_stored(
    endpoint: Endpoint, changes: dict[str, object], field: str | None, words: str
) -> None:
    answer = endpoint.post(make_request(**changes))
    assert answer.status_code == 400
    errors = answer.json()["errors"]
    assert all(set(error) == _ERROR_KEYS for error in errors)
    found = [error for error in errors if error["field"] == field and words in error["message"]]
    assert found, errors
    assert endpoint.stored() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'"\\ud800"',
        b"[" * 5000,
        b"\xff\xfe\xfa",
    ],
)
def test_a_body_that_is_no_request_is_refused(endpoint: Endpoint, body: bytes) -> None:
    answer = httpx.post(
        f"{endpoint.url}/v3/mail/send",
        content=body,
        headers={"Authorization": f"Bearer {LOCAL_KEY}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"].startswith("Bad Request")


def test_what_the_api_does_not_know_must_still_not_be_nested_without_end(endpoint: Endpoint) -> None:
    nested: object = "x"
    for _ in range(400):
        nested = [nested]
    assert endpoint.post(make_request(new_field=nested)).status_code == 400
    assert endpoint.post(make_request(new_field={"kept": [1]})).status_code == 202
    assert endpoint.stored()[0]["payload"]["new_field"] == {"kept": [1]}


def test_a_thousand_recipients_are_accepted_at_once(endpoint: Endpoint) -> None:
    assert endpoint.post(make_request(personalizations=[{"to": _recipients(1000)}])).status_code == 202
    assert len(endpoint.stored()) == 1000


def test_a_template_brings_its_own_subject_and_content(endpoint: Endpoint) -> None:
    assert endpoint.post(make_request(subject=None, content=None, template_id="d-1")).status_code == 202
    (row,) = endpoint.stored()
    assert (row["subject"], row["html"], row["payload"]["template_id"]) == ("", None, "d-1")


def test_sandbox_mode_checks_the_request_and_stores_nothing(endpoint: Endpoint) -> None:
    sandbox = {"sandbox_mode": {"enable": True}}
    assert endpoint.post(make_request(mail_settings=sandbox)).status_code == 200
    assert endpoint.post(make_request(mail_settings=sandbox, subject=None)).status_code == 400
    assert endpoint.stored() == []


def test_an_attachment_is_described_and_not_kept(endpoint: Endpoint) -> None:
    file = {"content": "eHh4", "filename": "a.txt", "type": "text/plain"}
    assert endpoint.post(make_request(attachments=[file])).status_code == 202
    kept = {"filename": "a.txt", "type": "text/plain", "base64_length": 4}
    assert endpoint.stored()[0]["payload"]["attachments"] == [kept]


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", f"Basic {LOCAL_KEY}", f"Bearer {LOCAL_KEY}x"])
@pytest.mark.parametrize("path", ["/v3/mail/send", "/v3/messages"])
def test_without_the_right_key_nothing_is_accepted_or_told(endpoint: Endpoint, key: str, path: str) -> None:
    method = "POST" if path == "/v3/mail/send" else "GET"
    answer = httpx.request(method, endpoint.url + path, json=make_request(), headers={"Authorization": key})
    assert answer.status_code == 401
    assert answer.json()["errors"] == [
        {"message": "The provided authorization grant is invalid, expired, or revoked", "field": None, "help": None}
    ]
    assert endpoint.stored() == []


def test_only_json_is_taken(endpoint: Endpoint) -> None:
    answer = httpx.post(
        f"{endpoint.url}/v3/mail/send",
        content=json.dumps(make_request()),
        headers={"Authorization": f"Bearer {LOCAL_KEY}", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 415
    assert set(answer.json()["errors"][0]) == _ERROR_KEYS


def test_more_than_thirty_megabytes_are_too_large(endpoint: Endpoint) -> None:
    content = [{"type": "text/plain", "value": "x" * MAX_BYTES}]
    answer = endpoint.post(make_request(content=content))
    assert answer.status_code == 413
    assert endpoint.stored() == []


def test_an_unknown_address_of_the_api_is_refused_in_the_same_shape(endpoint: Endpoint) -> None:
    answer = httpx.get(f"{endpoint.url}/v3/nowhere", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert set(answer.json()["errors"][0]) == _ERROR_KEYS


_texts = st.text(st.characters(), max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


def _property(examples: int) -> hypothesis_settings:
    # the endpoint is one for the module, whatever the example
    return hypothesis_settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


_fields = st.sampled_from(
    ["personalizations", "from", "subject", "content", "categories", "custom_args", "headers", "reply_to", "send_at",
     "template_id", "mail_settings", "attachments", "asm", "something_new"]
)  # fmt: skip


@_property(60)
@given(payload=_json)
def test_any_json_is_accepted_or_refused_and_never_breaks_the_endpoint(endpoint: Endpoint, payload: object) -> None:
    assert _status_of(endpoint, payload) == 400


@_property(120)
@given(changes=st.dictionaries(_fields, _json, min_size=1, max_size=2))
def test_any_value_in_a_good_request_is_accepted_or_refused(endpoint: Endpoint, changes: dict[str, object]) -> None:
    assert _status_of(endpoint, {**make_request(), **changes}) in (200, 202, 400)


@_property(60)
@given(subject=_texts, plain=_texts, name=_texts, key=_texts, value=_texts, new=_json)
def test_what_is_accepted_is_stored_as_it_was_sent(
    endpoint: Endpoint, subject: str, plain: str, name: str, key: str, value: str, new: object
) -> None:
    status = _status_of(
        endpoint,
        make_request(
            subject=subject,
            content=[{"type": "text/plain", "value": plain}],
            custom_args={key: value},
            something_new=[new],
            **{"from": {"email": "a@example.com", "name": name}},
        ),
    )
    assert status in (202, 400)
    if status == 202:
        row = endpoint.newest()
        assert (row["subject"], row["plain"], row["custom_args"]) == (subject, plain, {key: value})


def _status_of(endpoint: Endpoint, payload: object) -> int:
    body = json.dumps(payload).encode()
    headers = {"Authorization": f"Bearer {LOCAL_KEY}", "Content-Type": "application/json"}
    return _client.post(f"{endpoint.url}/v3/mail/send", content=body, headers=headers).status_code


_client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=30)
