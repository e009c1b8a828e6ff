"""The preference centre: what is saved holds, what is repeated changes nothing, and one click unsubscribes."""

from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from activation.preferences.choices import PURPOSE_NAMES, read_granted
from activation.preferences.links import preferences_url, sign_subscriber, unsubscribe_url
from activation.serving.app import create_app
from marquee.settings import Settings
from tests.activation.serving import world

PEOPLE = {"accept": "text/html"}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def path_of(address: str) -> str:
    return urlsplit(address).path


def changes(connection: Connection[DictRow]) -> list[tuple[str, bool, str]]:
    rows = connection.execute(
        "select purpose, is_granted, changed_via from activation.preference_changes order by changed_at, purpose"
    ).fetchall()
    return [(row["purpose"], row["is_granted"], row["changed_via"]) for row in rows]


@pytest.fixture
def centre(house: Settings) -> str:
    return path_of(preferences_url(world.DRAMA_LOVER, house))


def is_on(page: str, purpose: str) -> bool:
    _, _, rest = page.partition(f'value="{purpose}"')
    return "checked" in rest.partition(">")[0]


def test_the_page_shows_what_is_known_but_not_the_address(client: TestClient, centre: str) -> None:
    page = client.get(centre, headers=PEOPLE)
    assert page.status_code == 200
    assert "s•••••@example.org" in page.text
    assert f"{world.DRAMA_LOVER}@example.org" not in page.text
    assert "3 titles" in page.text
    assert "This person is simulated" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    assert {purpose: is_on(page.text, purpose) for purpose in PURPOSE_NAMES} == {
        "personalization": True, "email_marketing": True, "advertising": False, "analytics": False,
    }  # fmt: skip


def test_a_form_that_is_saved_is_what_the_page_then_shows(
    client: TestClient, centre: str, house_db: Connection[DictRow]
) -> None:
    page = client.post(centre, data={"granted": ["advertising", "email_marketing"]}, headers=PEOPLE)
    assert "Saved. Your choice counts from now on." in page.text
    assert {purpose for purpose in PURPOSE_NAMES if is_on(page.text, purpose)} == {"advertising", "email_marketing"}
    assert read_granted(house_db, world.DRAMA_LOVER) == {"advertising", "email_marketing"}
    assert changes(house_db) == [
        ("advertising", True, "preference_centre"),
        ("personalization", False, "preference_centre"),
    ]


def test_the_same_form_sent_twice_changes_nothing_the_second_time(
    client: TestClient, centre: str, house_db: Connection[DictRow]
) -> None:
    client.post(centre, data={"granted": ["email_marketing"]})
    before = changes(house_db)
    page = client.post(centre, data={"granted": ["email_marketing"]}, headers=PEOPLE)
    assert "Nothing changed" in page.text
    assert changes(house_db) == before == [("personalization", False, "preference_centre")]


def test_the_demo_s_picker_knows_a_choice_at_once_and_still_lists_who_made_it(client: TestClient, centre: str) -> None:
    def kind() -> str:
        sample = client.get("/v1/subscribers/sample").json()
        return str(next(one["kind"] for one in sample if one["subscriber_id"] == world.DRAMA_LOVER))

    assert kind() == "personal"
    client.post(centre, data={"granted": ["email_marketing"]})
    assert kind() == "no consent"


def test_an_empty_form_withdraws_everything(client: TestClient, centre: str, house_db: Connection[DictRow]) -> None:
    client.post(centre)
    assert read_granted(house_db, world.DRAMA_LOVER) == frozenset()


def test_a_purpose_that_does_not_exist_is_not_recorded(
    client: TestClient, centre: str, house_db: Connection[DictRow]
) -> None:
    client.post(centre, data={"granted": ["personalization", "email_marketing", "selling_it_all"]})
    assert changes(house_db) == []


def test_one_click_unsubscribes_as_rfc_8058_wants_it(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    answer = client.post(path_of(unsubscribe_url(world.DRAMA_LOVER, house)), data=ONE_CLICK, follow_redirects=False)
    # RFC 8058 3.1: no redirect, no cookie, no other context
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert changes(house_db) == [("email_marketing", False, "one_click_unsubscribe")]
    assert "personalization" in read_granted(house_db, world.DRAMA_LOVER), "only emails end"


def test_one_click_may_be_a_form_of_several_parts_and_come_from_anywhere(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    answer = client.post(
        path_of(unsubscribe_url(world.DRAMA_LOVER, house)),
        files={"List-Unsubscribe": (None, "One-Click")},
        headers={"origin": "https://mail.example", "sec-fetch-site": "cross-site"},
    )
    assert answer.status_code == 200
    assert "email_marketing" not in read_granted(house_db, world.DRAMA_LOVER)


def test_one_click_twice_is_one_change(client: TestClient, house: Settings, house_db: Connection[DictRow]) -> None:
    address = path_of(unsubscribe_url(world.DRAMA_LOVER, house))
    assert [client.post(address, data=ONE_CLICK).status_code for _ in range(2)] == [200, 200]
    assert len(changes(house_db)) == 1


def test_unsubscribing_without_having_agreed_is_remembered(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    house_db.execute("delete from marts.fct_consents where subscriber_id = %s", (world.DRAMA_LOVER,))
    client.post(path_of(unsubscribe_url(world.DRAMA_LOVER, house)), data=ONE_CLICK)
    assert changes(house_db) == [("email_marketing", False, "one_click_unsubscribe")]


def test_opening_the_unsubscribe_link_changes_nothing(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(method, path_of(unsubscribe_url(world.DRAMA_LOVER, house)), headers=PEOPLE)
        assert answer.status_code in (200, 405)
    assert changes(house_db) == []
    assert "email_marketing" in read_granted(house_db, world.DRAMA_LOVER)


def test_the_button_unsubscribes_and_says_so(client: TestClient, centre: str, house_db: Connection[DictRow]) -> None:
    page = client.post(f"{centre}/unsubscribe-from-all", headers=PEOPLE)
    assert "You are unsubscribed" in page.text
    assert changes(house_db) == [("email_marketing", False, "unsubscribe_all")]


@pytest.mark.parametrize("end", ["", "/unsubscribe-from-all"])
def test_a_form_that_another_site_sends_is_refused(
    client: TestClient, centre: str, house_db: Connection[DictRow], end: str
) -> None:
    for foreign in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        answer = client.post(f"{centre}{end}", headers={**PEOPLE, **foreign})
        assert answer.status_code == 403
        assert "Another site sent this form" in answer.text
    assert changes(house_db) == []


def test_a_form_of_our_own_page_is_taken(client: TestClient, centre: str, house: Settings) -> None:
    for origin in ("http://testserver", house.serving_url):
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        assert client.post(centre, headers=headers, follow_redirects=False).status_code == 303


def test_a_broken_link_is_told_to_its_reader_and_to_a_mail_program(client: TestClient) -> None:
    for path in ("/preferences/forged", "/preferences/forged/unsubscribe"):
        page = client.get(path, headers=PEOPLE)
        assert page.status_code == 404
        assert "cut off or changed" in page.text
        assert client.post(path, data=ONE_CLICK).status_code == 404


def test_a_profile_that_is_gone_says_so(client: TestClient, house: Settings, house_db: Connection[DictRow]) -> None:
    address = f"/preferences/{sign_subscriber('somebody-merged-away', house)}"
    assert client.get(address, headers=PEOPLE).status_code == 410
    assert client.post(address, headers=PEOPLE).status_code == 410


def test_a_link_mailed_before_profiles_were_joined_opens_the_present_one(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    link = f"/preferences/{sign_subscriber(world.COMEDY_LOVER, house)}"
    world.join_profiles(house_db, world.COMEDY_LOVER, world.DRAMA_LOVER)
    page = client.get(link, headers=PEOPLE)
    assert page.status_code == 200
    assert "5 titles" in page.text
    assert f"/?subscriber_id={world.DRAMA_LOVER}" in page.text
    saved = client.post(link, data={"granted": ["personalization"]}, headers=PEOPLE)
    assert "Saved. Your choice counts from now on." in saved.text
    # one person, one answer, whichever link is opened; the same word under the other id is no new one
    for subscriber_id in (world.COMEDY_LOVER, world.DRAMA_LOVER):
        assert read_granted(house_db, subscriber_id) == {"personalization"}
        address = path_of(unsubscribe_url(subscriber_id, house))
        assert client.post(address, data=ONE_CLICK).status_code == 200
    assert changes(house_db) == [("email_marketing", False, "preference_centre")]
    # should they be parted again, each keeps what it was told
    stored = house_db.execute("select subscriber_id from activation.preference_changes").fetchall()
    assert stored == [{"subscriber_id": world.COMEDY_LOVER}]


def test_where_emails_leave_the_house_nobody_s_preferences_are_handed_out(house: Settings, client: TestClient) -> None:
    demo = client.get("/preferences", headers=PEOPLE).text + client.get("/", headers=PEOPLE).text
    assert demo.count('href="/preferences/') >= 4
    real = house.model_copy(update={"sendgrid_api_key": SecretStr("SG.key")})
    with TestClient(create_app(real)) as public:
        for path in ("/preferences", "/"):
            assert 'href="/preferences/' not in public.get(path, headers=PEOPLE).text, path
