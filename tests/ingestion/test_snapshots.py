"""Whole exports: who is missing is gone, who comes back lives, what is corrected counts, what is truncated waits."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.rows import DictRow
from pydantic import SecretStr

from ingestion.sources import IngestedSource, ingest_source
from marquee import database
from marquee.settings import Settings
from tests.ingestion.conftest import TwoDays
from tests.ingestion.extracts import rows_of, write

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Contact(NamedTuple):
    """What a snapshot says of a contact: the day of November on which it was last changed counts."""

    key: str
    name: str
    day: int


@pytest.fixture(scope="module")
def staged(two_days: TwoDays, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with the views of staging, which show what was said up to the demo's second day."""
    built = two_days.settings.database_url
    assert built is not None
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        template = built.get_secret_value().split("?")[0].rsplit("/", 1)[1]
        connection.execute(sql.SQL("create database test_staged template {}").format(sql.Identifier(template)))
    url = database.with_database(postgres_server, "test_staged")
    return Settings(var_dir=tmp_path_factory.mktemp("staged"), database_url=SecretStr(url))


@pytest.fixture
def settings(staged: Settings) -> Settings:
    _empty(staged)
    return staged


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[Connection[DictRow]]:
    with database.connect(settings) as connection:
        connection.autocommit = True
        yield connection


def _empty(settings: Settings) -> None:
    with database.connect(settings) as connection:
        connection.execute("truncate raw.crm_contacts, raw.cms_content, ops.ingested_files, ops.source_watermarks")
        connection.execute("truncate ops.ingest_batches, ops.quarantined_rows, ops.quality_verdicts")
    for path in settings.extracts_dir.glob("*/*"):
        path.unlink()


def _text(contacts: list[Contact]) -> str:
    rows = [f"{contact.key},{contact.name},2026-11-{contact.day:02d}" for contact in contacts]
    return "\n".join(["crm_id,first_name,updated_at", *rows]) + "\n"


def _hand_over(settings: Settings, day: int, *contacts: Contact, accept_loss: bool = False) -> IngestedSource:
    """Put the export of a day there, and load it on that day."""
    write(settings, "crm", f"contacts-2026-11-{day:02d}.csv", _text(list(contacts)))
    return ingest_source("crm", f"run-{day}", _moment(day), settings, accept_loss=accept_loss)


def _moment(day: int) -> datetime:
    return datetime(2026, 11, day, 12, tzinfo=UTC)


def _staging(connection: Connection[DictRow]) -> dict[str, str]:
    rows = connection.execute("select crm_id, first_name from staging.stg_crm__contacts order by crm_id")
    return {row["crm_id"]: row["first_name"] for row in rows}


def _changes(done: IngestedSource) -> tuple[int, int, int]:
    return done.new_count, done.corrected_count, done.deleted_count


ANA, BO, CAM, DEE = (Contact(key, key.title(), 1) for key in ("ana", "bo", "cam", "dee"))


def test_a_contact_that_vanishes_is_gone_and_one_that_comes_back_lives_again(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    assert _changes(_hand_over(settings, 10, ANA, BO, CAM, DEE)) == (4, 0, 0)
    gone = _hand_over(settings, 11, ANA, BO, CAM)
    assert (_changes(gone), gone.concerns) == ((0, 0, 1), ())
    assert _staging(warehouse) == {"ana": "Ana", "bo": "Bo", "cam": "Cam"}
    tombstone = rows_of(warehouse, "crm_contacts", "crm_id", "first_name", "is_deleted", "deleted_at")[-1]
    # nothing that was said about the person is said again
    assert tombstone == ("dee", None, True, _moment(11))
    assert _changes(_hand_over(settings, 12, ANA, BO, CAM)) == (0, 0, 0)
    back = _hand_over(settings, 13, ANA, BO, CAM, DEE)
    assert _changes(back) == (0, 1, 0)
    assert _staging(warehouse)["dee"] == "Dee"
    assert _changes(_hand_over(settings, 14, ANA, BO, CAM)) == (0, 0, 1)
    assert "dee" not in _staging(warehouse)
    batches = warehouse.execute(
        "select read_count, new_count, corrected_count, deleted_count from ops.ingest_batches order by batch_id"
    )
    assert [tuple(batch.values()) for batch in batches] == [
        (4, 4, 0, 0), (3, 0, 0, 1), (3, 0, 0, 0), (4, 0, 1, 0), (3, 0, 0, 1),
    ]  # fmt: skip


def test_an_older_correction_does_not_win_and_of_two_as_old_the_later_arrival_does(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _hand_over(settings, 10, Contact("ana", "Ana", 5))
    assert _changes(_hand_over(settings, 11, Contact("ana", "Older", 4))) == (0, 1, 0)
    assert _staging(warehouse) == {"ana": "Ana"}
    _hand_over(settings, 12, Contact("ana", "Same day", 5))
    assert _staging(warehouse) == {"ana": "Same day"}
    # what stood before stands again
    _hand_over(settings, 13, Contact("ana", "Ana", 5))
    assert _staging(warehouse) == {"ana": "Ana"}
    # of one export's rows of a contact only the last one counts
    _hand_over(settings, 14, Contact("ana", "Passing", 5), Contact("ana", "Ana", 5))
    assert _staging(warehouse) == {"ana": "Ana"}
    assert [row[0] for row in rows_of(warehouse, "crm_contacts", "first_name")] == ["Ana", "Older", "Same day", "Ana"]


def test_a_contact_comes_back_with_whatever_words_the_export_has(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    for day, contacts in enumerate([[ANA], [Contact("ana", "Newer", 9)], [], [ANA]], 10):
        _hand_over(settings, day, *contacts, accept_loss=True)
    assert _staging(warehouse) == {"ana": "Ana"}


def test_a_row_that_cannot_be_read_is_no_record_that_is_gone(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _hand_over(settings, 10, ANA, BO, CAM, DEE)
    text = _text([ANA, BO]) + "cam,Cam,someday\ndee,one cell too many,2026-11-01,\n"
    write(settings, "crm", "contacts-2026-11-11.csv", text)
    done = ingest_source("crm", "run-11", _moment(11), settings)
    assert (done.quarantined_count, _changes(done)) == (2, (0, 0, 0))
    assert set(_staging(warehouse)) == {"ana", "bo", "cam", "dee"}


def test_a_snapshot_that_lost_too_much_is_held_until_a_person_or_the_next_one_says_otherwise(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _hand_over(settings, 10, ANA, BO, CAM, DEE)
    held = _hand_over(settings, 11, ANA, Contact("bo", "Corrected", 11))
    # what it says is taken, what it does not say is not
    assert _changes(held) == (0, 1, 0)
    (concern,) = held.concerns
    assert "lacks 2 of 4 records, more than the 30%" in concern
    assert "marquee ingest crm --accept-loss" in concern
    assert _staging(warehouse) == {"ana": "Ana", "bo": "Corrected", "cam": "Cam", "dee": "Dee"}
    verdicts = warehouse.execute(
        "select check_kind, subject, metric, value, threshold, verdict from ops.quality_verdicts"
    ).fetchall()
    assert [tuple(row.values()) for row in verdicts] == [("quality", "crm", "snapshot_loss", 0.5, 0.3, "fail")]
    assert ingest_source("crm", "again", _moment(12), settings).read_count == 0
    accepted = ingest_source("crm", "accepted", _moment(12), settings, accept_loss=True)
    assert (_changes(accepted), accepted.concerns) == ((0, 0, 2), ())
    assert set(_staging(warehouse)) == {"ana", "bo"}
    # accepted once: no later export is believed for it
    assert _hand_over(settings, 13).concerns
    assert set(_staging(warehouse)) == {"ana", "bo"}


def test_a_late_export_of_an_earlier_day_neither_revives_nor_deletes(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _hand_over(settings, 10, ANA, BO, CAM, DEE)
    _hand_over(settings, 12, ANA, BO, CAM)
    late = _hand_over(settings, 11, BO, CAM, DEE, Contact("eve", "Eve", 11))
    assert (late.read_count, _changes(late)) == (0, (0, 0, 0))
    assert "older than the snapshot of 2026-11-12" in late.concerns[0]
    assert set(_staging(warehouse)) == {"ana", "bo", "cam"}


def test_an_export_that_breaks_off_deletes_nothing(settings: Settings, warehouse: Connection[DictRow]) -> None:
    def hand_over(run: str, text: str) -> IngestedSource:
        write(settings, "cms", "content.json", text)
        return ingest_source("cms", run, NOW, settings)

    items = [{"id": f"c-{n}", "type": "video", "title": f"T{n}", "updated_at": "2026-01-01"} for n in range(10)]
    whole = json.dumps({"items": items})
    hand_over("run-1", whole)
    broken = hand_over("run-2", whole[: len(whole) // 2])
    assert (broken.deleted_count, broken.quarantined_count) == (0, 1)
    assert "cannot be read to its end" in broken.concerns[0]
    assert hand_over("run-3", json.dumps({"items": items[:-1]})).deleted_count == 1
    staged = warehouse.execute("select content_id from staging.stg_cms__contents").fetchall()
    assert len(staged) == 9


SNAPSHOTS = st.lists(
    st.lists(
        st.builds(Contact, st.sampled_from(["ana", "bo"]), st.sampled_from("XY"), st.integers(1, 2)),
        max_size=5,
    ),
    min_size=1,
    max_size=5,
)


def _expected(snapshots: list[list[Contact]]) -> dict[str, str]:
    """The last snapshot by key; of each key the newest words since it last vanished."""
    living: dict[str, Contact] = {}
    for snapshot in snapshots:
        said: dict[str, Contact] = {}
        for contact in snapshot:
            if contact.key not in said or contact.day >= said[contact.key].day:
                said[contact.key] = contact
        living = {
            key: living[key] if key in living and living[key].day > contact.day else contact
            for key, contact in said.items()
        }
    return {key: living[key].name for key in sorted(living)}


@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(snapshots=SNAPSHOTS, repeats=st.integers(0, 1))
def test_any_sequence_of_snapshots_leaves_staging_as_the_last_one(
    settings: Settings, warehouse: Connection[DictRow], snapshots: list[list[Contact]], repeats: int
) -> None:
    _empty(settings)
    for day, snapshot in enumerate(snapshots, 1):
        for _ in range(1 + repeats):
            _hand_over(settings, day, *snapshot, accept_loss=True)
    assert _staging(warehouse) == _expected(snapshots)
    one_by_one = rows_of(warehouse, "crm_contacts", "crm_id", "first_name", "updated_at", "is_deleted")
    _empty(settings)
    for day, snapshot in enumerate(snapshots, 1):
        write(settings, "crm", f"contacts-2026-11-{day:02d}.csv", _text(snapshot))
    ingest_source("crm", "all", NOW, settings, accept_loss=True)
    assert _staging(warehouse) == _expected(snapshots)
    assert rows_of(warehouse, "crm_contacts", "crm_id", "first_name", "updated_at", "is_deleted") == one_by_one
    warehouse.execute("truncate ops.ingested_files")
    # without its notes the load reads the newest again, and finds it known
    for path in sorted((settings.extracts_dir / "crm").glob("*.csv"))[:-1]:
        path.unlink()
    assert _changes(ingest_source("crm", "reload", NOW, settings, accept_loss=True)) == (0, 0, 0)
