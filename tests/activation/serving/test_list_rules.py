"""Declared rules through the real API: licences, maturity, what was finished, pins and caps, on every list and rail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving.app import create_app
from marquee.settings import Settings
from tests.activation.serving import asking, world
from tests.activation.serving.asking import ids
from tests.waiting import wait_until

_INSTANT = timedelta(microseconds=1)
_AGES = {"G": 0, "PG": 8, "R": 17}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the moment at which requests arrive."""

    def set_to(moment: datetime) -> None:
        monkeypatch.setattr("activation.serving.api.utc_now", lambda: moment)

    set_to(world.NOW)
    return set_to


@contextmanager
def serving(house: Settings, **rules: object) -> Iterator[TestClient]:
    """The app under `rules`, without weights unless they are given."""
    declare(house, **rules)
    with TestClient(create_app(house.model_copy(update={"list_rules_file": _file(house)}))) as client:
        yield client


def declare(house: Settings, **rules: object) -> None:
    draft = _file(house).with_suffix(".draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(yaml.safe_dump(rules))
    draft.replace(_file(house))


def _file(house: Settings) -> Path:
    return house.var_dir / "list_rules.yml"


def ask(client: TestClient, subscriber_id: str | None = world.DRAMA_LOVER, **parameters: object) -> dict:
    query = {"count": 40, **parameters} | ({} if subscriber_id is None else {"subscriber_id": subscriber_id})
    return asking.ask(client, **query)


def everything(client: TestClient, subscriber_id: str | None, **parameters: object) -> set[str]:
    """What is shown anywhere: the list, and every rail of the homepage."""
    query = parameters | ({} if subscriber_id is None else {"subscriber_id": subscriber_id})
    page = client.get("/v1/homepage", params=query).json()
    on_page = {item["content_id"] for rail in page["rails"] for item in rail["items"]}
    return on_page | set(ids(ask(client, subscriber_id, **parameters)))


PEOPLE = [world.DRAMA_LOVER, world.NO_CONSENT, world.NO_HISTORY, None]


@pytest.mark.parametrize("subscriber_id", PEOPLE)
def test_a_licence_begins_and_ends_at_its_very_moment_on_every_list(
    house: Settings, house_db: Connection[DictRow], clock: Callable[[datetime], None], subscriber_id: str | None
) -> None:
    ends, begins = world.NOW + timedelta(hours=1), world.NOW + timedelta(hours=2)
    house_db.execute("update marts.dim_content set available_until = %s where content_id = 'c39'", (ends,))
    house_db.execute("update marts.dim_content set available_from = %s where content_id = 'c37'", (begins,))
    # a remake of one title: one of the two stands for both
    house_db.execute("update marts.dim_content set title = 'Of its own' where content_id = 'c37'")
    with serving(house) as client:
        for moment, there in (
            (ends - _INSTANT, {"c39"}),
            (ends, set()),
            (begins - _INSTANT, set()),
            (begins, {"c37"}),
        ):
            clock(moment)
            assert everything(client, subscriber_id) & {"c39", "c37"} == there, moment


def test_what_is_licensed_for_a_country_is_shown_there_alone(
    house: Settings, house_db: Connection[DictRow], clock: Callable[[datetime], None]
) -> None:
    house_db.execute("update marts.dim_content set licensed_countries = '{DE,AT}' where content_id = 'c33'")
    house_db.execute("update marts.dim_content set licensed_countries = '{US}' where content_id = 'c35'")
    with serving(house) as client:
        assert everything(client, world.DRAMA_LOVER) & {"c33", "c35"} == {"c33"}
        # nobody knows where a visitor is
        assert not everything(client, None) & {"c33", "c35"}


@pytest.mark.parametrize("subscriber_id", PEOPLE)
def test_a_childs_profile_sees_nothing_above_its_rating(
    house: Settings, house_db: Connection[DictRow], subscriber_id: str | None
) -> None:
    house_db.execute("update marts.dim_content set maturity_rating = 'R' where content_id > 'c20'")
    house_db.execute("update marts.dim_content set maturity_rating = null where content_id = 'c19'")
    house_db.execute("update marts.dim_content set maturity_rating = 'X' where content_id = 'c18'")
    allowed = {f"c{number:02}" for number in range(1, 18)} | {"c20"}
    with serving(house, maturity={"ages": _AGES}) as client:
        assert everything(client, subscriber_id) - allowed, "without a limit there is more"
        shown = everything(client, subscriber_id, maximum_rating="pg")
        assert shown
        assert shown <= allowed
        assert not everything(client, subscriber_id, maximum_rating="G")


def test_a_limit_of_an_age_band_or_a_segment_needs_no_word_of_the_client(
    house: Settings, house_db: Connection[DictRow]
) -> None:
    house_db.execute("update marts.dim_content set maturity_rating = 'R' where content_id > 'c20'")
    house_db.execute(
        "update marts.dim_subscribers set segments = '{kids}' where subscriber_id = %s", (world.NO_CONSENT,)
    )
    house_db.execute(
        "update marts.dim_subscribers set age_band = 'under_25' where subscriber_id = %s", (world.DRAMA_LOVER,)
    )
    maturity = {"ages": _AGES, "age_bands": {"under_25": "PG"}, "segments": {"kids": "PG"}}
    with serving(house, maturity=maturity) as client:
        assert max(everything(client, world.DRAMA_LOVER)) <= "c20"
        assert max(everything(client, world.NO_CONSENT)) <= "c20", "protection needs no consent"
        assert max(everything(client, world.COMEDY_LOVER)) > "c20"


def test_when_the_profiles_do_not_answer_nobody_sees_more_than_whoever_may_see_least(
    house: Settings, house_db: Connection[DictRow]
) -> None:
    house_db.execute("update marts.dim_content set maturity_rating = 'R' where content_id > 'c20'")
    maturity = {"ages": _AGES, "segments": {"kids": "PG"}}
    with serving(house, maturity=maturity) as client:
        house_db.execute("alter table marts.dim_subscribers rename to gone")
        answer = ask(client, world.COMEDY_LOVER)
        assert answer["is_fallback"]
        assert max(ids(answer)) <= "c20"
        assert max(ids(ask(client, None))) > "c20", "of a visitor nothing is to be read"


def test_an_unknown_rating_is_refused_with_those_that_are_known(house: Settings) -> None:
    with serving(house, maturity={"ages": _AGES}) as client:
        for path in ("/v1/recommendations", "/v1/homepage"):
            refused = client.get(path, params={"maximum_rating": "FSK 16"})
            assert refused.status_code == 422
            (problem,) = refused.json()["problems"]
            assert problem["field"] == "maximum_rating"
            assert "G, PG, R" in problem["problem"]


def _pin(content_id: str, place: int, **more: object) -> dict[str, object]:
    return {"content_id": content_id, "place": place, "surfaces": ["homepage"], "from": world.NOW,
            "until": world.NOW + timedelta(days=1), **more}  # fmt: skip


@pytest.mark.parametrize("subscriber_id", PEOPLE)
def test_a_pin_stands_at_its_place_and_says_that_it_is_one(
    house: Settings, clock: Callable[[datetime], None], subscriber_id: str | None
) -> None:
    # c32 is no candidate of a drama lover
    with serving(house, pins=[_pin("c32", 2, reason="our film of the week")]) as client:
        plain = ids(ask(client, subscriber_id, surface="article_page"))
        answer = ask(client, subscriber_id)
        item = answer["items"][1]
        assert (item["content_id"], item["reason"], item["is_pinned"]) == ("c32", "our film of the week", True)
        assert [one["is_pinned"] for one in answer["items"]].count(True) == 1
        rest = [content_id for content_id in ids(answer) if content_id != "c32"]
        assert rest == [content_id for content_id in plain if content_id != "c32"][: len(rest)]
        page = client.get("/v1/homepage", params={"subscriber_id": subscriber_id} if subscriber_id else {}).json()
        assert page["rails"][0]["items"][1]["content_id"] == "c32"
        clock(world.NOW + timedelta(days=1))
        assert ids(ask(client, subscriber_id)) == plain


def test_a_new_content_that_no_model_knows_can_be_pinned(house: Settings, house_db: Connection[DictRow]) -> None:
    house_db.execute(
        "insert into marts.dim_content (content_id, content_type, title, genres, is_simulated) "
        "values ('premiere', 'video', 'Premiere', '{drama}', false)"
    )
    pin = {**_pin("premiere", 1), "until": world.NOW + timedelta(days=3_650)}
    with serving(house, pins=[pin], weights={"diversity": 0.2, "calibration": 0.2}) as client:
        item = ask(client)["items"][0]
        assert (item["content_id"], item["score"], item["reason"]) == ("premiere", None, "picked by our editors")


@pytest.mark.usefixtures("clock")
def test_no_pin_breaks_a_hard_rule(house: Settings, house_db: Connection[DictRow]) -> None:
    house_db.execute("update marts.dim_content set available_until = %s where content_id = 'c30'", (world.NOW,))
    house_db.execute("update marts.dim_content set maturity_rating = 'R' where content_id = 'c28'")
    pins = [_pin("c30", 1), _pin("c28", 2), _pin("c01", 3), _pin("gone", 4), _pin("c26", 5)]
    with serving(house, maturity={"ages": _AGES}, pins=pins) as client:
        pinned = [item["content_id"] for item in ask(client, maximum_rating="PG")["items"] if item["is_pinned"]]
        assert pinned == ["c26"], "no licence, too mature, consumed, not in the catalogue"


@pytest.mark.usefixtures("clock")
def test_the_pin_of_a_segment_is_for_members_who_permit_personalization(
    house: Settings, house_db: Connection[DictRow]
) -> None:
    house_db.execute("update marts.dim_subscribers set segments = '{trial}'")
    house_db.execute("update marts.dim_subscribers set segments = null where subscriber_id = %s", (world.COMEDY_LOVER,))
    with serving(house, pins=[_pin("c32", 1, segment="trial"), _pin("c34", 1)]) as client:
        first = {person: ids(ask(client, person))[0] for person in (*PEOPLE, world.COMEDY_LOVER)}
    assert first == {world.DRAMA_LOVER: "c32", world.NO_HISTORY: "c32", world.NO_CONSENT: "c34", None: "c34",
                     world.COMEDY_LOVER: "c34"}  # fmt: skip


def test_what_was_given_up_comes_back_after_the_days_that_are_declared(
    house: Settings, house_db: Connection[DictRow], clock: Callable[[datetime], None]
) -> None:
    house_db.execute(
        "update marts.fct_interactions set watched_fraction = 0.2 where subscriber_id = %s and content_id = 'c05'",
        (world.DRAMA_LOVER,),
    )
    with serving(house, consumed={"finished_from": 0.9, "given_up_returns_after_days": 30}) as client:
        clock(world.NOW + timedelta(days=29, hours=22))
        assert not set(ids(ask(client))) & {"c01", "c03", "c05"}
        clock(world.NOW + timedelta(days=31))
        assert set(ids(ask(client))) & {"c01", "c03", "c05"} == {"c05"}, "the others were finished"
    with serving(house) as client:
        assert not set(ids(ask(client))) & {"c01", "c03", "c05"}


def test_a_cap_holds_on_personal_and_popular_lists_and_on_rails(house: Settings, house_db: Connection[DictRow]) -> None:
    house_db.execute("update marts.dim_content set content_type = 'article' where content_id > 'c24'")
    with serving(house, caps=[{"content_type": "article", "at_most": 2, "of_first": 6}]) as client:
        for person in PEOPLE:
            kinds = [item["content_type"] for item in ask(client, person)["items"]]
            assert kinds[:6].count("article") == 2, "there are more that are better"
            assert len(kinds) > 6
            page = client.get("/v1/homepage", params={"subscriber_id": person} if person else {}).json()
            for rail in page["rails"]:
                kinds = [item["content_type"] for item in rail["items"]]
                assert rail["rail_id"] == "article" or kinds[:6].count("article") <= 2


def test_weights_change_the_order_and_nothing_else(house: Settings) -> None:
    with serving(house) as client:
        plain = ask(client)
    with serving(house, weights={"diversity": 0.6}) as client:
        diverse = ask(client)
    assert sorted(ids(plain)) == sorted(ids(diverse))
    scores = [item["score"] for item in plain["items"]]
    assert scores == sorted(scores, reverse=True)
    # dramas lead by far, and take turns with comedies only where diversity counts
    assert {world.genre_of(content_id) for content_id in ids(plain)[:4]} == {"drama"}
    assert {world.genre_of(content_id) for content_id in ids(diverse)[:4]} == {"drama", "comedy"}


def test_changed_rules_count_without_a_restart_and_wrong_ones_leave_those_before(house: Settings) -> None:
    until = world.NOW + timedelta(days=3_650)
    with serving(house) as client:
        assert not ask(client)["items"][0]["is_pinned"]
        declare(house, pins=[_pin("c32", 1, until=until)])
        wait_until(lambda: ids(ask(client))[0] == "c32", 10, "the pin")
        declare(house, pins=[_pin("c34", 0, until=until)])
        wait_until(lambda: "pins.0.place" in str(client.get("/health").json()["problem"]), 10, "the problem said")
        assert ids(ask(client))[0] == "c32"
        assert client.get("/health").status_code == 200


def test_without_a_file_that_can_be_read_the_app_does_not_start(house: Settings) -> None:
    missing = house.model_copy(update={"list_rules_file": house.var_dir / "nowhere.yml"})
    with pytest.raises(Exception, match="MARQUEE_LIST_RULES_FILE"), TestClient(create_app(missing)):
        pass
