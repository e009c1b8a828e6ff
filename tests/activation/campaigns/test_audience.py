"""Each reason that keeps a candidate from a message, with known answers."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns.audience import Candidate, Exclusion, count_exclusions, is_held_out, list_candidates
from activation.campaigns.definitions import Campaign, CampaignError, Cap
from activation.preferences.choices import read_granted
from activation.preferences.permission import Addressee, read_permitted
from tests.activation.campaigns import world
from tests.activation.serving.world import NOW


@pytest.fixture
def house(warehouse: Connection[DictRow]) -> Connection[DictRow]:
    world.build(warehouse)
    return warehouse


def audience(
    connection: Connection[DictRow], campaign: Campaign | None = None, run_key: str = "this run"
) -> dict[str, Candidate]:
    found = list_candidates(connection, campaign or world.campaign_of(), run_key, NOW)
    return {one.subscriber_id: one for one in found}


def reasons(connection: Connection[DictRow], campaign: Campaign | None = None) -> dict[str, Exclusion | None]:
    return {name: one.exclusion for name, one in audience(connection, campaign).items()}


def test_a_candidate_who_consents_and_can_be_reached_is_due(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    assert audience(house)["ada"].is_to_be_sent


def test_candidates_of_another_campaign_are_not_listed(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada", campaign_id="onboarding", occurrence_key="day_3")
    assert audience(house) == {}


def test_who_waits_longest_comes_first(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "late", since=NOW - timedelta(days=1))
    world.add_candidate(house, "early", since=NOW - timedelta(days=9))
    assert list(audience(house)) == ["early", "late"]


def test_each_exclusion_is_counted_under_its_reason(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "due")
    world.add_candidate(house, "no-address", email=None)
    world.add_candidate(house, "refused", consents=False)
    world.add_candidate(house, "never-asked", consents=None)
    world.add_candidate(house, "bounced", is_deliverable=False)
    world.add_candidate(house, "had-it")
    world.add_send(house, "had-it")
    world.add_candidate(house, "in-doubt")
    world.add_send(house, "in-doubt", status="held")
    world.add_candidate(house, "unacceptable")
    world.add_send(house, "unacceptable", status="failed")
    world.add_candidate(house, "much-mail")
    world.add_send(house, "much-mail", occurrence_key="another", at=NOW - timedelta(days=3))
    found = audience(house)
    assert [name for name, one in found.items() if one.is_to_be_sent] == ["due"]
    assert count_exclusions(found.values()) == {
        "no_address": 1, "no_consent": 2, "undeliverable": 1, "already_sent": 1, "outcome_unknown": 1,
        "refused_by_provider": 1, "frequency_cap": 1,
    }  # fmt: skip


def test_a_candidate_without_a_profile_has_no_address(house: Connection[DictRow]) -> None:
    world.add_occurrence(house, "gone")
    assert reasons(house) == {"gone": Exclusion.NO_ADDRESS}


def test_a_choice_in_the_preference_centre_counts_at_once(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    world.withdraw(house, "ada")
    assert reasons(house) == {"ada": Exclusion.NO_CONSENT}


def test_an_address_that_left_under_a_former_id_is_not_written_to_under_its_new_one(
    house: Connection[DictRow],
) -> None:
    world.add_send(house, "old-id", email="ada@example.org", occurrence_key="long ago")
    world.withdraw(house, "old-id", NOW - timedelta(hours=1))
    world.add_candidate(house, "new-id", email="ada@example.org")
    assert reasons(house) == {"new-id": Exclusion.NO_CONSENT}


def test_a_grant_under_another_id_does_not_allow_what_the_subscriber_refused(house: Connection[DictRow]) -> None:
    world.add_send(house, "other", email="ada@example.org", occurrence_key="long ago")
    house.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "values ('other', 'email_marketing', true, 'preference_centre', %s)",
        (NOW,),
    )
    world.add_candidate(house, "ada", email="ada@example.org", consents=False)
    assert reasons(house) == {"ada": Exclusion.NO_CONSENT}


def test_an_occurrence_sent_to_the_address_under_a_former_id_counts_as_sent(house: Connection[DictRow]) -> None:
    world.add_send(house, "old-id", email="ada@example.org")
    world.add_candidate(house, "new-id", email="ada@example.org")
    assert reasons(house) == {"new-id": Exclusion.ALREADY_SENT}


def test_another_occurrence_is_another_message(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada", occurrence_key="since:2026-02-10")
    world.add_send(house, "ada")
    assert reasons(house) == {"ada": None}


def test_two_ids_with_one_address_get_one_message(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "first", email="us@example.org", since=NOW - timedelta(days=5))
    world.add_candidate(house, "second", email="us@example.org", since=NOW - timedelta(days=4))
    assert reasons(house) == {"first": None, "second": Exclusion.SAME_ADDRESS}


def test_caps_count_every_campaign_of_the_category_and_no_other(house: Connection[DictRow]) -> None:
    for name, category in (("suggested", "suggestions"), ("billed", "service")):
        world.add_candidate(house, name)
        world.add_send(
            house, name, campaign_id="another", category=category, occurrence_key="x", at=NOW - timedelta(days=2)
        )
    assert reasons(house) == {"billed": None, "suggested": Exclusion.FREQUENCY_CAP}


def test_each_cap_looks_over_its_own_span(house: Connection[DictRow]) -> None:
    campaign = world.campaign_of(caps=(Cap(messages=1, days=7), Cap(messages=2, days=30)))
    for name, days in (("one-old", [20]), ("two-old", [20, 25]), ("one-new", [6]), ("ancient", [31, 32, 33])):
        world.add_candidate(house, name)
        for age in days:
            world.add_send(house, name, occurrence_key=f"before {age}", at=NOW - timedelta(days=age))
    assert reasons(house, campaign) == {
        "one-old": None, "ancient": None, "two-old": Exclusion.FREQUENCY_CAP, "one-new": Exclusion.FREQUENCY_CAP,
    }  # fmt: skip


def test_a_message_that_the_provider_refused_does_not_use_up_the_cap(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    world.add_send(house, "ada", status="failed", occurrence_key="another", at=NOW - timedelta(days=1))
    assert reasons(house) == {"ada": None}


def test_the_held_out_share_gets_nothing_and_is_counted(house: Connection[DictRow]) -> None:
    campaign = world.campaign_of(holdout_share=0.5)
    for number in range(60):
        world.add_candidate(house, f"s{number:02}")
    found = reasons(house, campaign)
    held_out = {name for name, reason in found.items() if reason is Exclusion.HOLDOUT}
    assert held_out == {name for name in found if is_held_out(campaign, name)}
    assert 15 < len(held_out) < 45


def test_what_this_run_sent_in_an_earlier_attempt_is_neither_due_nor_excluded(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    world.add_send(house, "ada", run_key="this run", at=NOW)
    ada = audience(house)["ada"]
    assert ada.is_sent_in_run
    assert ada.exclusion is None
    assert not ada.is_to_be_sent


def test_a_claim_that_surely_did_not_go_out_neither_blocks_nor_counts(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    send_id = uuid.UUID(world.add_send(house, "ada", status="claimed", at=NOW))
    assert reasons(house) == {"ada": Exclusion.OUTCOME_UNKNOWN}
    found = list_candidates(house, world.campaign_of(), "this run", NOW, [send_id])
    assert [one.exclusion for one in found] == [None]


def test_marts_that_are_not_built_are_said_so(warehouse: Connection[DictRow]) -> None:
    with pytest.raises(CampaignError, match="build the profiles first"):
        list_candidates(warehouse, world.campaign_of(), "run", NOW)


def test_a_repr_shows_no_address(house: Connection[DictRow]) -> None:
    world.add_candidate(house, "ada")
    assert "@" not in repr(audience(house)["ada"])


@given(subscriber_id=st.text(min_size=1, max_size=40), campaign_id=st.sampled_from(["one", "two"]))
def test_a_subscriber_is_held_out_always_or_never_and_more_so_with_a_larger_share(
    subscriber_id: str, campaign_id: str
) -> None:
    shares = [world.campaign_of(campaign_id=campaign_id, holdout_share=share) for share in (0.0, 0.1, 0.3, 0.5)]
    answers = [is_held_out(campaign, subscriber_id) for campaign in shares]
    assert answers == [is_held_out(campaign, subscriber_id) for campaign in shares]
    assert answers == sorted(answers)
    assert answers[0] is False


@given(salt=st.uuids(), share=st.floats(min_value=0.02, max_value=0.5))
def test_the_held_out_share_is_near_what_is_declared(salt: uuid.UUID, share: float) -> None:
    campaign, count = world.campaign_of(holdout_share=share), 4_000
    held_out = sum(is_held_out(campaign, f"{salt}-{number}") for number in range(count))
    # five standard deviations: a fair hash misses it once in millions
    assert abs(held_out / count - share) < 5 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_for_many_says_what_the_preference_centre_says_for_one(house: Connection[DictRow], seed: int) -> None:
    import random

    chance = random.Random(seed)
    names = [f"s{number}" for number in range(12)]
    for name in names:
        world.add_subscriber(house, name, consents=chance.choice([True, False, None]))
        for _ in range(chance.randrange(4)):
            house.execute(
                "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, "
                "changed_at) values (%s, %s, %s, 'preference_centre', %s)",
                (
                    name, chance.choice(["email_marketing", "analytics"]), chance.random() < 0.5,
                    NOW - timedelta(days=chance.choice([1, 60, 90])),
                ),
            )  # fmt: skip
    permitted = read_permitted(house, "email_marketing", [Addressee(name, world.email_hash(name)) for name in names])
    assert permitted == {name for name in names if "email_marketing" in read_granted(house, name)}
