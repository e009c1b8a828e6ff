"""The API as its clients meet it: clear refusals, a document that tells the truth, no fault under random requests."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from psycopg import Connection
from psycopg.rows import DictRow
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from activation.serving.app import create_app
from marquee.settings import Settings
from tests.activation.serving import world

PEOPLE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def client(make_house: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One app for the tests that only look at it."""
    with TestClient(create_app(make_house(tmp_path_factory.mktemp("api") / "var"))) as test_client:
        yield test_client


@pytest.mark.parametrize(
    ("query", "field", "value", "remedy"),
    [
        ({"count": "0"}, "count", "'0'", "larger"),
        ({"count": "101"}, "count", "'101'", "smaller"),
        ({"count": "many"}, "count", "'many'", "whole number"),
        ({"subscriber_id": ""}, "subscriber_id", "''", "at least one character"),
        ({"subscriber_id": "x" * 201}, "subscriber_id", "'xxx", "shorter"),
        ({"anonymous_id": "a\x00b"}, "anonymous_id", "'a\\x00b'", "characters"),
        ({"surface": "Home Page"}, "surface", "'Home Page'", "characters"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_a_remedy(
    client: TestClient, query: dict[str, str], field: str, value: str, remedy: str
) -> None:
    response = client.get("/v1/recommendations", params=query)
    assert response.status_code == 422
    (problem,) = response.json()["problems"]
    assert problem["field"] == field
    assert problem["value"].startswith(value)
    assert len(problem["value"]) <= 80
    assert remedy in problem["remedy"]
    assert problem["problem"]


def test_every_bad_parameter_is_named_at_once(client: TestClient) -> None:
    problems = client.get("/v1/recommendations", params={"count": 0, "surface": "!"}).json()["problems"]
    assert {problem["field"] for problem in problems} == {"count", "surface"}


def test_a_fault_of_ours_is_told_in_words_and_not_as_a_trace(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("activation.serving.api.build_homepage", broken)
    monkeypatch.setattr("activation.pages.routes.build_homepage", broken)
    with TestClient(create_app(house), raise_server_exceptions=False) as client:
        for path, headers in (("/v1/homepage", {}), ("/", PEOPLE)):
            response = client.get(path, headers=headers)
            assert response.status_code == 500
            assert "secret detail" not in response.text
            assert "Traceback" not in response.text
            assert "fault is ours" in response.text


def test_an_unknown_address_is_answered_in_the_reader_s_language(client: TestClient) -> None:
    for_a_program, for_a_person = client.get("/v1/nothing"), client.get("/nothing", headers=PEOPLE)
    assert for_a_program.status_code == for_a_person.status_code == 404
    assert for_a_program.json()["error"] == "Not Found"
    assert "There is nothing here" in for_a_person.text


class _Tags(HTMLParser):
    """Notes what a page loads from elsewhere, and how often each tag is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loaded = {"script": "src", "link": "href", "img": "src", "iframe": "src"}.get(tag)
        address = dict(attrs).get(loaded or "") or ""
        if address.startswith(("http:", "https:", "//")):
            self.foreign.append(address)


def test_the_reference_shows_every_operation_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs", headers=PEOPLE)
    assert page.status_code == 200
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    for word in ("anonymous_id", "fallback_reason", "Try it", "no_consent"):
        assert word in page.text
    tags = _Tags()
    tags.feed(page.text)
    assert tags.foreign == []


def test_the_sample_is_the_same_at_every_call_and_holds_no_address(client: TestClient) -> None:
    first, second = client.get("/v1/subscribers/sample"), client.get("/v1/subscribers/sample")
    assert first.json() == second.json()
    assert "@" not in first.text
    assert {one["kind"] for one in first.json()} >= {"no history"}


def test_a_visitor_s_cookie_is_not_overruled_by_the_demo_s_first_subscriber(client: TestClient) -> None:
    page = client.get("/", params={"anonymous_id": f"anon-{world.COMEDY_LOVER}"}, headers=PEOPLE)
    assert "Because you watched Title c04" in page.text


def test_only_the_demo_is_labelled_as_simulated(client: TestClient) -> None:
    label = "simulated subscribers around real MovieLens ratings"
    for path in ("/", "/start", "/docs", "/preferences"):
        assert label in client.get(path, headers=PEOPLE).text, path


def test_an_imported_catalogue_is_not_labelled_as_simulated(house: Settings, house_db: Connection[DictRow]) -> None:
    house_db.execute("update marts.dim_content set is_simulated = false")
    with TestClient(create_app(house)) as client:
        for path in ("/", "/start", "/docs", "/preferences"):
            page = client.get(path, headers=PEOPLE)
            assert page.status_code == 200
            assert "simulated subscribers" not in page.text.lower(), path
            assert "MovieLens" not in page.text, path


def test_artwork_is_the_same_picture_at_every_call(client: TestClient) -> None:
    first, second = client.get("/artwork/c01.svg"), client.get("/artwork/c01.svg")
    assert first.content == second.content != client.get("/artwork/c02.svg").content
    assert first.headers["content-type"] == "image/svg+xml"
    assert client.get("/artwork/%3Cscript%3E.svg").text.count("<script") == 0


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_random_requests_find_no_fault(client: TestClient, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 6
    if mode is GenerationMode.NEGATIVE:
        # an operation without parameters has no wrong ones
        operations = [operation for operation in operations if list(operation.query)]
        assert len(operations) == 2

    for operation in operations:

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_in_its_own_words(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error, response_schema_conformance, status_code_conformance])

        answers_in_its_own_words()
