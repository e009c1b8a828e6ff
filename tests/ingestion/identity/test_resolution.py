"""Who is joined, who is not, and what happens to ids when evidence comes and goes."""

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ingestion.identity.resolving import current_subscriber, erase_identifier, subscriber_of
from marquee import database
from marquee.settings import Settings
from tests.ingestion.identity.graph import (
    RULES,
    START,
    Call,
    Contact,
    Decided,
    catch_up,
    groups,
    moment,
    profiles,
    state,
    write,
)

Graph = Connection[DictRow]

_MANY_DEVICES = Jsonb(
    {"limits": [*RULES["limits"], {"identifier": "email_hash", "counts": "device_id", "at_most": 50}]}
)


def _history(graph: Graph) -> list[tuple[str, str, str]]:
    rows = graph.execute("select * from identity.history order by history_id")
    return [(row["change"], row["from_subscriber_id"], row["to_subscriber_id"]) for row in rows]


def test_a_chain_of_records_is_one_profile_named_by_what_arrived_first(graph: Graph) -> None:
    write(graph, Call("m1", day=0, arrived=0, anonymous_id="a1"))
    catch_up(graph)
    first = subscriber_of(graph, "anonymous_id", "a1")
    # what happened earlier but came later does not take the id away
    write(
        graph,
        Call("m2", day=3, arrived=3, user_id="u1", anonymous_id="a1", email="Lou+tv@Example.com"),
        Contact("c1", day=0, email=" lou@example.com "),
        Call("m3", day=-9, arrived=4, user_id="u1", device_id="phone"),
    )
    catch_up(graph)
    assert len(groups(profiles(graph))) == 1
    assert len(profiles(graph)) == 5
    # the batch counts as having arrived at the start of its day, and the contact is believed more
    assert set(profiles(graph).values()) == {subscriber_of(graph, "crm_id", "c1")}
    assert current_subscriber(graph, str(first)) == subscriber_of(graph, "user_id", "u1")


def test_a_merge_keeps_the_older_id_and_says_by_what_it_came(graph: Graph) -> None:
    write(graph, Call("m1", day=1, arrived=1, user_id="u1"), Call("m2", day=2, arrived=2, anonymous_id="a1"))
    catch_up(graph)
    older, younger = subscriber_of(graph, "user_id", "u1"), subscriber_of(graph, "anonymous_id", "a1")
    write(graph, Call("m3", day=3, arrived=3, user_id="u1", anonymous_id="a1"))
    catch_up(graph, day=3)
    assert set(profiles(graph).values()) == {older}
    assert current_subscriber(graph, str(younger)) == older
    (row,) = graph.execute("select * from identity.history").fetchall()
    assert (row["change"], row["from_subscriber_id"], row["to_subscriber_id"]) == ("joined", younger, older)
    assert {row["identifier"], row["other_identifier"]} == {"user_id:u1", "anonymous_id:a1"}
    assert (row["source"], row["evidence"], row["changed_at"]) == ("web", "m3", moment(3))


def test_a_corrected_record_splits_what_it_had_joined(graph: Graph) -> None:
    write(
        graph,
        Call("m1", user_id="u1", email="a@example.com"),
        Call("m2", user_id="u2"),
        Contact("c1", day=1, user_id="u2"),
        Contact("c1", day=2, email="a@example.com"),
    )
    catch_up(graph)
    joined = profiles(graph)
    assert joined["crm_id:c1"] == joined["user_id:u1"] != joined["user_id:u2"]
    assert profiles(graph, day=1)["crm_id:c1"] == joined["user_id:u2"], "on the day before it was the other's"
    write(graph, Contact("c1", day=3, user_id="u2"))
    catch_up(graph)
    assert profiles(graph)["crm_id:c1"] == profiles(graph)["user_id:u2"] != profiles(graph)["user_id:u1"]


def test_a_record_that_vanishes_splits_and_one_that_returns_joins_again(graph: Graph) -> None:
    write(
        graph, Call("m1", arrived=1, user_id="u1"), Call("m2", arrived=2, email="a@example.com"),
        Contact("c1", day=3, user_id="u1", email="a@example.com"),
    )  # fmt: skip
    catch_up(graph)
    assert len(groups(profiles(graph))) == 1
    kept = profiles(graph)["user_id:u1"]
    write(graph, Contact("c1", day=5, is_deleted=True))
    catch_up(graph, day=5)
    assert len(groups(profiles(graph))) == 2
    assert "crm_id:c1" not in profiles(graph)
    assert profiles(graph)["user_id:u1"] == kept, "the part with the oldest identifier keeps the id"
    assert [change for change, _, _ in _history(graph)] == ["split"]
    assert _history(graph)[0][1] == kept
    write(graph, Contact("c1", day=3, user_id="u1", email="a@example.com"))
    catch_up(graph, day=6)
    assert len(groups(profiles(graph))) == 1


def test_an_erased_identifier_falls_out_and_its_id_leads_to_the_rest(graph: Graph) -> None:
    write(graph, Call("m1", arrived=0, anonymous_id="a1"), Call("m2", arrived=1, user_id="u1", anonymous_id="a1"))
    write(graph, Call("m3", arrived=2, anonymous_id="a1", device_id="phone"))
    catch_up(graph)
    former = profiles(graph)["anonymous_id:a1"]
    assert erase_identifier(graph, "anonymous_id:a1", START)
    assert groups(profiles(graph)) == {frozenset({"user_id:u1"}), frozenset({"device_id:phone"})}
    assert current_subscriber(graph, former) in profiles(graph).values()
    assert not erase_identifier(graph, "anonymous_id:a1", START)
    assert graph.execute("select count(*) as n from identity.links").fetchone() == {"n": 0}


def test_blocked_values_and_crowded_identifiers_join_nobody(graph: Graph) -> None:
    write(
        graph,
        *(Call(f"t{user}", user_id=f"u{user}", email="TEST@example.com", device_id="kiosk") for user in range(5)),
        *(Call(f"h{user}", user_id=f"u{user}", device_id="tv") for user in range(2)),
        # two people on one browser within the window
        Call("b1", day=1, user_id="u0", anonymous_id="a1"),
        Call("b2", day=3, user_id="u1", anonymous_id="a1"),
    )
    catch_up(graph)
    assert groups(profiles(graph)) == {
        *(frozenset({f"user_id:u{user}"}) for user in range(5)),
        frozenset({"device_id:tv"}), frozenset({"device_id:kiosk"}), frozenset({"anonymous_id:a1"}),
    }  # fmt: skip
    assert state(graph)["crowded"] >= {
        ("device_id:kiosk", 5, False), ("device_id:tv", 2, True), ("anonymous_id:a1", 2, False),
    }  # fmt: skip
    assert state(graph)["households"] == {("device_id:tv", "user_id:u0"), ("device_id:tv", "user_id:u1")}


def test_an_identifier_with_ten_thousand_devices_makes_no_giant(graph: Graph) -> None:
    graph.execute(
        "insert into raw.events (source, message_id, event_type, device_id, user_id, occurred_at, is_simulated) "
        "select 'web', 'm' || n, 'track', 'shared', 'u' || n, %s, true from generate_series(1, 10000) as n",
        (START,),
    )
    graph.execute(
        "insert into raw.events (source, message_id, event_type, device_id, email, occurred_at, is_simulated) "
        "select 'web', 'n' || n, 'track', 'd' || n, 'desk@example.com', %s, true from generate_series(1, 10000) as n",
        (START,),
    )
    graph.execute("select identity.adopt_rules(rules || %s, now()) from identity.rules", (_MANY_DEVICES,))
    graph.commit()
    catch_up(graph)
    sizes = sorted(map(len, groups(profiles(graph))))
    assert len(sizes) == 20_002
    assert sizes[-1] == 1


def test_an_alias_that_would_join_two_users_waits_for_review(graph: Graph) -> None:
    write(
        graph,
        Call("m1", arrived=1, user_id="u1", anonymous_id="a1"),
        Call("m2", arrived=2, user_id="u2", anonymous_id="a2"),
        Call("m3", arrived=3, user_id="u2", previous_id="u1"),
        Call("m4", arrived=3, user_id="u2", previous_id="visitor"),
        Call("m5", arrived=4, anonymous_id="visitor", device_id="phone"),
    )
    catch_up(graph)
    two = {
        frozenset({"user_id:u1", "anonymous_id:a1"}),
        frozenset({"user_id:u2", "anonymous_id:a2", "anonymous_id:visitor", "device_id:phone"}),
    }
    assert groups(profiles(graph)) == two
    assert state(graph)["held"] == {frozenset({"user_id:u1", "user_id:u2"})}
    write(graph, Decided("user_id:u1", "user_id:u2", "joined"))
    assert len(groups(profiles(graph))) == 1
    assert state(graph)["held"] == set()
    write(graph, Decided("user_id:u1", "user_id:u2", "parted"))
    assert groups(profiles(graph)) == two
    assert state(graph)["held"] == set(), "who has been refused is not asked about again"
    assert [change for change, _, _ in _history(graph)] == ["joined", "split"]


def test_one_address_of_two_users_stays_with_who_had_it_first(graph: Graph) -> None:
    write(
        graph,
        Call("m1", day=5, user_id="u1", email="a@example.com"),
        Call("m2", day=2, user_id="u2", email="a@example.com"),
        Contact("c1", day=3, email="a@example.com"),
    )
    catch_up(graph)
    found = profiles(graph)
    assert found["crm_id:c1"] == found["user_id:u2"] != found["user_id:u1"]


def test_a_second_delivery_and_a_rolled_back_one_change_nothing(graph: Graph) -> None:
    write(graph, Call("m1", user_id="u1", anonymous_id="a1"))
    graph.execute("select identity.catch_up(now())")
    graph.rollback()
    assert profiles(graph) == {}
    catch_up(graph)
    before = (state(graph), graph.execute("select * from identity.links").fetchall())
    write(graph, Call("m1", user_id="u1", anonymous_id="a1"))
    catch_up(graph)
    assert (state(graph), graph.execute("select * from identity.links").fetchall()) == before
    assert _history(graph) == []


def test_what_commits_late_is_not_overtaken(graph: Graph, settings: Settings) -> None:
    with database.connect(settings) as slow:
        slow.execute("insert into raw.events (source, message_id, event_type, user_id, anonymous_id, occurred_at, "
                     "is_simulated) values ('web', 'slow', 'track', 'u1', 'a1', now(), true)")  # fmt: skip
        write(graph, Call("quick", user_id="u2"))
        catch_up(graph)
        assert set(profiles(graph)) == {"user_id:u2"}
        slow.commit()
    write(graph, Call("later", user_id="u3"))
    catch_up(graph)
    assert set(profiles(graph)) == {"user_id:u1", "anonymous_id:a1", "user_id:u2", "user_id:u3"}
