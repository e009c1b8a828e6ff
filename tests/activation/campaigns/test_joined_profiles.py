"""Two profiles turn out to be one person between two runs: what was sent, held out and refused stays so."""

from datetime import timedelta
from urllib.parse import urlsplit

from fastapi.testclient import TestClient
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns import claims
from activation.campaigns.audience import Exclusion, is_held_out, list_candidates
from activation.preferences.links import unsubscribe_url
from activation.serving.app import create_app
from tests.activation.campaigns import world
from tests.activation.campaigns.conftest import House
from tests.activation.serving.world import NOW, join_profiles

CAMPAIGN = world.campaign_of()


def exclusions(connection: Connection[DictRow], **changes: object) -> dict[str, Exclusion | None]:
    found = list_candidates(connection, world.campaign_of(**changes), "this run", NOW)
    return {one.subscriber_id: one.exclusion for one in found}


def test_the_person_gets_no_occurrence_twice_and_a_link_mailed_before_still_unsubscribes(sending_house: House) -> None:
    connection, settings = sending_house.connection, sending_house.settings
    # the one was written to, the other not yet; they are known by different addresses
    world.add_candidate(connection, "browser-only", email="ada@work.example.org")
    assert sending_house.run("before").sent_count == 1
    message = world.captured(connection)["ada@work.example.org"][0]
    mailed_link = message["headers"]["List-Unsubscribe"].strip("<>")
    assert mailed_link == unsubscribe_url("browser-only", settings)
    world.add_candidate(connection, "ada")
    world.join_candidates(connection, "browser-only", "ada")

    after = sending_house.run("after")
    assert (after.sent_count, after.excluded_counts) == (0, {"already_sent": 1})

    with TestClient(create_app(settings)) as client:
        page = client.get(urlsplit(mailed_link).path.removesuffix("/unsubscribe"), headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "a•••••@example.org" in page.text
        assert client.post(urlsplit(mailed_link).path).status_code == 200
    world.add_occurrence(connection, "ada", occurrence_key="since:2026-02-20")
    last = sending_house.run("last")
    assert (last.sent_count, last.excluded_counts) == (0, {"already_sent": 1, "no_consent": 1})
    assert len(sending_house.addresses()) == 1


def test_a_retry_of_the_run_that_sent_it_counts_it_as_its_own(sending_house: House) -> None:
    world.add_candidate(sending_house.connection, "former", email="ada@work.example.org")
    first = sending_house.run("one run")
    world.add_candidate(sending_house.connection, "ada")
    world.join_candidates(sending_house.connection, "former", "ada")
    again = sending_house.run("one run")
    assert (again.sent_count, again.excluded_counts) == (first.sent_count, {}) == (1, {})


def test_two_candidates_who_are_joined_while_the_run_goes_on_get_one_message(warehouse: Connection[DictRow]) -> None:
    world.build(warehouse)
    warehouse.autocommit = True
    world.add_candidate(warehouse, "ada")
    world.add_candidate(warehouse, "former", email="ada@work.example.org")
    ada, former = list_candidates(warehouse, CAMPAIGN, "run", NOW)
    assert claims.claim(warehouse, CAMPAIGN, former, claims.new_send_id(), "run", NOW) is None
    join_profiles(warehouse, "former", "ada")
    assert claims.claim(warehouse, CAMPAIGN, ada, claims.new_send_id(), "run", NOW) is Exclusion.ALREADY_SENT
    assert world.statuses(warehouse) == {"former": "claimed"}


def test_a_claim_that_surely_did_not_go_out_under_the_former_id_is_sent_under_the_present_one(
    sending_house: House,
) -> None:
    connection = sending_house.connection
    world.add_send(connection, "former", status="claimed", email="ada@work.example.org")
    world.add_candidate(connection, "ada")
    join_profiles(connection, "former", "ada")
    assert sending_house.run().sent_count == 1
    assert sending_house.addresses() == ["ada@example.org"]
    assert world.statuses(connection) == {"ada": "sent"}


def test_messages_under_a_former_id_use_up_the_cap(warehouse: Connection[DictRow]) -> None:
    world.build(warehouse)
    world.add_send(
        warehouse, "former", occurrence_key="another", email="ada@work.example.org", at=NOW - timedelta(days=3)
    )
    world.add_candidate(warehouse, "ada")
    assert exclusions(warehouse) == {"ada": None}
    join_profiles(warehouse, "former", "ada")
    assert exclusions(warehouse) == {"ada": Exclusion.FREQUENCY_CAP}


def test_who_was_held_out_under_a_former_id_stays_so(warehouse: Connection[DictRow]) -> None:
    world.build(warehouse)
    half = world.campaign_of(holdout_share=0.5)
    names = [f"s{number}" for number in range(40)]
    treated = next(name for name in names if not is_held_out(half, name))
    held_out = next(name for name in names if is_held_out(half, name))
    world.add_candidate(warehouse, treated)
    assert exclusions(warehouse, holdout_share=0.5) == {treated: None}
    join_profiles(warehouse, held_out, treated)
    assert exclusions(warehouse, holdout_share=0.5) == {treated: Exclusion.HOLDOUT}


def test_a_refusal_under_a_former_id_holds_and_a_newer_word_of_the_person_lifts_it(
    warehouse: Connection[DictRow],
) -> None:
    world.build(warehouse)
    world.add_candidate(warehouse, "ada")
    world.withdraw(warehouse, "former", NOW - timedelta(days=1))
    assert exclusions(warehouse) == {"ada": None}
    join_profiles(warehouse, "former", "ada")
    assert exclusions(warehouse) == {"ada": Exclusion.NO_CONSENT}
    warehouse.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "values ('ada', 'email_marketing', true, 'preference_centre', %s)",
        (NOW,),
    )
    assert exclusions(warehouse) == {"ada": None}


def test_who_unsubscribes_from_a_mail_to_an_address_that_moved_on_is_not_written_to_there(
    warehouse: Connection[DictRow],
) -> None:
    world.build(warehouse)
    world.add_send(warehouse, "former", email="ada@example.org", occurrence_key="long ago")
    world.withdraw(warehouse, "heir")
    world.add_candidate(warehouse, "ada")
    assert exclusions(warehouse) == {"ada": None}
    # the id of that day is another person's now, and the address is ada's
    join_profiles(warehouse, "former", "heir")
    assert exclusions(warehouse) == {"ada": Exclusion.NO_CONSENT}
