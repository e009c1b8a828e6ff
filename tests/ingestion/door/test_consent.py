"""Consent at the door: what each signal grants and refuses, what is taken away without it, and how it is counted."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.collector.storing import store
from ingestion.door.admission import Admitted, Arrival, Door, Dropped
from ingestion.door.gpp import UnreadableGppError, read_gpp
from ingestion.door.policy import POLICY_FILE, DoorPolicyError, load_policy
from tests.ingestion.door.calls import ARRIVAL, DOOR, NOW, PLAN, POLICY, call, door_with, row

ALL_TCF = (
    "COwIsAvOwIsAvBIAAAENAPCMAP_AAP_AAAAAFoQBQABAAGAAQAAwACQAAAAA.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgA"
    "QBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw"
)
NO_TCF = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
# US national: sale, sharing and targeted advertising answered with "did not opt out" (2) and "opted out" (1)
NOT_OPTED_OUT, OPTED_OUT, OPTED_OUT_BY_GPC = (
    "DBABLA~BVQqAAAAAgA.QA",
    "DBABLA~BVQVAAAAAgA.QA",
    "DBABLA~BVQVAAAAAAGA.YA",
)
BY_TCF = ["advertising", "analytics", "personalization"]


def _bits_as_text(bits: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = bits + "0" * (-len(bits) % 6)
    return "".join(alphabet[int(padded[place : place + 6], 2)] for place in range(0, len(padded), 6))


def _california(sale: int, sharing: int) -> str:
    """A GPP string with one section, California (8), after the specification's table of fields."""
    header = _bits_as_text(f"{3:06b}{1:06b}{1:012b}0" + "000011")  # 8 is the fifth Fibonacci number
    return f"{header}~{_bits_as_text(f'{1:06b}010101{sale:02b}{sharing:02b}' + '00' * 20)}"


@pytest.mark.parametrize(
    ("context", "has_gpc", "purposes", "refused"),
    [
        ({}, False, None, None),
        (
            {"consent": {"categoryPreferences": {"analytics": True, "Advertising": False, "telepathy": True}}},
            False,
            ["analytics"],
            ["advertising"],
        ),
        ({"consent": {"tcf": ALL_TCF}}, False, BY_TCF, None),
        ({"consent": {"tcString": NO_TCF}}, False, [], BY_TCF),
        # too long to be kept, which changes nothing
        ({"consent": {"tcf": f"{ALL_TCF}.{'A' * 5_000}"}}, False, BY_TCF, None),
        ({"consent": {"gpp": f"DBACNYA~{ALL_TCF}.{'A' * 5_000}~1YYN"}}, False, BY_TCF[1:], ["advertising"]),
        ({"consent": {"tcf": "not one"}}, False, [], BY_TCF),
        # version 1 of the framework is over
        ({"consent": {"tcf": "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"}}, False, [], BY_TCF),
        ({"consent": {"gpp": NOT_OPTED_OUT}}, False, ["advertising"], None),
        ({"consent": {"gpp": OPTED_OUT}}, False, [], ["advertising"]),
        ({"consent": {"gpp": _california(2, 1)}}, False, [], ["advertising"]),
        ({"consent": {"gpp": _california(2, 2)}}, False, ["advertising"], None),
        ({"consent": {"gpp": f"DBACNYA~{ALL_TCF}~1YYN"}}, False, ["analytics", "personalization"], ["advertising"]),
        ({"consent": {"gpp": "D~"}}, False, [], ["advertising"]),
        # the strictest of several counts
        (
            {"consent": {"tcf": ALL_TCF, "categoryPreferences": {"personalization": False, "email_marketing": True}}},
            False,
            ["advertising", "analytics", "email_marketing"],
            ["personalization"],
        ),
        ({"consent": {"tcf": ALL_TCF}}, True, ["analytics", "personalization"], ["advertising"]),
        ({"gpc": True}, False, [], ["advertising"]),
        ({"consent": {"gpc": "1", "categoryPreferences": {"advertising": True}}}, False, [], ["advertising"]),
        ({"consent": {"gpp": OPTED_OUT_BY_GPC}}, False, [], ["advertising"]),
    ],
)
def test_each_signal_grants_and_refuses(
    context: dict[str, object], has_gpc: bool, purposes: list[str] | None, refused: list[str] | None
) -> None:
    found = row(DOOR.admit(call(context=context), Arrival("live", NOW, has_gpc=has_gpc)))
    signals = None if found.consent_signals is None else json.loads(found.consent_signals)
    assert found.consent_purposes == purposes
    assert (None if signals is None else signals.get("refused")) == refused


def test_the_strings_themselves_are_kept() -> None:
    consent = {"tcf": ALL_TCF, "gpp": OPTED_OUT_BY_GPC}
    found = row(DOOR.admit(call(context={"consent": consent}), ARRIVAL))
    assert json.loads(str(found.consent_signals)) == {**consent, "gpc": True, "refused": ["advertising"]}


@pytest.mark.parametrize("text", ["", "DBABLA", "DBABLA~B", "DBABLA~BVQq!AAAAgA", "CPXxRfA~x", "DBABLA~a~b", "é~"])
def test_what_is_no_gpp_string_is_refused(text: str) -> None:
    with pytest.raises(UnreadableGppError):
        read_gpp(text)


def test_utah_has_a_notice_more_than_its_neighbours() -> None:
    header = _bits_as_text(f"{3:06b}{1:06b}{1:012b}0" + "001011")  # 11 = 3 + 8
    for answers, is_opted_out in (("1010", False), ("1001", True)):
        # four notices that were not given (2), then sale and targeted advertising
        section = _bits_as_text(f"{1:06b}" + "10" * 4 + answers + "00" * 12)
        assert read_gpp(f"{header}~{section}").is_opted_out is is_opted_out


def test_a_section_that_is_not_known_counts_as_an_opt_out() -> None:
    header = _bits_as_text(f"{3:06b}{1:06b}{1:012b}0" + "00100011")  # 37 = 3 + 34
    assert read_gpp(f"{header}~AAAA").is_opted_out


AD = {
    "device": {"id": "d", "advertisingId": "ad-1"},
    "campaign": {"name": "spring"},
    "referrer": {"url": "https://a.example/?token=1"},
}


def _with_consent(**preferences: bool) -> dict[str, object]:
    return {**AD, "consent": {"categoryPreferences": preferences}}


def test_without_permission_what_serves_that_purpose_alone_is_taken_away() -> None:
    granted = row(DOOR.admit(call(context=_with_consent(advertising=True, analytics=True)), ARRIVAL))
    assert (granted.advertising_id, granted.device_id) == ("ad-1", "d")
    assert json.loads(granted.context) == {
        "campaign": {"name": "spring"},
        "referrer": {"url": "https://a.example/"},
    }
    for context in (_with_consent(advertising=False, analytics=True), {**AD}):
        admitted = DOOR.admit(call(context=context), ARRIVAL)
        found = row(admitted)
        assert (found.advertising_id, found.device_id) == (None, "d")
        assert json.loads(found.context) == {"referrer": {"url": "https://a.example/"}}
        assert isinstance(admitted, Admitted)
        assert [purpose for purpose, _ in admitted.withheld] == ["advertising"]
    no_analytics = row(DOOR.admit(call(context=_with_consent(advertising=True, analytics=False)), ARRIVAL))
    assert json.loads(no_analytics.context) == {"campaign": {"name": "spring"}}


def test_a_policy_can_drop_what_is_collected_for_nothing_that_is_permitted(warehouse: Connection[DictRow]) -> None:
    purposes = {name: policy.model_dump() for name, policy in POLICY.purposes.items()}
    strict = door_with(purposes={**purposes, "advertising": {**purposes["advertising"], "refused": "drop"}})
    ad: dict[str, object] = {"event": "Video Ad Started", "properties": {"asset_id": "ad"}}
    nothing = {"consent": {"categoryPreferences": {"advertising": False, "analytics": False}}}
    something = {"consent": {"categoryPreferences": {"advertising": False, "analytics": True}}}
    admissions = [
        strict.admit(call(**ad, messageId="m-1", context=nothing), ARRIVAL),
        strict.admit(call(**ad, messageId="m-2", context=something), ARRIVAL),
        strict.admit(call(**ad, messageId="m-3", context={"gpc": True, **nothing}), ARRIVAL),
        # no ad is collected for these
        strict.admit(call(messageId="m-4", context=nothing), ARRIVAL),
        strict.admit(call(messageId="m-5", event="Nothing Known"), ARRIVAL),
    ]
    assert [type(one).__name__ for one in admissions] == ["Dropped", "Admitted", "Dropped", "Admitted", "SetAside"]
    assert admissions[0] == Dropped("m-1", "advertising", "refused", NOW)
    for _ in range(2):
        # a second delivery is known, and not counted again
        store(warehouse, "live", admissions)
    store(warehouse, "live", [strict.admit(call(messageId="m-6", context=something), ARRIVAL)])
    counts = warehouse.execute("select * from ops.door_counts order by outcome, purpose, reason").fetchall()
    assert [(row["outcome"], row["purpose"], row["reason"], row["event_count"]) for row in counts] == [
        ("admitted", "", "", 3),
        ("dropped", "advertising", "gpc", 1),
        ("dropped", "advertising", "refused", 1),
        ("set_aside", "", "", 1),
        ("stored_without", "advertising", "refused", 1),
        ("stored_without", "analytics", "refused", 1),
    ]
    assert {row["hour"] for row in counts} == {NOW}


def test_a_policy_that_is_wrong_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    text = POLICY_FILE.read_text()
    path.write_text(text.replace("unsaid: store_without", "unsaid: perhaps"))
    line = next(number for number, words in enumerate(path.read_text().splitlines(), 1) if "perhaps" in words)
    with pytest.raises(DoorPolicyError, match=rf"policy.yml:{line}: purposes.advertising.unsaid: "):
        load_policy(path)
    path.write_text(text.replace("removes: [advertising_id,", "removes: [message_id,"))
    with pytest.raises(DoorPolicyError, match=r"purposes.advertising.removes: .*'message_id' is neither"):
        load_policy(path)


# what equals one another in Python or in JSON, and is not the same answer
_LOOK_ALIKES = st.sampled_from(
    [True, False, 1, 0, 1.0, 0.0, "1", "true", None, "", float("nan"), float("inf"), -0.0, [], {}, "\ud800", "\x00"]
)
_SAID = st.recursive(
    _LOOK_ALIKES | st.sampled_from([ALL_TCF, NO_TCF, OPTED_OUT, OPTED_OUT_BY_GPC, "x" * 5_000]),
    lambda inner: st.dictionaries(
        st.sampled_from(["categoryPreferences", "analytics", "Advertising", "tcf", "tcString", "gpp", "gpc"]), inner
    ),
)


@hypothesis_settings(max_examples=500, deadline=None)
@given(consent=_SAID, gpc=_LOOK_ALIKES, has_gpc=st.booleans())
def test_a_door_that_has_seen_much_decides_as_one_that_was_just_opened(
    consent: object, gpc: object, has_gpc: bool
) -> None:
    said = call(context={"consent": consent, "gpc": gpc, "device": {"id": "d-1", "advertisingId": "a-1"}})
    arrival = Arrival("live", NOW, has_gpc=has_gpc)
    # DOOR has kept the answers of every example before
    assert DOOR.admit(said, arrival) == Door(PLAN, POLICY).admit(said, arrival)


def test_consent_that_looks_like_an_answer_that_is_kept_gets_its_own() -> None:
    def admitted(consent: object) -> bool:
        return isinstance(DOOR.admit(call(context={"consent": consent}), ARRIVAL), Admitted)

    assert admitted({"categoryPreferences": {"analytics": True}})
    assert not admitted({"categoryPreferences": {"analytics": 1}})
    assert admitted({"tcf": None})
    assert not admitted({"tcf": float("nan")})
