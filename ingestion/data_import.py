"""`marquee import`: a user's own files take the place of the demo, and every DAG works on them afterwards.

In: a folder with CSV or Parquet files as docs/import.md describes them. Out: copies under `var/imported`, from which
every later run of the ingest DAG reads, and rows in `raw`. Everything is checked before anything is written; the load
is one transaction, so that a killed import leaves what was there before.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection, sql
from psycopg.rows import DictRow

from ingestion import raw_tables
from ingestion.connectors.imported import IMPORT_FILES, ImportFile
from ingestion.loading import NOTHING_LOADED, LoadCounts, record_batch
from ingestion.source_files import LoadOrder, load_files
from ingestion.sources import SOURCES
from ingestion.staged_import import (
    ASSUMPTION_SOURCE,
    OPTIONS_FILE,
    assumed_consents,
    columns_of,
    find_file,
    staged_files,
    staging_folder,
)
from marquee.database import connect, exclusive, read_state
from marquee.errors import MarqueeError
from marquee.settings import Settings

_IMPORT = "import"
_DEMO = "demo"
# what was sent, shown and chosen belongs to the demo's simulated people, whose ids real ones may share
_DEMO_ACTIVITY = ("sends", "impressions", "preference_changes")
_DEMO_IDENTITY = ("identifiers", "links", "members", "crowded", "held_links", "decisions", "history", "progress")


class ImportContractError(MarqueeError):
    """The folder does not hold what an import needs; nothing was written."""


class DemoPresentError(MarqueeError):
    """The warehouse holds the demo, with which real people must not be mixed; nothing was written."""


@dataclass(frozen=True)
class ImportedFile:
    """What one file of an import did; the option `--assume-consent` counts as a file of consents.

    `concern` says what a person should look at, such as a file that lacks too many of the records imported before.
    """

    file: str
    source: str
    read_count: int
    new_count: int
    corrected_count: int
    deleted_count: int
    quarantined_count: int
    concern: str = ""


def import_directory(
    directory: Path, now: datetime, settings: Settings, *, replace_demo: bool = False, assume_consent: bool = False
) -> list[ImportedFile]:
    """Load the files of `directory`; the same files again change nothing.

    Args:
        replace_demo: empty raw and what the demo sent, showed and was told, if the warehouse holds the demo.
        assume_consent: record consent to every purpose for every subscriber, under its own source.

    Raises:
        ImportContractError: a required file or column is missing, or a file is there twice.
        UnreadableFileError: a file is not what its name says.
        DemoPresentError: the warehouse holds the demo and `replace_demo` is not set.
    """
    paths = check_contract(directory)
    with connect(settings) as connection, _every_load_held_back(connection):
        if read_state(connection, "dataset") == _DEMO:
            if not replace_demo:
                raise DemoPresentError(
                    "the warehouse holds the simulated demo, and yours must not be mixed with it; run again with "
                    "`--replace-demo` to empty it, or point DATABASE_URL and MARQUEE_VAR_DIR at a fresh place"
                )
            _empty_demo(connection)
        connection.execute(
            "insert into ops.state (name, value) values ('dataset', %s) "
            "on conflict (name) do update set value = excluded.value",
            (_IMPORT,),
        )
        with _staged_copy(paths, assume_consent, settings) as folder:
            imported = _load(connection, folder, now)
            # before the commit: a crash in between leaves copies that nobody reads, or that say the same
            _put_in_place(folder, staging_folder(settings))
    return imported


def check_contract(directory: Path) -> list[Path]:
    """The files of an import, each with the columns that it must have.

    Raises:
        ImportContractError, UnreadableFileError: see `import_directory`.
    """
    if not directory.is_dir():
        raise ImportContractError(f"{directory} is no folder; name the one that holds your CSV or Parquet files")
    paths = []
    for file in IMPORT_FILES:
        if all((directory / f"{file.name}.{kind}").is_file() for kind in ("csv", "parquet")):
            raise ImportContractError(
                f"{directory} holds {file.name}.csv and {file.name}.parquet; take one of them away"
            )
        path = find_file(directory, file.name)
        if path is not None:
            _check_columns(file, path)
            paths.append(path)
        elif file.is_required:
            found = ", ".join(sorted(entry.name for entry in directory.iterdir() if entry.is_file())) or "no file"
            raise ImportContractError(
                f"{directory} lacks {file.name}.csv or {file.name}.parquet, which every import needs; found {found}"
            )
    return paths


def granted_consents(settings: Settings) -> int:
    """How many grants of consent the warehouse holds, whoever recorded them."""
    with connect(settings) as connection:
        row = connection.execute(
            "select count(*) as granted_count from raw.consent_records where is_granted"
        ).fetchone()
    assert row is not None
    return int(row["granted_count"])


def _check_columns(file: ImportFile, path: Path) -> None:
    columns = columns_of(path)
    found = f"found {', '.join(columns) or 'none'}"
    if missing := [name for name in file.columns if name not in columns]:
        raise ImportContractError(f"{path.name} lacks the column {', '.join(missing)}; {found}")
    if file.one_of and not set(file.one_of) & set(columns):
        raise ImportContractError(f"{path.name} needs a column {' or '.join(file.one_of)}; {found}")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ImportContractError(f"{path.name} has the column {', '.join(twice)} more than once; {found}")


@contextmanager
def _every_load_held_back(connection: Connection[DictRow]) -> Iterator[None]:
    """Keep the demo's generator and every source's load waiting until the transaction ends."""
    with ExitStack() as locks:
        for name in ("extracts", *SOURCES):
            locks.enter_context(exclusive(connection, f"ingestion.{name}"))
        yield


def _empty_demo(connection: Connection[DictRow]) -> None:
    tables = [("raw", table.name) for table in raw_tables.ALL]
    tables += [("activation", name) for name in _DEMO_ACTIVITY]
    tables += [("raw", "event_keys"), ("raw", "quarantined_events"), ("ops", "door_counts")]
    tables += [("ops", "quarantined_rows"), ("ops", "dbt_runs")]
    tables += [("ops", "source_watermarks"), ("ops", "ingested_files")]
    tables += [("identity", name) for name in _DEMO_IDENTITY]
    tables += [("raw", "live_segment_memberships")]
    # the one mart that no build makes anew: its exits would be the demo's people
    log = connection.execute("select to_regclass('marts.fct_segment_changes') is not null as is_there").fetchone()
    if log is not None and log["is_there"]:
        tables += [("marts", "fct_segment_changes")]
    for schema, name in tables:
        connection.execute(sql.SQL("truncate {}").format(sql.Identifier(schema, name)))
    connection.execute("delete from ops.state where name = 'demo_anchor'")


def _load(connection: Connection[DictRow], folder: Path, now: datetime) -> list[ImportedFile]:
    # read again though they may be noted: who imports wants to see what the files hold
    order = LoadOrder(f"import-{_fingerprint(folder)}", now, reread=True)
    imported = []
    for source in SOURCES:
        counts = NOTHING_LOADED
        loads = list(load_files(connection, staged_files(source, folder), order))
        for load in loads:
            imported.append(_imported(load.file.path.name, source, load.counts, load.concern))
            counts += load.counts
        if source == "consents":
            assumed = assumed_consents(connection, folder, now)
            if assumed.read_count:
                imported.append(_imported("--assume-consent", ASSUMPTION_SOURCE, assumed))
            counts += assumed
        if counts.read_count:
            record_batch(connection, source, order.run_key, counts, now)
    return imported


def _imported(file: str, source: str, counts: LoadCounts, concern: str = "") -> ImportedFile:
    return ImportedFile(
        file,
        source,
        counts.read_count,
        counts.new_count,
        counts.corrected_count,
        counts.deleted_count,
        counts.quarantined_count,
        concern,
    )


@contextmanager
def _staged_copy(paths: list[Path], assume_consent: bool, settings: Settings) -> Iterator[Path]:
    settings.var_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=settings.var_dir, prefix="imported-"))
    try:
        for path in paths:
            shutil.copyfile(path, folder / path.name)
        folder.chmod(0o755)
        (folder / OPTIONS_FILE).write_text(json.dumps({"assume_consent": assume_consent}))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    folder.rename(place)


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
