"""Consent as it stands: every reader combines the warehouse's answer with the choices since in the same way."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from activation.preferences.choices import TEXTS, read_granted, record_choices
from activation.preferences.permission import Addressee, read_permitted
from activation.preferences.texts import ConsentTextError, newest_texts
from activation.serving.subscribers import find_subscriber
from tests.activation.serving import world

NOW = world.NOW
EARLIER, LATER = NOW - timedelta(days=2), NOW - timedelta(days=1)

# the warehouse's answer: permitted, since when (None: a regional default), locked; choices since; what holds
PRESENT: dict[str, tuple[tuple[bool, datetime | None, bool] | None, list[tuple[bool, datetime]], bool]] = {
    "nothing is known": (None, [], False),
    "a default that permits": ((True, None, False), [], True),
    "a default that does not": ((False, None, False), [], False),
    "a choice against the default": ((True, None, False), [(False, EARLIER)], False),
    "a choice where the default asks": ((False, None, False), [(True, EARLIER)], True),
    "a choice newer than the word": ((False, EARLIER, False), [(True, LATER)], True),
    "a choice older than the word": ((False, LATER, False), [(True, EARLIER)], False),
    "a refusal at the same moment": ((True, EARLIER, False), [(False, EARLIER)], False),
    "a grant at the same moment": ((False, EARLIER, False), [(True, EARLIER)], False),
    "the newest of two choices": ((True, EARLIER, False), [(False, EARLIER), (True, LATER)], True),
    "a lock holds against a later grant": ((False, EARLIER, True), [(True, LATER)], False),
}


@pytest.fixture
def marts(warehouse: Connection[DictRow]) -> Connection[DictRow]:
    world.make_tables(warehouse)
    warehouse.execute("insert into marts.dim_subscribers (subscriber_id) values ('s')")
    return warehouse


def test_page_serving_and_sending_give_one_answer(marts: Connection[DictRow]) -> None:
    found, expected = {}, {}
    for case, (built, choices, is_permitted) in PRESENT.items():
        with marts.transaction(force_rollback=True):
            for purpose in ("personalization", "email_marketing"):
                _say(marts, purpose, built, choices)
            subscriber = find_subscriber(marts, "s", None)
            assert subscriber is not None
            found[case] = (
                read_granted(marts, "s"),
                read_permitted(marts, "email_marketing", [Addressee("s", "h")]),
                subscriber.has_personalization_consent,
            )
        both = frozenset({"personalization", "email_marketing"} if is_permitted else ())
        expected[case] = (both, frozenset({"s"} if is_permitted else ()), is_permitted)
    assert found == expected


def _say(
    connection: Connection[DictRow],
    purpose: str,
    built: tuple[bool, datetime | None, bool] | None,
    choices: list[tuple[bool, datetime]],
) -> None:
    if built is not None:
        is_permitted, effective_at, is_locked = built
        connection.execute(
            "insert into marts.fct_consents "
            "(subscriber_id, purpose, is_permitted, effective_at, is_said, is_locked) values ('s', %s, %s, %s, %s, %s)",
            (purpose, is_permitted, effective_at, effective_at is not None, is_locked),
        )
    for is_granted, changed_at in choices:
        connection.execute(
            "insert into activation.preference_changes "
            "(subscriber_id, purpose, is_granted, changed_via, changed_at) "
            "values ('s', %s, %s, 'preference_centre', %s)",
            (purpose, is_granted, changed_at),
        )


def test_a_choice_is_stored_with_the_version_of_its_text_and_a_form_adds_only_what_changes(
    marts: Connection[DictRow],
) -> None:
    marts.execute(
        "insert into marts.fct_consents (subscriber_id, purpose, is_permitted, is_said) values "
        "('s', 'personalization', true, false), ('s', 'analytics', true, false), ('s', 'email_marketing', false, false)"
    )
    form = {"personalization": True, "analytics": False, "email_marketing": False, "advertising": False}
    assert record_choices(marts, "s", form, "preference_centre", NOW) == 1
    assert record_choices(marts, "s", form, "preference_centre", LATER) == 0
    # one button says its one word though a default says the same, and says it once
    for expected in (1, 0):
        assert record_choices(marts, "s", {"email_marketing": False}, "unsubscribe_all", NOW) == expected
    stored = marts.execute(
        "select purpose, is_granted, text_version from activation.preference_changes order by purpose"
    ).fetchall()
    assert stored == [
        {"purpose": "analytics", "is_granted": False, "text_version": TEXTS.version},
        {"purpose": "email_marketing", "is_granted": False, "text_version": TEXTS.version},
    ]


def test_the_version_tells_on_a_text_that_was_changed_in_place(tmp_path: Path) -> None:
    shipped = newest_texts()
    path = tmp_path / "texts.yml"
    source = Path(newest_texts.__code__.co_filename).with_name("texts.yml").read_text()
    path.write_text(source)
    assert newest_texts(path) == shipped
    path.write_text(source.replace("at most a few times a month", "as often as we like"))
    changed = newest_texts(path)
    assert changed.version.split("+")[0] == shipped.version.split("+")[0]
    assert changed.version != shipped.version
    path.write_text(source + source)
    with pytest.raises(ConsentTextError, match="name of its own"):
        newest_texts(path)
