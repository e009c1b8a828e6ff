"""Every reason why a list is not personal: each still answers 200 in time, says why, and uses nothing it must not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import Connection
from psycopg.rows import DictRow

from activation.preferences.links import sign_subscriber
from activation.serving.app import create_app
from marquee import database, embedded_postgres
from marquee.settings import Settings
from tests.activation.serving import asking, world
from tests.activation.serving.asking import ids
from tests.activation.serving.conftest import VERSION, HouseTemplate
from tests.waiting import wait_until

DEADLINE = 0.4
# what a busy machine may need on top of the deadline until the answer is here
GRACE = 2.0


def ask(client: TestClient, subscriber_id: str | None, count: int = 5) -> dict:
    query = {"count": count} if subscriber_id is None else {"count": count, "subscriber_id": subscriber_id}
    return asking.ask(client, **query)


def assert_popular(answer: dict, reason: str) -> None:
    assert answer["is_fallback"]
    assert answer["fallback_reason"] == reason
    assert answer["model_version"] is None
    assert answer["items"], "a fallback shows something"
    assert all(item["score"] is None for item in answer["items"])
    assert not any(item["reason"].startswith("because") for item in answer["items"])


def is_personal(client: TestClient, subscriber_id: str = world.DRAMA_LOVER) -> bool:
    return not ask(client, subscriber_id)["is_fallback"]


@pytest.mark.parametrize("subscriber_id", [None, "nobody-with-this-id"])
def test_a_visitor_nobody_knows_sees_what_is_popular(client: TestClient, subscriber_id: str | None) -> None:
    answer = ask(client, subscriber_id)
    assert_popular(answer, "unknown_subscriber")
    assert ids(answer)[0] == "c40", "the model's week puts c40 first"


def test_without_consent_the_list_is_the_one_that_a_stranger_sees(client: TestClient) -> None:
    answer = ask(client, world.NO_CONSENT, count=40)
    assert_popular(answer, "no_consent")
    # c01 and c07 were consumed: leaving them out would use the history, too
    assert answer["items"] == ask(client, None, count=40)["items"]


def test_a_subscriber_without_history_is_told_so(client: TestClient) -> None:
    assert_popular(ask(client, world.NO_HISTORY), "no_history")


def test_a_subscriber_without_history_is_served_by_a_model_that_knows_the_profile(
    house: Settings, house_db: Connection[DictRow]
) -> None:
    version = "20260308T120000-00000002"
    world.write_artefact(house.models_dir, version, tower=world.ProfiledTower)
    world.promote(house_db, version)
    with TestClient(create_app(house)) as client:
        answer = ask(client, world.NO_HISTORY)
        assert (answer["is_fallback"], answer["model_version"]) == (False, version)
        assert {world.genre_of(content_id) for content_id in ids(answer)} == {"comedy"}
        assert {item["reason"] for item in answer["items"]} <= {"popular this week", "popular with people like you"}
        # consent comes before any profile
        assert_popular(ask(client, world.NO_CONSENT), "no_consent")


def test_a_history_that_the_model_has_never_seen_is_none(client: TestClient, house_db: Connection[DictRow]) -> None:
    world.add_person(house_db, world.Person("s-new-content", ["c99"]))
    assert_popular(ask(client, "s-new-content"), "no_history")


def test_before_the_first_promotion_the_popular_titles_are_given(
    house: Settings, house_db: Connection[DictRow]
) -> None:
    house_db.execute("delete from ops.model_promotions")
    with TestClient(create_app(house)) as client:
        answer = ask(client, world.COMEDY_LOVER, count=40)
        assert_popular(answer, "model_missing")
        assert not set(ids(answer)) & {"c02", "c04"}, "with consent, what was consumed is left out even so"
        assert client.get("/ready").status_code == 503
        assert "marquee run" in client.get("/ready").json()["problem"]
        assert client.get("/health").status_code == 200


def test_without_online_features_the_list_is_popular_and_recovers_by_itself(
    client: TestClient, house_db: Connection[DictRow]
) -> None:
    assert is_personal(client)
    house_db.execute("alter table feast.marquee_ftr_subscriber__sequence rename to gone")
    assert_popular(ask(client, world.DRAMA_LOVER), "features_unavailable")
    wait_until(lambda: client.get("/ready").status_code == 503, 10, "/ready saying that features are missing")
    house_db.execute("alter table feast.gone rename to marquee_ftr_subscriber__sequence")
    wait_until(lambda: is_personal(client), 15, "a personal list after the features came back")


def test_a_slow_database_costs_no_more_than_the_deadline(house: Settings, house_db: Connection[DictRow]) -> None:
    hasty = house.model_copy(update={"serving_deadline_seconds": DEADLINE})
    with TestClient(create_app(hasty)) as client:
        ask(client, world.DRAMA_LOVER)
        with house_db.transaction():
            # every reader of this table waits until the transaction ends
            house_db.execute("lock table marts.fct_interactions in access exclusive mode")
            started = time.monotonic()
            answer = ask(client, world.DRAMA_LOVER)
            took = time.monotonic() - started
        assert_popular(answer, "deadline")
        assert DEADLINE <= took < DEADLINE + GRACE
        wait_until(lambda: is_personal(client), 10, "a personal list after the lock was gone")


def test_withdrawn_consent_counts_from_the_very_next_request(client: TestClient, house: Settings) -> None:
    assert is_personal(client)
    address = f"/preferences/{sign_subscriber(world.DRAMA_LOVER, house)}"
    saved = client.post(address, data={"granted": ["email_marketing"]}, follow_redirects=False)
    assert saved.status_code == 303
    assert_popular(ask(client, world.DRAMA_LOVER), "no_consent")
    client.post(address, data={"granted": ["personalization", "email_marketing"]})
    assert is_personal(client)


def test_consent_given_at_two_places_at_one_moment_is_taken_for_a_refusal(
    client: TestClient, house_db: Connection[DictRow]
) -> None:
    house_db.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "select subscriber_id, purpose, false, 'preference_centre', effective_at from marts.fct_consents "
        "where subscriber_id = %s and purpose = 'personalization'",
        (world.DRAMA_LOVER,),
    )
    assert_popular(ask(client, world.DRAMA_LOVER), "no_consent")


def test_before_anything_is_built_every_page_answers(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        answer = ask(client, "anybody")
        assert answer["is_fallback"]
        assert answer["items"] == []
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200
        assert client.get("/v1/subscribers/sample").json() == []
        for path in ("/start", "/docs", "/preferences", "/reports", "/v1/homepage"):
            assert client.get(path).status_code == 200, path
        page = client.get(f"/preferences/{sign_subscriber('anybody', settings)}", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "try again" in page.text


def test_a_defect_of_a_model_gives_the_popular_list_rather_than_an_error(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a shape that nobody expected")

    monkeypatch.setattr("activation.serving.models.retrieve", broken)
    assert_popular(ask(client, world.DRAMA_LOVER), "internal_error")


@pytest.fixture
def lonely_house(tmp_path: Path, house_template: HouseTemplate) -> Iterator[Settings]:
    """A house with a PostgreSQL server of its own, which a test may stop."""
    settings = Settings(
        var_dir=tmp_path / "var",
        database_url=None,
        postgres_shared_buffers="32MB",
        serving_deadline_seconds=DEADLINE,
    )
    embedded_postgres.start(settings)
    database.prepare(settings)
    with database.connect(settings) as connection:
        world.build_marts(connection)
        world.promote(connection, VERSION)
    world.put_online(settings)
    settings.models_dir.symlink_to(house_template.models_dir)
    yield settings
    embedded_postgres.stop(settings)


def test_the_database_may_go_away_and_come_back(lonely_house: Settings) -> None:
    with TestClient(create_app(lonely_house)) as client:
        wait_until(lambda: is_personal(client), 10, "a personal list")
        embedded_postgres.stop(lonely_house)
        waits = []
        for _ in range(5):
            started = time.monotonic()
            answer = ask(client, world.DRAMA_LOVER)
            waits.append(time.monotonic() - started)
            assert answer["is_fallback"]
            assert answer["fallback_reason"] in ("features_unavailable", "deadline")
            assert len(answer["items"]) == 5
        assert max(waits) < DEADLINE + GRACE
        page = client.get("/", params={"subscriber_id": world.DRAMA_LOVER})
        assert page.status_code == 200
        assert "Title c40" in page.text
        assert client.get("/health").status_code == 200
        wait_until(lambda: client.get("/ready").status_code == 503, 10, "/ready saying that the database is away")

        embedded_postgres.start(lonely_house)
        wait_until(lambda: is_personal(client), 30, "a personal list after the database came back")
        wait_until(lambda: count_fallbacks(lonely_house) >= 5, 20, "the impressions of the outage")


def count_fallbacks(settings: Settings) -> int:
    with database.connect(settings) as connection:
        row = connection.execute("select count(*) as n from activation.impressions where is_fallback").fetchone()
    return 0 if row is None else int(row["n"])


def test_a_start_without_a_database_shows_the_catalogue_of_the_last_start(
    house: Settings, postgres_server: str, make_house: Callable[[Path], Settings]
) -> None:
    with TestClient(create_app(house)) as client:
        assert is_personal(client)
    name = str(database.connection_parts(database.warehouse_url(house))["dbname"])
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"alter database {name} with allow_connections false")
    with TestClient(create_app(house)) as client:
        answer = ask(client, world.DRAMA_LOVER, count=20)
        assert answer["is_fallback"]
        assert len(answer["items"]) == 20
