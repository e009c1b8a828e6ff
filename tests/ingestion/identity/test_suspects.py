"""Which profiles are named as most likely wrong, and which honest oddities are not."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from rich.console import Console
from typer.testing import CliRunner

from ingestion.identity.resolving import subscriber_of
from ingestion.identity.rules import adopt_rules
from ingestion.identity.suspects import Suspect, read_suspects
from marquee.cli.app import app
from marquee.settings import Settings
from tests.ingestion.identity.graph import START, Call, Contact, Decided, catch_up, moment, write
from tests.ingestion.identity.mistaken_world import make_world

Graph = Connection[DictRow]


def _reasons(graph: Graph) -> dict[str, Suspect]:
    return {suspect.subscriber_id: suspect for suspect in read_suspects(graph)}


def _names(suspect: Suspect) -> set[str]:
    return {reason.reason for reason in suspect.reasons}


def _describe(graph: Graph, crm_id: str, **fields: str) -> None:
    for name, value in fields.items():
        graph.execute(f"update raw.crm_contacts set {name} = %s where crm_id = %s".encode(), (value, crm_id))


def test_profiles_spoilt_by_a_wrong_record_rank_above_odd_but_honest_ones(warehouse: Graph) -> None:
    adopt_rules(warehouse, START)
    mistakes = make_world(warehouse, people=2_000, each=10)
    catch_up(warehouse)
    wrong = {subscriber_of(warehouse, mistake.kind, mistake.value) for mistake in mistakes}
    assert len(wrong) == 40
    ranked = [suspect.subscriber_id for suspect in read_suspects(warehouse)]
    assert len(ranked) < 120
    assert wrong <= set(ranked)
    assert set(ranked[:20]) <= wrong
    assert len(wrong & set(ranked[:40])) / 40 >= 0.85


def test_one_record_that_alone_joins_two_sizeable_parts_is_named_with_the_record(graph: Graph) -> None:
    write(
        graph,
        Call("m1", user_id="u1", anonymous_id="a1"),
        Call("m2", day=1, user_id="u1", email="a@example.com"),
        Contact("c1", day=1, user_id="u1", email="a@example.com"),
        Contact("c2", day=1, email="b@example.com"),
        Call("m3", day=2, anonymous_id="a2", email="b@example.com"),
    )
    catch_up(graph)
    assert read_suspects(graph) == []
    write(graph, Call("wrong", day=3, user_id="u1", email="b@example.com"))
    catch_up(graph)
    (suspect,) = read_suspects(graph)
    (reason,) = suspect.reasons
    assert (reason.reason, reason.source, reason.evidence) == ("held together by one record", "web", "wrong")
    assert reason.identifier is not None
    assert {reason.identifier.split(":")[0], str(reason.other_identifier).split(":")[0]} == {"user_id", "email_hash"}
    # a second record that says so takes the doubt away
    write(graph, Contact("c1", day=4, user_id="u1", email="b@example.com"))
    catch_up(graph)
    assert read_suspects(graph) == []


def test_a_second_address_of_its_own_is_no_bridge(graph: Graph) -> None:
    write(
        graph,
        Call("m1", user_id="u1", anonymous_id="a1", email="a@example.com"),
        Call("m2", day=1, user_id="u1", anonymous_id="a1", email="a@example.com"),
        Call("m3", day=2, user_id="u1", anonymous_id="a1", email="b@example.com"),
        Contact("c1", day=1, email="a@example.com"),
    )
    catch_up(graph)
    assert read_suspects(graph) == []


def test_addresses_that_only_a_device_joins_are_suspect(graph: Graph) -> None:
    write(
        graph,
        Call("m1", device_id="tablet", email="a@example.com"),
        Call("m2", day=1, device_id="tablet", email="b@example.com"),
    )
    catch_up(graph)
    (suspect,) = read_suspects(graph)
    assert _names(suspect) == {"joined by clients only"}


def test_contacts_that_contradict_each_other_are_named_and_other_spellings_are_not(graph: Graph) -> None:
    write(graph, Contact("c1", day=0, email="a@example.com"), Contact("c2", day=1, email="a@example.com"))
    catch_up(graph)
    _describe(graph, "c1", first_name="Alexander", birth_year="1987", gender="M", country="de")
    _describe(graph, "c2", first_name=" alex", birth_year="87", gender="male", country="DE")
    assert read_suspects(graph) == []
    _describe(graph, "c2", birth_year="1988", gender="unknown")
    assert read_suspects(graph) == []
    # a pet name: the year of birth speaks for one person
    _describe(graph, "c2", first_name="Sasha")
    (suspect,) = read_suspects(graph)
    assert (_names(suspect), suspect.score) == ({"first names differ", "birth years agree"}, 1)
    _describe(graph, "c2", first_name="Mina", birth_year="1960", gender="F", country="FR")
    (suspect,) = read_suspects(graph)
    assert _names(suspect) == {"first names differ", "birth years differ", "genders differ", "countries differ"}
    assert suspect.score == 9
    assert {suspect.reasons[0].identifier, suspect.reasons[0].other_identifier} == {"crm_id:c1", "crm_id:c2"}
    # what was taken back counts no more
    write(graph, Contact("c2", day=2, is_deleted=True))
    catch_up(graph)
    assert read_suspects(graph) == []


def test_a_held_link_and_a_profile_at_its_limit_are_named(graph: Graph) -> None:
    write(graph, Call("m1", user_id="u1"), Call("m2", user_id="u2"), Call("m3", day=1, user_id="u2", previous_id="u1"))
    graph.execute(
        "select identity.adopt_rules(rules || %s, now()) from identity.rules",
        (Jsonb({"kinds": {"user_id": {"priority": 1, "profile_limit": 1},
                          "email_hash": {"priority": 4, "profile_limit": 3}}}),),
    )  # fmt: skip
    write(graph, *(Call(f"e{n}", day=2, user_id="u1", email=f"{n}@example.com") for n in range(2)))
    catch_up(graph)
    found = _reasons(graph)
    assert _names(found[str(subscriber_of(graph, "user_id", "u1"))]) == {"a link is held", "near its limits"}
    assert _names(found[str(subscriber_of(graph, "user_id", "u2"))]) == {"a link is held"}
    write(graph, Decided("user_id:u1", "user_id:u2", "parted"))
    assert [_names(suspect) for suspect in read_suspects(graph)] == [{"near its limits"}]


def test_two_places_at_one_time_count_where_something_else_speaks_against_a_profile(graph: Graph) -> None:
    write(
        graph,
        Call("m1", anonymous_id="a1", email="a@example.com"),
        Call("m2", anonymous_id="a2", email="b@example.com"),
        Call("m3", day=1, anonymous_id="a1", device_id="tablet"),
        Call("m4", day=1, anonymous_id="a2", device_id="tablet"),
    )
    catch_up(graph)
    (before,) = read_suspects(graph)
    for message, zone in (("m3", "Asia/Tokyo"), ("m4", "Europe/Paris")):
        graph.execute("update raw.events set context = %s where message_id = %s", (Jsonb({"timezone": zone}), message))
    (suspect,) = read_suspects(graph)
    assert _names(suspect) - _names(before) == {"in two places at one time"}
    # a day apart it is a journey
    graph.execute("update raw.events set occurred_at = %s where message_id = 'm4'", (moment(2),))
    assert read_suspects(graph) == [before]


def test_a_profile_far_larger_than_the_others_is_named(graph: Graph) -> None:
    write(
        graph,
        *(Call(f"m{n}", user_id=f"u{n}", anonymous_id=f"o{n}") for n in range(120)),
        *(Call(f"n{n}", user_id="u0", anonymous_id=f"a{n}") for n in range(40)),
    )
    catch_up(graph)
    (suspect,) = read_suspects(graph)
    assert _names(suspect) == {"far larger than others"}
    assert suspect.reasons[0].detail == "42 identifiers; 99 in 100 profiles have at most 2"


def test_the_command_lists_suspects_and_shows_identifiers_of_one_only(
    graph: Graph, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(graph, Call("m1", user_id="u1"), Call("m2", user_id="u2"), Call("m3", day=1, user_id="u2", previous_id="u1"))
    catch_up(graph)
    monkeypatch.setattr("marquee.database.load_settings", lambda: settings)
    monkeypatch.setattr("marquee.cli.identity.console", Console(width=200))
    listed = CliRunner().invoke(app, ["identity", "suspects"]).output
    subscriber = str(subscriber_of(graph, "user_id", "u1"))
    assert "2 of 2 suspects" in listed
    assert subscriber in listed
    assert "user_id:" not in listed
    shown = CliRunner().invoke(app, ["identity", "suspects", subscriber]).output
    assert "user_id:u1" in shown
    assert "web m3" in shown
    assert "Nothing speaks against nobody" in CliRunner().invoke(app, ["identity", "suspects", "nobody"]).output
