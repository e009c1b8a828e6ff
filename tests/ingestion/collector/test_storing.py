"""Writing down what the door decided: rows as PostgreSQL reads them, and each message id once whoever brings it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from ingestion.collector.calls import read_delivery
from ingestion.collector.copy_text import COPY_EVENTS, event_line, read_list, row_of_line
from ingestion.collector.storing import StoredCounts, store
from ingestion.collector.write_keys import WriteKeyError, read_write_keys
from ingestion.door.admission import Admission, Admitted, Dropped, SetAside
from ingestion.loading import load_rows
from ingestion.raw_tables import EVENTS, EventRow
from ingestion.records import Record
from marquee import database
from marquee.settings import Settings

_NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
# what the door lets through: no NUL, no lone surrogate
_texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))


def _event(message_id: str, **differing: object) -> Admitted:
    row = EventRow(message_id, "track", _NOW, event="Content Viewed", user_id="u-1", received_at=_NOW)
    return Admitted(message_id, row._replace(**differing))


_moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_said = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1)
_ids = st.none() | _said | st.sampled_from(["\\N", "\\", "\\.", "NULL", "\t", "a\tb\r\n"])
_documents = st.dictionaries(_texts, _texts, max_size=2).map(lambda said: orjson.dumps(said).decode())


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    event=st.builds(
        EventRow,
        message_id=_said,
        event_type=st.sampled_from(["track", "alias"]),
        occurred_at=_moments,
        **dict.fromkeys(
            (
                "event", "user_id", "anonymous_id", "previous_id", "group_id", "device_id", "advertising_id",
                "device_type", "email", "phone", "content_id", "schema_version",
            ),
            _ids,
        ),
        watched_fraction=st.none() | st.floats(0, 1),
        properties=_documents,
        context=_documents,
        sent_at=st.none() | _moments,
        received_at=_moments,
        consent_purposes=st.none() | st.lists(_texts, max_size=3),
        consent_signals=st.none() | _documents,
        is_simulated=st.booleans(),
    )
)  # fmt: skip
def test_postgresql_reads_a_line_as_the_event_it_was_made_of(
    postgres_connection: Connection[DictRow], event: EventRow
) -> None:
    with postgres_connection.cursor() as cursor:
        with cursor.copy(COPY_EVENTS) as copy:
            copy.write(event_line("live", event) + event_line("web", event))
        rows = cursor.execute(
            SQL("select {}, source from raw.events order by source").format(
                SQL(", ").join(map(Identifier, EventRow._fields))
            )
        ).fetchall()
    postgres_connection.rollback()
    assert [row.pop("source") for row in rows] == ["live", "web"]
    documents = ("properties", "context", "consent_signals")
    read = {name: value and orjson.loads(value) for name, value in event._asdict().items() if name in documents}
    assert rows == [event._asdict() | read] * 2
    again = row_of_line(event_line("live", event))
    texts = {name: value for name, value in event._asdict().items() if isinstance(value, str)}
    assert {name: text for name, text in again.items() if name in texts} == texts
    assert datetime.fromisoformat(again["occurred_at"]) == event.occurred_at
    assert read_list(again.get("consent_purposes", "{}")) == (event.consent_purposes or [])


@pytest.fixture(scope="module")
def postgres_connection(make_database: Callable[[], str]) -> Iterator[Connection[DictRow]]:
    """A connection to a database with the tables."""
    with database.connect(Settings(database_url=SecretStr(make_database()))) as connection:
        yield connection


def test_an_event_is_stored_once_whether_live_or_loaded_comes_first(warehouse: Connection[DictRow]) -> None:
    live, loaded = _event("live"), _event("loaded")
    records = [Record(one.message_id, one.values) for one in (live, loaded)]
    assert store(warehouse, "live", [live, live]) == StoredCounts(stored=1, repeated=1, set_aside=0, dropped=0)
    assert load_rows(warehouse, "events", EVENTS, records, _NOW).new_count == 1
    assert store(warehouse, "web", [live, loaded]) == StoredCounts(stored=0, repeated=2, set_aside=0, dropped=0)
    rows = warehouse.execute("select source, message_id from raw.events order by message_id").fetchall()
    assert rows == [{"source": "live", "message_id": "live"}, {"source": "events", "message_id": "loaded"}]


def test_of_two_events_of_a_lot_with_one_id_the_first_is_stored(warehouse: Connection[DictRow]) -> None:
    twice = [_event("twice", user_id="first"), _event("other"), _event("twice", user_id="second")]
    assert store(warehouse, "live", twice) == StoredCounts(stored=2, repeated=1, set_aside=0, dropped=0)
    rows = warehouse.execute("select user_id from raw.events where message_id = 'twice'").fetchall()
    assert rows == [{"user_id": "first"}]


def test_of_a_lot_that_is_known_in_part_the_rest_is_stored_in_the_same_transaction(
    warehouse: Connection[DictRow],
) -> None:
    one, two, three, four = (_event(name) for name in ("one", "two", "three", "four"))
    store(warehouse, "live", [two])
    warehouse.commit()
    assert store(warehouse, "live", [one, two, three]) == StoredCounts(stored=2, repeated=1, set_aside=0, dropped=0)
    assert store(warehouse, "web", [four, three]) == StoredCounts(stored=1, repeated=1, set_aside=0, dropped=0)
    warehouse.rollback()
    # nothing was claimed that was not stored
    assert store(warehouse, "live", [one, three]) == StoredCounts(stored=2, repeated=0, set_aside=0, dropped=0)
    rows = warehouse.execute("select message_id from raw.events order by message_id").fetchall()
    assert [row["message_id"] for row in rows] == ["one", "three", "two"]
    keys = warehouse.execute("select count(*) as n from raw.event_keys").fetchone()
    assert keys == {"n": 3}


def test_what_is_dropped_or_set_aside_is_counted_once_however_often_it_comes(warehouse: Connection[DictRow]) -> None:
    aside = SetAside("a", "Unknown", "event", "Unknown", "is not in the tracking plan", '{"event": "Unknown"}', _NOW)
    admissions: list[Admission] = [
        _event("e"), Dropped("d", "advertising", "gpc", _NOW), aside,
        Admitted("w", _event("w").values, (("advertising", "gpc"),)),
    ]  # fmt: skip
    for _ in range(2):
        store(warehouse, "live", admissions)
    counts = warehouse.execute(
        "select outcome, purpose, reason, event_count from ops.door_counts order by outcome"
    ).fetchall()
    assert [tuple(row.values()) for row in counts] == [
        ("admitted", "", "", 2),
        ("dropped", "advertising", "gpc", 1),
        ("set_aside", "", "", 1),
        ("stored_without", "advertising", "gpc", 1),
    ]
    assert warehouse.execute("select count(*) as n from raw.quarantined_events").fetchone() == {"n": 1}


def test_a_delivery_names_nameless_calls_by_content_and_place() -> None:
    body = b'{"sentAt": "2026-01-01T00:00:00Z", "batch": [{"type": "page"}, {"type": "page"}, {"type": "screen"}]}'
    first, again = (read_delivery("batch", body) for _ in range(2))
    ids = [call["messageId"] for call in first.calls]
    assert len(set(ids)) == 3
    assert ids == [call["messageId"] for call in again.calls]
    other = read_delivery("batch", body.replace(b"2026", b"2025"))
    assert set(ids).isdisjoint(call["messageId"] for call in other.calls)


@pytest.mark.parametrize("text", ["web", "web=", "=key", "Web Site=key", "web=key,app=key", " , "])
def test_write_keys_that_cannot_be_read_are_refused_without_showing_one(text: str) -> None:
    with pytest.raises(WriteKeyError, match="MARQUEE_WRITE_KEYS") as error:
        read_write_keys(Settings(write_keys=SecretStr(text)))
    assert "key" not in str(error.value).replace("key of source", "").replace("source=key", "")


def test_each_write_key_belongs_to_one_source() -> None:
    sources = read_write_keys(Settings(write_keys=SecretStr("web=k-1, tv=k-2, web=k-3")))
    assert sources == {"k-1": "web", "k-2": "tv", "k-3": "web"}
    assert read_write_keys(Settings(write_keys=None)) == {"marquee-local": "live"}
