"""Whatever a file holds, each of its rows is loaded or set aside, and PostgreSQL takes both."""

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.connectors import FILE_CONNECTORS
from ingestion.loading import load_rows
from ingestion.records import Rejection
from marquee import database
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMES = {
    "crm": "contacts.csv",
    "billing": "subscriptions.jsonl",
    "email_provider": "events.jsonl",
    "cms": "content.json",
    "events": "day.jsonl",
    "consents": "consents.csv",
    "surveys": "answers.csv",
    "invoices": "invoices.jsonl",
}
GOOD: dict[str, dict[str, object]] = {
    "crm": {"crm_id": "1", "email": "a@example.com", "updated_at": "2026-01-01"},
    "billing": {"id": "1", "plan": "basic", "updated_at": "2026-01-01"},
    "email_provider": {"sg_event_id": "1", "email": "a@example.com", "event": "open", "timestamp": 1_780_000_000},
    "cms": {"id": "1", "type": "video", "title": "First", "tags": ["Drama"], "updated_at": "2026-01-01"},
    "events": {
        "messageId": "1", "type": "track", "event": "Article Read", "userId": "u", "timestamp": 1_780_000_000,
        "properties": {"content_id": "c", "watched_fraction": 0.5, "more": {}}, "context": {"device": {}},
    },
    "consents": {
        "identifier_kind": "user_id", "identifier": "u", "purpose": "analytics", "status": "granted",
        "recorded_at": "2026-01-01",
    },
    "invoices": {"id": "1", "subscription": "s", "status": "paid", "amount": 799, "updated_at": "2026-01-01"},
    "surveys": {"user_id": "u", "question": "q", "answer": "1", "answered_at": "2026-01-01"},
}  # fmt: skip
ANY_TEXT = st.text(max_size=12) | st.sampled_from(
    [
        "\x00",
        "\ud800",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1e400",
        "nan",
        "-1",
        "31/02/2026",
        "'",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
LINES = st.binary(max_size=40) | ANY_JSON.map(lambda value: json.dumps(value).encode())


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection[DictRow]]:
    with database.connect(settings) as connection:
        yield connection


def _load(connection: Connection[DictRow], source: str, data: bytes) -> int:
    """Rows of a file with this content, all of which a load takes; then undone."""
    connector = FILE_CONNECTORS[source]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / NAMES[source]).write_bytes(data)
        rows = list(connector.rows(Path(folder) / NAMES[source]))
    loaded = load_rows(connection, source, connector.table, rows, NOW)
    connection.rollback()
    rejected_count = sum(isinstance(row, Rejection) for row in rows)
    assert loaded.read_count == len(rows)
    # the door sets calls aside too
    assert loaded.quarantined_count >= rejected_count
    assert loaded.new_count <= len(rows) - loaded.quarantined_count
    return len(rows)


@pytest.mark.parametrize("source", sorted(NAMES))
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(lines=st.lists(LINES, max_size=4))
def test_a_file_of_garbage_is_loaded_or_set_aside(
    connection: Connection[DictRow], source: str, lines: list[bytes]
) -> None:
    header = ",".join(GOOD[source]).encode() + b"\n" if NAMES[source].endswith("csv") else b""
    _load(connection, source, header + b"\n".join(lines))


@pytest.mark.parametrize("source", sorted(NAMES))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_a_good_row_with_one_strange_value_is_loaded_or_set_aside(
    connection: Connection[DictRow], source: str, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(GOOD[source])))
    if NAMES[source].endswith("csv"):
        value = data.draw(ANY_TEXT).replace('"', "'")
        cells = [value if name == field else str(known) for name, known in GOOD[source].items()]
        text = ",".join(GOOD[source]) + "\n" + ",".join(f'"{cell}"' for cell in cells) + "\n"
        assert _load(connection, source, text.encode("utf-8", "surrogatepass")) == 1
        return
    row = {**GOOD[source], field: data.draw(ANY_JSON)}
    text = json.dumps({"items": [row]} if source == "cms" else row)
    assert _load(connection, source, text.encode()) == 1
