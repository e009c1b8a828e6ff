"""`marquee import`: the contract of the files, what is set aside, consent, and the demo's place."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.data_import import DemoPresentError, ImportContractError, granted_consents, import_directory
from ingestion.door.admission import Door
from ingestion.door.policy import load_policy
from ingestion.door.replaying import Replay, reasons, replay
from ingestion.sources import SOURCES, ingest_source, prepare_extracts
from ingestion.staged_import import UnreadableFileError
from ingestion.tracking_plan.plan import PLAN_FOLDER, load_plan
from marquee import database
from marquee.settings import Settings
from tests.ingestion.extracts import counts, rows_of, set_aside

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FILES = {
    "subscribers.csv": "user_id,email\nu-1,a@example.com\nu-2,\n",
    "content.csv": "content_id,title,content_type,tags\nc-1,First,,Drama|Comedy\nc-2,Second,article,Drama\n",
    "events.csv": (
        "user_id,content_id,occurred_at,watched_fraction\n"
        "u-1,c-1,2026-11-01T10:00:00Z,0.95\n"
        "u-1,c-1,2026-11-01T10:00:00Z,0.95\n"
        "u-2,c-1,2026-11-02T10:00:00Z,0.2\n"
        "u-2,c-2,1793700000,\n"
    ),
}


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes the files of a small import, some of them replaced (or, with None, left out)."""

    def write(**changed: str | bytes | pd.DataFrame | None) -> Path:
        folder = tmp_path / "own"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        files: dict[str, str | bytes | pd.DataFrame | None] = {**FILES}
        for name, content in changed.items():
            files.pop(f"{name}.csv", None)
            files[f"{name}.parquet" if isinstance(content, pd.DataFrame | bytes) else f"{name}.csv"] = content
        for name, content in files.items():
            if isinstance(content, pd.DataFrame):
                content.to_parquet(folder / name, index=False)
            elif content is not None:
                (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write


def test_every_file_is_loaded_and_later_runs_of_the_dag_find_nothing_new(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    imported = import_directory(put(), NOW, settings)
    assert {(file.file, file.new_count) for file in imported} == {
        ("subscribers.csv", 2),
        ("content.csv", 2),
        ("events.csv", 4),
    }
    assert rows_of(warehouse, "events", "user_id", "event", "content_id", "is_simulated") == [
        ("u-1", "Video Playback Completed", "c-1", False),
        ("u-1", "Video Playback Completed", "c-1", False),
        ("u-2", "Video Playback Exited", "c-1", False),
        ("u-2", "Article Read", "c-2", False),
    ]
    assert rows_of(warehouse, "cms_content", "content_type", "tags")[0] == ("video", ["Drama", "Comedy"])
    prepare_extracts(settings, NOW)
    assert [ingest_source(source, "run", NOW, settings).new_count for source in SOURCES] == [0] * len(SOURCES)


def test_a_content_file_may_say_when_and_where_a_content_is_licensed(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    said = "content_id,title,available_until,licensed_countries\nc-1,One,2026-02-01,DE|AT\nc-2,Two,,\n"
    import_directory(put(content=said), NOW, settings)
    assert rows_of(warehouse, "cms_content", "available_until", "licensed_countries") == [
        (datetime(2026, 2, 1, tzinfo=UTC), ["DE", "AT"]),
        (None, []),
    ]


def test_importing_the_same_files_again_changes_nothing(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    folder = put(subscribers="user_id,created_at\nu-1,soon\nu-2,2026-01-01\n")
    import_directory(folder, NOW, settings, assume_consent=True)
    before = counts(warehouse)
    assert before["ops.quarantined_rows"] == 1
    again = import_directory(folder, NOW, settings, assume_consent=True)
    assert counts(warehouse) == before
    assert sum(file.new_count for file in again) == 0
    assert [path.name for path in settings.var_dir.iterdir()] == ["imported"]


def test_a_changed_row_is_a_newer_version(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    import_directory(put(), NOW, settings)
    import_directory(put(subscribers="user_id,email\nu-1,new@example.com\nu-2,\n"), NOW, settings)
    assert rows_of(warehouse, "crm_contacts", "user_id", "email") == [
        ("u-1", "a@example.com"),
        ("u-2", None),
        ("u-1", "new@example.com"),
    ]


def test_who_is_missing_in_a_later_import_is_gone_unless_too_many_are(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    def subscribers(*numbers: int) -> str:
        return "user_id\n" + "".join(f"u-{number}\n" for number in numbers)

    def living() -> list[tuple[object, ...]]:
        return rows_of(warehouse, "crm_contacts", "user_id", "crm_id", "is_deleted")

    import_directory(put(subscribers=subscribers(1, 2, 3, 4)), NOW, settings)
    first, *_ = import_directory(put(subscribers=subscribers(1, 2, 3)), NOW, settings)
    assert (first.file, first.deleted_count, first.concern) == ("subscribers.csv", 1, "")
    assert living()[-1] == (None, "u-4", True)
    held, *_ = import_directory(put(subscribers=subscribers(1)), NOW, settings)
    assert held.deleted_count == 0
    assert "lacks 2 of 3 records" in held.concern
    warehouse.rollback()
    accepted = ingest_source("crm", "accepted", NOW, settings, accept_loss=True)
    assert accepted.deleted_count == 2


def test_bad_rows_are_set_aside_with_file_line_field_and_value(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    events = (
        "user_id,content_id,occurred_at,watched_fraction\nu-1,c-1,yesterday,\nu-1,c-1,2026-11-01,7\n,c-1,2026-11-01,\n"
    )
    content = b"content_id,title\nc-1,\xff\nc-2,Second\n".decode("latin-1").encode("latin-1")
    folder = put(events=events)
    (folder / "content.csv").write_bytes(content)
    imported = import_directory(folder, NOW, settings)
    assert {file.file: file.quarantined_count for file in imported} == {
        "subscribers.csv": 0,
        "content.csv": 1,
        "events.csv": 3,
    }
    assert [row[1:] for row in set_aside(warehouse)] == [
        ("content.csv", 2, "title", "\\udcff"),
        ("events.csv", 2, "occurred_at", "yesterday"),
        ("events.csv", 3, "watched_fraction", "7"),
        ("events.csv", 4, "row", None),
    ]


def test_imported_events_pass_the_plan_and_what_it_refuses_waits_with_its_place_until_it_is_allowed(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path], tmp_path: Path
) -> None:
    events = (
        "user_id,content_id,occurred_at,interaction_type,query,device_id,device_type\n"
        "u-1,,2026-11-01T10:00:00Z,search,heist,d-1,ios\n"
        "u-2,,2026-11-02T10:00:00Z,search,,d-2,tv\n"
    )
    folder = put(events=events)
    imported = {file.file: file for file in import_directory(folder, NOW, settings)}
    assert (imported["events.csv"].new_count, imported["events.csv"].quarantined_count) == (1, 1)
    columns = ("user_id", "event", "device_id", "device_type", "properties", "schema_version", "consent_purposes")
    heist = ("u-1", "Content Searched", "d-1", "mobile", {"interaction_type": "search", "query": "heist"}, "1", None)
    assert rows_of(warehouse, "events", *columns) == [heist]
    assert [vars(one) | {"last_received_at": NOW} for one in reasons(warehouse)] == [
        {
            "event": "Content Searched", "field": "properties.query", "value": None, "reason": "is missing",
            "place": "events.csv:3", "call_count": 1, "last_received_at": NOW,
        }
    ]  # fmt: skip
    counted = warehouse.execute("select source, outcome, event_count from ops.door_counts where purpose = ''")
    assert {tuple(row.values()) for row in counted} == {("events", "admitted", 1), ("events", "set_aside", 1)}
    before = counts(warehouse)
    warehouse.rollback()
    import_directory(folder, NOW, settings)
    assert counts(warehouse) == before
    warehouse.rollback()
    # a data owner lets a search be without its words
    shutil.copytree(PLAN_FOLDER, tmp_path / "plan")
    path = tmp_path / "plan" / "events" / "discovery" / "content_searched.yml"
    path.write_text(path.read_text().replace("required: [query]\n", ""))
    door = Door(load_plan(tmp_path / "plan"), load_policy())
    assert replay(warehouse, door, NOW) == Replay(stored=1)
    assert rows_of(warehouse, "events", "user_id", "device_type") == [("u-1", "mobile"), ("u-2", "connected_tv")]
    warehouse.rollback()
    assert {file.new_count for file in import_directory(folder, NOW, settings)} == {0}


def test_an_event_without_an_id_is_known_by_what_it_says_as_it_always_was(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    import_directory(put(), NOW, settings)
    assert rows_of(warehouse, "events", "message_id") == [
        ("9af1d862cf88495836c8645d-1",),
        ("9af1d862cf88495836c8645d-2",),
        ("ac54684714996880921683fc-1",),
        ("d775b31949a9cb56dbad9f89-1",),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"events": None}, r"lacks events\.csv or events\.parquet.*found content\.csv, subscribers\.csv"),
        (
            {"events": "user_id;content_id;occurred_at\n"},
            "lacks the column content_id, occurred_at; found user_id;content",
        ),
        ({"events": "content_id,occurred_at\n"}, "user_id or anonymous_id; found content_id, occurred_at"),
        ({"content": "content_id\nc-1\n"}, r"content\.csv lacks the column title; found content_id"),
        ({"subscribers": ""}, "lacks the column user_id; found none"),
        ({"subscribers": "user_id,user_id\n"}, "column user_id more than once"),
        ({"consents": "purpose,is_granted,recorded_at\n"}, "user_id or email"),
        ({"subscribers": pd.DataFrame({"id": [1]})}, r"subscribers\.parquet lacks the column user_id; found id"),
    ],
)
def test_what_the_contract_asks_for_is_missing_and_nothing_is_written(
    settings: Settings,
    warehouse: Connection[DictRow],
    put: Callable[..., Path],
    changed: dict[str, str | pd.DataFrame | None],
    message: str,
) -> None:
    before = counts(warehouse)
    with pytest.raises(ImportContractError, match=message):
        import_directory(put(**changed), NOW, settings, replace_demo=True)
    assert counts(warehouse) == before
    assert not settings.var_dir.exists()


def test_a_file_twice_and_a_folder_that_is_none_are_refused(settings: Settings, put: Callable[..., Path]) -> None:
    folder = put()
    (folder / "events.parquet").write_bytes(b"")
    with pytest.raises(ImportContractError, match=r"events\.csv and events\.parquet"):
        import_directory(folder, NOW, settings)
    with pytest.raises(ImportContractError, match="no folder"):
        import_directory(folder / "events.csv", NOW, settings)


def test_a_file_that_is_no_parquet_is_named_and_a_damaged_one_undoes_the_import(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path], tmp_path: Path
) -> None:
    before = counts(warehouse)
    with pytest.raises(UnreadableFileError, match=r"events\.parquet cannot be read as Parquet"):
        import_directory(put(events=b"PAR1 not at all"), NOW, settings)
    rows = range(20_000)
    good = tmp_path / "good.parquet"
    frame = {"user_id": [f"u-{n}" for n in rows], "content_id": "c-1", "occurred_at": [1_780_000_000 + n for n in rows]}
    pd.DataFrame(frame).to_parquet(good, index=False)
    data = bytearray(good.read_bytes())
    data[2_000:60_000] = b"\xff" * 58_000
    with pytest.raises(UnreadableFileError, match=r"events\.parquet"):
        import_directory(put(events=bytes(data)), NOW, settings)
    assert counts(warehouse) == before
    assert not list(settings.var_dir.iterdir())


def test_parquet_types_are_read_as_what_they_mean(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    subscribers = pd.DataFrame({"user_id": [12.0, None], "birth_year": [1990.0, None], "created_at": pd.Timestamp(NOW)})
    content = pd.DataFrame({"content_id": [1], "title": ["First"], "tags": [["Drama", "Comedy"]]})
    # microseconds reach the year 294247, Python's calendar does not
    moments = pd.array([1_780_000_000_000_000, 9_000_000_000_000_000_000], dtype="int64").to_numpy()
    events = pd.DataFrame(
        {"user_id": 12, "content_id": 1, "occurred_at": moments.astype("datetime64[us]"), "watched_fraction": 1.0}
    )
    imported = import_directory(put(subscribers=subscribers, content=content, events=events), NOW, settings)
    assert {(file.file, file.new_count, file.quarantined_count) for file in imported} == {
        ("subscribers.parquet", 1, 1),
        ("content.parquet", 1, 0),
        ("events.parquet", 1, 1),
    }
    assert rows_of(warehouse, "crm_contacts", "user_id", "birth_year", "created_at") == [("12", "1990", NOW)]
    assert rows_of(warehouse, "cms_content", "content_id", "tags") == [("1", ["Drama", "Comedy"])]
    assert rows_of(warehouse, "events", "user_id", "content_id", "watched_fraction") == [("12", "1", 1.0)]


def test_nothing_is_granted_unless_a_file_or_the_option_says_so(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    import_directory(put(), NOW, settings)
    assert granted_consents(settings) == 0
    import_directory(put(), NOW, settings, assume_consent=True)
    assert granted_consents(settings) == 8
    assert set(rows_of(warehouse, "consent_records", "source")) == {("import assumption",)}


def test_what_a_person_said_is_newer_than_the_assumption(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    consents = "email,purpose,is_granted,recorded_at\na@example.com,email_marketing,revoked,2026-01-01\n"
    import_directory(put(consents=consents), NOW, settings, assume_consent=True)
    newest = warehouse.execute(
        "select is_granted from raw.consent_records order by recorded_at desc limit 1"
    ).fetchone()
    assert newest == {"is_granted": False}


def _with_demo(settings: Settings) -> None:
    with database.connect(settings) as connection:
        database.keep_state(connection, "dataset", "demo")
        database.keep_state(connection, "demo_anchor", NOW.isoformat())
        connection.execute(
            "insert into raw.consent_records (source, source_key, row_hash, identifier_kind, identifier_value, "
            "purpose, is_granted, recorded_at, is_simulated) "
            "values ('consents', 'k', 'h', 'user_id', 'u-1', 'email_marketing', true, now(), true)"
        )
        connection.execute(
            "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
            "values ('s-1', 'email_marketing', true, 'preference_centre', now())"
        )
        connection.execute(
            "insert into activation.impressions (request_id, surface, is_fallback, content_ids, shown_at) "
            "values (gen_random_uuid(), 'homepage', true, array['ml-1'], now())"
        )
        connection.execute(
            "insert into activation.sends "
            "(campaign_id, category, subscriber_id, occurrence_key, email_hash, status, run_key, claimed_at) "
            "values ('onboarding', 'suggestions', 's-1', 'o', 'h', 'sent', 'run', now())"
        )


def test_the_demo_is_not_mixed_with_real_people_unless_it_is_replaced(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    _with_demo(settings)
    warehouse.execute("create schema marts")
    warehouse.execute("create table marts.fct_segment_changes as select 's-1' as subscriber_id, 'trial' as segment")
    warehouse.execute("insert into raw.live_segment_memberships values ('s-1', 'trial', true, now(), now(), true)")
    warehouse.commit()
    before = counts(warehouse)
    warehouse.rollback()
    with pytest.raises(DemoPresentError, match="--replace-demo"):
        import_directory(put(), NOW, settings)
    assert counts(warehouse) == before
    warehouse.rollback()
    import_directory(put(), NOW, settings, replace_demo=True)
    assert granted_consents(settings) == 0
    emptied = ("activation.sends", "activation.impressions", "activation.preference_changes")
    # who was in which segment would read as the history of real people
    for table in (*emptied, "marts.fct_segment_changes", "raw.live_segment_memberships"):
        assert warehouse.execute(f"select count(*) as n from {table}".encode()).fetchone() == {"n": 0}, table
    assert database.read_state(warehouse, "dataset") == "import"
    assert database.read_state(warehouse, "demo_anchor") is None


def test_an_import_is_never_emptied_by_the_option_that_replaces_the_demo(
    settings: Settings, warehouse: Connection[DictRow], put: Callable[..., Path]
) -> None:
    import_directory(put(), NOW, settings)
    before = counts(warehouse)
    warehouse.rollback()
    import_directory(put(), NOW, settings, replace_demo=True)
    assert counts(warehouse) == before
