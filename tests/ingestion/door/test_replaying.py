"""What is set aside waits once, and is stored once when the plan allows it."""

import shutil
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from rich.console import Console
from typer.testing import CliRunner

from ingestion.collector.storing import store
from ingestion.door import replaying
from ingestion.door.admission import Arrival, Door
from ingestion.door.replaying import Replay
from ingestion.sources import ingest_source
from ingestion.tracking_plan.plan import PLAN_FOLDER, load_plan
from marquee import database
from marquee.cli.app import app
from marquee.settings import Settings
from tests.ingestion.door.calls import DOOR, NOW, POLICY, call
from tests.ingestion.extracts import json_lines, write

EVENT = """
name: Trailer Watched
version: 1
since: 2026-11-24
owner: marketing
description: A trailer was watched.
purposes: [personalization]
includes: [content]
needs_one_of: [content_id]
"""


def _door_that_knows_trailers(folder: Path) -> Door:
    shutil.copytree(PLAN_FOLDER, folder / "plan")
    (folder / "plan" / "events" / "video" / "trailer_watched.yml").write_text(EVENT)
    return Door(load_plan(folder / "plan"), POLICY)


def _waiting(connection: Connection[DictRow]) -> list[str]:
    """Message ids in order; a call that had none is an empty text."""
    rows = connection.execute(
        "select coalesce(message_id, '') as message_id from raw.quarantined_events where replayed_at is null "
        "order by message_id"
    )
    return [row["message_id"] for row in rows]


def test_quarantined_calls_are_stored_once_the_plan_allows_them(
    warehouse: Connection[DictRow], settings: Settings, tmp_path: Path
) -> None:
    arrival = Arrival("live", NOW, NOW, "203.0.113.77", "okhttp/4.12.0", has_gpc=True)
    device = {"id": "d", "advertisingId": "ad-1", "name": "Ann's phone"}
    trailers = [
        call(event="Trailer Watched", messageId="m-1", timestamp="2026-11-24T11:00:00Z", context={"device": device}),
        call(event="Trailer Watched", messageId="m-2", properties={}),
        call(event="Trailer Watched", messageId="m-3"),
        call(event="Nothing Known", messageId="m-4"),
        call(messageId=None),
    ]
    for _ in range(2):
        store(warehouse, "live", [DOOR.admit(one, arrival) for one in trailers])
    warehouse.commit()
    assert len(_waiting(warehouse)) == len(trailers)
    kept = warehouse.execute("select payload from raw.quarantined_events where message_id = 'm-1'").fetchone()
    assert kept is not None
    # neither the whole address nor what serves advertising waits with it
    assert kept["payload"]["context"] == {
        "ip": "203.0.113.0",
        "gpc": True,
        "device": {"id": "d"},
        "userAgent": {"browser": "okhttp", "os": "Other", "device": "mobile"},
    }
    (unknown, *_) = replaying.reasons(warehouse, "Trailer Watched")
    assert (unknown.field, unknown.reason, unknown.call_count) == ("event", "is not in the tracking plan", 3)
    warehouse.commit()

    door = _door_that_knows_trailers(tmp_path)
    # in the meantime the client has sent one again, and it was admitted
    store(warehouse, "live", [door.admit(trailers[2], arrival)])
    warehouse.commit()
    assert replaying.replay(warehouse, door, NOW, "Trailer Watched") == Replay(stored=1, repeated=1, waiting=1)
    assert replaying.replay(warehouse, door, NOW, "Trailer Watched") == Replay(waiting=1)
    # another connection sees it: what is stored is committed
    with database.connect(settings) as other:
        stored = other.execute("select * from raw.events where message_id = 'm-1'").fetchone()
        assert stored is not None
        assert (stored["source"], stored["event"], stored["device_id"]) == ("live", "Trailer Watched", "d")
        assert (stored["received_at"], stored["device_type"], stored["consent_purposes"]) == (NOW, "mobile", [])
        assert (stored["consent_signals"], stored["context"]["ip"]) == (
            {"gpc": True, "refused": ["advertising"]},
            "203.0.113.0",
        )
        count = other.execute("select count(*) as n from raw.events").fetchone()
        assert count is not None
        assert count["n"] == 2
    # the reason is the one of now
    reasons = {reason.event: reason for reason in replaying.reasons(warehouse)}
    assert reasons["Trailer Watched"].reason == "has none of content_id"
    assert _waiting(warehouse) == ["", "m-2", "m-4"]


def test_a_replay_that_fails_marks_nothing(
    warehouse: Connection[DictRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(warehouse, "live", [DOOR.admit(call(event="Trailer Watched"), Arrival("live", NOW))])
    warehouse.execute("alter table raw.events add constraint none_today check (event <> 'Trailer Watched')")
    warehouse.commit()
    door = _door_that_knows_trailers(tmp_path)
    with pytest.raises(Exception, match="none_today"):
        replaying.replay(warehouse, door, NOW)
    assert _waiting(warehouse) == ["m-1"]
    warehouse.execute("alter table raw.events drop constraint none_today")
    warehouse.commit()
    assert replaying.replay(warehouse, door, NOW) == Replay(stored=1)


def test_an_extract_goes_through_the_same_door_and_is_counted_once(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    lines = [call(messageId=f"m-{number}") for number in range(3)]
    write(settings, "events", "day.jsonl", json_lines(*lines, lines[0], call(messageId="m-9", event="Nothing Known")))
    done = ingest_source("events", "run-1", NOW, settings)
    assert (done.read_count, done.new_count, done.quarantined_count) == (5, 3, 1)
    # changed, so that it is read again
    write(settings, "events", "day.jsonl", json_lines(*lines, call(messageId="m-9", event="Nothing Known"), "no JSON"))
    again = ingest_source("events", "run-2", NOW, settings)
    assert (again.new_count, again.quarantined_count) == (0, 2)
    assert _waiting(warehouse) == ["m-9"]
    counts = warehouse.execute("select outcome, event_count from ops.door_counts order by outcome").fetchall()
    assert [tuple(row.values()) for row in counts] == [("admitted", 3), ("set_aside", 1)]


def test_the_command_line_shows_reasons_and_replays(
    settings: Settings, warehouse: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(warehouse, "live", [DOOR.admit(call(event="Nothing Known"), Arrival("live", NOW))])
    warehouse.commit()
    connect = database.connect
    monkeypatch.setattr(database, "connect", lambda: connect(settings))
    monkeypatch.setattr("marquee.cli.events.console", Console(width=200))
    shown = CliRunner().invoke(app, ["events", "quarantined"])
    assert "Nothing Known" in shown.output
    assert "is not in the tracking plan" in shown.output
    replayed = CliRunner().invoke(app, ["events", "replay", "--event", "Nothing Known"])
    assert "0 stored" in replayed.output
    assert "1 still wait" in replayed.output
    counted = CliRunner().invoke(app, ["events", "counts", "--days", "10000"])
    assert "set aside" in counted.output
