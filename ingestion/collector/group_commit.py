"""One thread that stores what waits, all of it in one transaction, and answers the waiting only after the commit.

In: submissions of the web app's event loop. Out: rows of `raw`, a notification on `events_arrived`, and a future a
submission: done after the commit, or failed with `StorageError` where the database did not confirm. A lost connection
is opened again; a row that the database refuses is set aside, so that the others of its group are stored.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import orjson
import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.collector.copy_text import read_list, row_of_line
from ingestion.collector.partitions import PartitionKeeper
from ingestion.collector.storing import NOTHING_STORED, Offered, StoredCounts, offered, store_offered
from ingestion.door.admission import SetAside
from ingestion.records import payload_of
from marquee import database
from marquee.clock import utc_now
from marquee.errors import MarqueeError
from marquee.settings import Settings

CHANNEL = "events_arrived"
_LARGEST_GROUP = 4_000
_REFUSED_BY_THE_DATABASE = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
_SESSION = "set synchronous_commit = on; set statement_timeout = '20s'; set lock_timeout = '10s'"
_log = structlog.get_logger("marquee.collector")


class StorageError(MarqueeError):
    """The database did not confirm a group; whether it has it is not known."""


@dataclass(frozen=True, slots=True)
class _Submission:
    offers: Sequence[Offered]
    answered: "asyncio.Future[None]"


class GroupWriter:
    """Stores submissions in the order in which they come; `report` is told counts and seconds of each group."""

    def __init__(self, settings: Settings, report: Callable[[StoredCounts, float], None]) -> None:
        self._settings = settings
        self._report = report
        self._waiting: deque[_Submission] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._connection: Connection[DictRow] | None = None
        self._partitions = PartitionKeeper()
        self._thread = threading.Thread(target=self._run, name="group-writer", daemon=True)

    def start(self) -> None:
        """Begin to store; from the event loop whose futures are answered."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Store what waits, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    async def store(self, offers: Sequence[Offered]) -> None:
        """Return when `offers` are on disk.

        Raises:
            StorageError: the database did not confirm them.
        """
        submission = _Submission(offers, self._loop.create_future())
        with self._changed:
            self._waiting.append(submission)
            self._changed.notify()
        await submission.answered

    def _run(self) -> None:
        while group := self._take():
            started = perf_counter()
            counts, failure = self._store_group([offer for submission in group for offer in submission.offers])
            self._report(counts, perf_counter() - started)
            self._loop.call_soon_threadsafe(_answer, group, failure)
        self._disconnect()

    def _take(self) -> list[_Submission]:
        """What waits, up to a full group; nothing when the writer ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            group: list[_Submission] = []
            size = 0
            while self._waiting and size < _LARGEST_GROUP:
                group.append(self._waiting.popleft())
                size += len(group[-1].offers)
            return group

    def _store_group(self, offers: list[Offered]) -> tuple[StoredCounts, StorageError | None]:
        was_connected = self._connection is not None
        try:
            return self._store_connected(offers), None
        except Exception as error:  # whatever it is: the thread must live, and the waiting must be told
            failure = error
        is_lost = self._connection is None or self._connection.closed
        self._disconnect()
        if was_connected and is_lost:
            # the server was started again while nothing was sent; keys make a second try safe even after a commit
            return self._store_group(offers)
        # the type only: what the database quotes is personal
        _log.warning("events could not be stored", error=type(failure).__name__, event_count=len(offers))
        return NOTHING_STORED, StorageError("the database did not confirm the events")

    def _store_connected(self, offers: list[Offered]) -> StoredCounts:
        if self._connection is None:
            self._connection = database.connect(self._settings)
            self._connection.autocommit = True
            self._connection.execute(_SESSION)
            self._partitions = PartitionKeeper()
        moments = [moment for _, _, _, moment, _, _ in offers if moment is not None]
        self._partitions.ensure(self._connection, moments, utc_now())
        return _store_apart(self._connection, offers)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _store_apart(connection: Connection[DictRow], offers: Sequence[Offered]) -> StoredCounts:
    """Store `offers` in one transaction; where the database refuses one, in as many as it takes to find it."""
    try:
        return _store_together(connection, offers)
    except _REFUSED_BY_THE_DATABASE as error:
        if len(offers) > 1:
            middle = len(offers) // 2
            return _store_apart(connection, offers[:middle]) + _store_apart(connection, offers[middle:])
        source, line = offers[0].source, offers[0].line
        if line is None:
            raise
        return _store_together(connection, [offered(source, _as_set_aside(line, error))])


def _store_together(connection: Connection[DictRow], offers: Sequence[Offered]) -> StoredCounts:
    with connection.transaction():
        counts = store_offered(connection, offers)
        if counts.stored:
            connection.execute(f"notify {CHANNEL}")
    return counts


def _as_set_aside(line: str, error: psycopg.Error) -> SetAside:
    """What the door let in and the database does not take, as a call again: of what the door's policy has left."""
    row = row_of_line(line)
    occurred_at, received_at = datetime.fromisoformat(row["occurred_at"]), datetime.fromisoformat(row["received_at"])
    sent_at = datetime.fromisoformat(row["sent_at"]) if "sent_at" in row else None
    if sent_at is not None:
        # by the client's clock again: who replays it puts it right as the door did
        occurred_at -= received_at - sent_at
    said = orjson.loads(row["properties"]) | ({"content_id": row["content_id"]} if "content_id" in row else {})
    consent = {"categoryPreferences": dict.fromkeys(read_list(row.get("consent_purposes", "{}")), True)}
    call = {
        "type": row["event_type"],
        "messageId": row["message_id"],
        "event": row.get("event"),
        "userId": row.get("user_id"),
        "anonymousId": row.get("anonymous_id"),
        "timestamp": occurred_at.isoformat(),
        "properties": said,
        "context": {**orjson.loads(row["context"]), "consent": consent},
    }
    reason = f"the database refused it: {error.diag.message_primary or type(error).__name__}"
    return SetAside(row["message_id"], row.get("event"), "event", None, reason, payload_of(call), received_at, sent_at)


def _answer(group: Sequence[_Submission], failure: StorageError | None) -> None:
    for submission in group:
        if submission.answered.done():
            continue
        if failure is None:
            submission.answered.set_result(None)
        else:
            submission.answered.set_exception(failure)
