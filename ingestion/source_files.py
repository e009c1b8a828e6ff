"""Which files of a source can hold something new, and the load of one of them.

In: the files that a source handed over, and the notes of earlier loads (`ops.ingested_files`). Out: rows in `raw`, and
the note of each file that was read, in the same transaction. A file whose size, time and content are noted is not read
again; one that has changed is read from the watermark less the source's overlap on; one never seen is read whole.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.handover import Feed, Handover, Snapshot
from ingestion.loading import LoadCounts, load_rows
from ingestion.raw_tables import RawTable
from ingestion.reading import WHOLE_FILE
from ingestion.records import Rejection, Row
from ingestion.snapshots import SnapshotLoad, load_snapshot

Outcome = Literal["loaded", "held", "damaged", "superseded"]


@dataclass(frozen=True)
class HandedFile:
    """One file that a source handed over.

    Attributes:
        name: under which the load is noted.
        rows: read lazily, so that a file that holds nothing new is never opened.
        key: the field that holds a record's id.
        is_whole: every row counts however old it is: a person's own file, whose rows need not carry an update time.
    """

    name: str
    path: Path
    source: str
    table: RawTable
    rows: Iterator[Row]
    handover: Handover
    key: str
    is_whole: bool = False


@dataclass(frozen=True)
class LoadOrder:
    """What holds for every file of one load of a source.

    Attributes:
        accept_loss: delete what a snapshot lacks, however much that is.
        reread: read files again that are noted as loaded.
    """

    run_key: str
    now: datetime
    accept_loss: bool = False
    reread: bool = False


@dataclass(frozen=True)
class FileLoad:
    """What the load of one file did; `concern` is for people, empty where all is well."""

    file: HandedFile
    counts: LoadCounts
    outcome: Outcome
    concern: str = ""


@dataclass(frozen=True)
class _Note:
    size_bytes: int
    modified_ns: int
    sha256: str
    outcome: str
    quarantined_count: int
    loaded_at: datetime


@dataclass(frozen=True)
class _State:
    """A file as it lies there now."""

    size_bytes: int
    modified_ns: int
    sha256: str


def load_files(connection: Connection[DictRow], files: Iterable[HandedFile], order: LoadOrder) -> Iterator[FileLoad]:
    """Load what is new of each file, snapshots in the order of the dates in their names."""
    for file in sorted(files, key=lambda file: (file.table.name, _date_in(file.name), file.name)):
        notes = _notes(connection, file.source)
        note = notes.get(file.name)
        # a pipe can be read once only, and has neither size nor time
        state = None if not file.path.is_file() else _state(file.path, note)
        if state is not None and note is not None and not _is_wanted(note, state, notes, order):
            if note.modified_ns != state.modified_ns:
                _touch(connection, file, state)
            continue
        loaded = _load(connection, file, note, notes, order)
        if state is not None:
            _keep_note(connection, loaded, state, order)
        yield loaded


def _is_wanted(note: _Note, state: _State, notes: dict[str, _Note], order: LoadOrder) -> bool:
    if order.reread or note.sha256 != state.sha256:
        return True
    if not (order.accept_loss and note.outcome == "held"):
        return False
    # a held snapshot can be let through as long as no newer one was loaded
    return all(note.loaded_at >= other.loaded_at for other in notes.values() if other.outcome == "loaded")


def _load(
    connection: Connection[DictRow], file: HandedFile, note: _Note | None, notes: dict[str, _Note], order: LoadOrder
) -> FileLoad:
    if isinstance(file.handover, Snapshot):
        newest = max((_date_in(name) for name, other in notes.items() if other.outcome == "loaded"), default="")
        if "" < _date_in(file.name) < newest:
            concern = f"{file.name} is older than the snapshot of {newest} that was loaded before, and was not read"
            return FileLoad(file, LoadCounts(0, 0, 0, None), "superseded", concern)
        return _load_snapshot(connection, file, file.handover, order)
    watched = _Watched(file.rows)
    since = _since(connection, file, note, file.handover)
    counts = load_rows(connection, file.source, file.table, watched, order.now, since)
    return FileLoad(file, counts, "damaged" if watched.is_damaged else "loaded")


def _load_snapshot(connection: Connection[DictRow], file: HandedFile, handover: Snapshot, order: LoadOrder) -> FileLoad:
    done = load_snapshot(
        connection,
        file.source,
        file.table,
        file.rows,
        order.now,
        handover=handover,
        key=file.key,
        accept_loss=order.accept_loss,
    )
    _keep_verdict(connection, file, handover, done, order)
    if done.is_damaged:
        concern = f"{file.name} of {file.source} cannot be read to its end: nothing was deleted; ask for it again"
        return FileLoad(file, done.counts, "damaged", concern)
    if done.is_held:
        return FileLoad(file, done.counts, "held", _held_text(file, handover, done))
    return FileLoad(file, done.counts, "loaded")


def _held_text(file: HandedFile, handover: Snapshot, done: SnapshotLoad) -> str:
    return (
        f"{file.name} of {file.source} lacks {done.missing_count:,} of {done.living_count:,} records, more than the "
        f"{handover.largest_loss:.0%} that one export may lose: it looks truncated, and nothing was deleted. "
        f"If they are gone indeed, run `marquee ingest {file.source} --accept-loss`"
    )


def _keep_verdict(
    connection: Connection[DictRow], file: HandedFile, handover: Snapshot, done: SnapshotLoad, order: LoadOrder
) -> None:
    """A finding among the quality checks for a snapshot that was not believed, and its end once one is."""
    share = done.missing_count / max(1, done.living_count)
    if not (done.is_held or done.is_damaged):
        return
    detail = _held_text(file, handover, done) if done.is_held else f"{file.name} cannot be read to its end"
    connection.execute(
        "insert into ops.quality_verdicts "
        "(run_key, check_kind, subject, metric, value, threshold, verdict, detail, checked_at) "
        "values (%s, 'quality', %s, 'snapshot_loss', %s, %s, 'fail', %s, %s) "
        "on conflict (run_key, check_kind, subject, metric) do update "
        "set value = excluded.value, detail = excluded.detail, checked_at = excluded.checked_at",
        (order.run_key, file.source, share, handover.largest_loss, detail, order.now),
    )


def _since(connection: Connection[DictRow], file: HandedFile, note: _Note | None, feed: Feed) -> datetime | None:
    """From where on the rows of a file can be new; None is from the beginning."""
    # of a damaged file only the beginning was read, and of one with rows set aside some may have been put right
    if file.is_whole or note is None or note.outcome == "damaged" or note.quarantined_count:
        return None
    row = connection.execute("select watermark from ops.source_watermarks where source = %s", (file.source,)).fetchone()
    return None if row is None else row["watermark"] - feed.overlap


class _Watched:
    """Rows on their way, and whether the file broke off."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.is_damaged = False

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            if isinstance(row, Rejection) and row.field == WHOLE_FILE:
                self.is_damaged = True
            yield row


def _date_in(name: str) -> str:
    """The date in a file's name (`contacts-2026-11-24.csv`) in a form that sorts; empty where there is none."""
    found = re.search(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)(?!\d)", name)
    return "-".join(found.groups()) if found else ""


def _state(path: Path, note: _Note | None) -> _State:
    found = path.stat()
    if note is not None and (found.st_size, found.st_mtime_ns) == (note.size_bytes, note.modified_ns):
        return _State(found.st_size, found.st_mtime_ns, note.sha256)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _State(found.st_size, found.st_mtime_ns, digest)


def _notes(connection: Connection[DictRow], source: str) -> dict[str, _Note]:
    rows = connection.execute(
        "select file, size_bytes, modified_ns, sha256, outcome, quarantined_count, loaded_at from ops.ingested_files "
        "where source = %s",
        (source,),
    )
    return {
        row["file"]: _Note(
            row["size_bytes"],
            row["modified_ns"],
            row["sha256"],
            row["outcome"],
            row["quarantined_count"],
            row["loaded_at"],
        )
        for row in rows
    }


def _touch(connection: Connection[DictRow], file: HandedFile, state: _State) -> None:
    connection.execute(
        "update ops.ingested_files set modified_ns = %s where source = %s and file = %s",
        (state.modified_ns, file.source, file.name),
    )


def _keep_note(connection: Connection[DictRow], loaded: FileLoad, state: _State, order: LoadOrder) -> None:
    connection.execute(
        "insert into ops.ingested_files "
        "(source, file, size_bytes, modified_ns, sha256, outcome, read_count, quarantined_count, run_key, loaded_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (source, file) do update set "
        "size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns, sha256 = excluded.sha256, "
        "outcome = excluded.outcome, read_count = excluded.read_count, "
        "quarantined_count = excluded.quarantined_count, run_key = excluded.run_key, loaded_at = excluded.loaded_at",
        (
            loaded.file.source, loaded.file.name, state.size_bytes, state.modified_ns, state.sha256, loaded.outcome,
            loaded.counts.read_count, loaded.counts.quarantined_count, order.run_key, order.now,
        ),
    )  # fmt: skip
