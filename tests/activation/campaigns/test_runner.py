"""What a run sends, to whom, and what it leaves in the database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from activation.campaigns import claims
from activation.campaigns.definitions import CampaignError, Cap
from activation.campaigns.preview import preview_campaign
from activation.serving.app import create_app
from marquee.clock import utc_now
from tests.activation.campaigns import world
from tests.activation.campaigns.conftest import House


def stored_run(house: House, run_key: str) -> dict[str, object]:
    row = house.connection.execute("select * from activation.campaign_runs where run_key = %s", (run_key,)).fetchone()
    assert row is not None
    return row


def test_a_run_sends_one_message_to_each_who_is_due_and_counts_the_others(sending_house: House) -> None:
    names = sending_house.add_candidates(5)
    world.add_candidate(sending_house.connection, "refused", consents=False)
    world.add_candidate(sending_house.connection, "bounced", is_deliverable=False)
    run = sending_house.run()
    assert sorted(sending_house.addresses()) == [f"{name}@example.org" for name in names]
    assert (run.candidate_count, run.sent_count) == (7, 5)
    assert run.excluded_counts == {"no_consent": 1, "undeliverable": 1}
    row = stored_run(sending_house, "run 1")
    assert (row["candidate_count"], row["sent_count"]) == (7, 5)
    assert row["excluded_counts"] == run.excluded_counts


def test_each_send_is_settled_with_the_providers_id_of_its_message(sending_house: House) -> None:
    sending_house.add_candidates(2)
    sending_house.run()
    rows = sending_house.connection.execute(
        """
        select sends.status, sends.run_key, sends.settled_at, captured.to_email, sends.subscriber_id
        from activation.sends as sends
        inner join activation.captured_messages as captured
            on
                captured.provider_message_id = sends.provider_message_id
                and captured.custom_args ->> 'send_id' = sends.send_id::text
        """
    ).fetchall()
    assert len(rows) == 2
    assert all(row["status"] == "sent" and row["settled_at"] and row["run_key"] == "run 1" for row in rows)
    assert all(row["to_email"] == f"{row['subscriber_id']}@example.org" for row in rows)


def test_a_rerun_sends_nothing_and_keeps_the_counts(sending_house: House) -> None:
    sending_house.add_candidates(3)
    first = sending_house.run()
    again = sending_house.run()
    assert again == first.__class__(**{**vars(first), "as_of": again.as_of})
    assert again.sent_count == 3
    assert len(sending_house.addresses()) == 3


def test_the_next_run_counts_what_the_one_before_sent_as_already_sent(sending_house: House) -> None:
    sending_house.add_candidates(3)
    sending_house.run()
    run = sending_house.run("run 2")
    assert (run.sent_count, run.excluded_counts) == (0, {"already_sent": 3})
    assert len(sending_house.addresses()) == 3


def test_two_runners_at_once_send_each_message_once(sending_house: House) -> None:
    sending_house.add_candidates(12)
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(sending_house.run, ["run 1", "run 2"]))
    assert sorted(sending_house.addresses()) == sorted(f"s{number:03}@example.org" for number in range(12))
    assert sorted(run.sent_count for run in runs) == [0, 12]


def test_consent_withdrawn_between_listing_and_sending_stops_that_message(sending_house: House) -> None:
    names = sending_house.add_candidates(3)
    withdrawn = False

    def clock() -> datetime:
        # the first look at the clock is that of the first claim: the audience is listed by then
        nonlocal withdrawn
        if not withdrawn:
            withdrawn = True
            world.withdraw(sending_house.connection, names[2])
        return utc_now()

    run = sending_house.run(clock=clock)
    assert sorted(sending_house.addresses()) == [f"{name}@example.org" for name in names[:2]]
    assert (run.sent_count, run.excluded_counts) == (2, {"no_consent": 1})
    assert names[2] not in world.statuses(sending_house.connection)


def test_the_one_click_link_of_a_message_withdraws_consent_and_the_next_run_leaves_the_subscriber_out(
    sending_house: House,
) -> None:
    sending_house.add_candidates(2)
    sending_house.run()
    message = world.captured(sending_house.connection)["s000@example.org"][0]
    assert message["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = urlsplit(message["headers"]["List-Unsubscribe"][1:-1])
    with TestClient(create_app(sending_house.settings)) as client:
        answer = client.post(
            f"{link.path}?{link.query}" if link.query else link.path, data={"List-Unsubscribe": "One-Click"}
        )
    assert answer.status_code == 200
    for name in ("s000", "s001"):
        world.add_occurrence(sending_house.connection, name, occurrence_key="the next silence")
    definitions = world.declare(sending_house.definitions, caps=(Cap(messages=10, days=7),))
    run = sending_house.run("run 2", folder=definitions)
    assert run.excluded_counts["no_consent"] == 1
    assert sorted(sending_house.addresses()) == ["s000@example.org", "s001@example.org", "s001@example.org"]


def test_a_cap_counts_the_messages_of_an_earlier_run(sending_house: House) -> None:
    sending_house.add_candidates(1)
    sending_house.run()
    world.add_occurrence(sending_house.connection, "s000", occurrence_key="the next silence")
    run = sending_house.run("run 2")
    assert run.excluded_counts == {"already_sent": 1, "frequency_cap": 1}


def test_a_message_that_the_provider_refuses_fails_alone_and_for_good(sending_house: House) -> None:
    sending_house.add_candidates(2)
    world.add_candidate(sending_house.connection, "nowhere", email="not an address")
    run = sending_house.run()
    assert (run.sent_count, run.excluded_counts) == (2, {"refused_by_provider": 1})
    row = sending_house.connection.execute(
        "select status, reason from activation.sends where subscriber_id = 'nowhere'"
    ).fetchone()
    assert row is not None
    assert row["status"] == "failed"
    assert "400" in row["reason"]
    assert sending_house.run("run 2").excluded_counts == {"already_sent": 2, "refused_by_provider": 1}


def test_a_campaign_that_is_switched_off_is_not_run(sending_house: House) -> None:
    sending_house.add_candidates(1)
    world.declare(sending_house.definitions, is_enabled=False)
    with pytest.raises(CampaignError, match="is switched off"):
        sending_house.run()
    assert sending_house.addresses() == []


def test_a_preview_counts_and_shows_and_changes_nothing(sending_house: House) -> None:
    for number in range(30):
        world.add_candidate(sending_house.connection, f"s{number:02}")
    world.add_candidate(sending_house.connection, "refused", consents=False)
    shown = preview_campaign(world.CAMPAIGN, utc_now(), sending_house.settings)
    assert shown.candidate_count == 31
    assert shown.excluded_counts["no_consent"] == 1
    assert shown.due_count + sum(shown.excluded_counts.values()) == 31
    assert shown.message is not None
    assert "Ada" in shown.message.html
    assert sending_house.addresses() == []
    assert world.statuses(sending_house.connection) == {}


def test_a_held_message_that_somebody_found_unsent_goes_out_in_the_next_run(sending_house: House) -> None:
    sending_house.add_candidates(2)
    for name in ("s000", "s001"):
        world.add_send(sending_house.connection, name, status="held", at=utc_now() - timedelta(days=1))
    unsent, sent = claims.read_held(sending_house.connection)
    claims.settle_by_hand(sending_house.connection, unsent.send_id, was_sent=False, now=utc_now())
    claims.settle_by_hand(sending_house.connection, sent.send_id, was_sent=True, now=utc_now())
    assert sending_house.run().sent_count == 1
    assert sending_house.addresses() == [f"{unsent.subscriber_id}@example.org"]
    with pytest.raises(CampaignError, match=r"no message .* is held"):
        claims.settle_by_hand(sending_house.connection, sent.send_id, was_sent=True, now=utc_now())
