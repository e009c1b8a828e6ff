"""The log of what was shown: written in the background, never in the way of an answer.

In: impressions, as they are served. Out: rows of activation.impressions, in batches. The queue is bounded: when the
database stays away longer than it lasts, the oldest wait and new ones are dropped and counted.
"""

import queue
import threading
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from activation.serving.warehouse import Warehouse
from marquee.errors import MarqueeError

_log = structlog.get_logger()
_BATCH = 500
_PAUSE_SECONDS = 0.5

_INSERT = """
insert into activation.impressions
    (request_id, subscriber_id, surface, model, model_version, is_fallback, fallback_reason, content_ids, shown_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True)
class Impression:
    request_id: UUID
    subscriber_id: str | None
    surface: str
    model: str | None
    model_version: str | None
    is_fallback: bool
    fallback_reason: str | None
    content_ids: tuple[str, ...]
    shown_at: datetime


class ImpressionLog:
    """A queue and the thread that empties it."""

    def __init__(self, warehouse: Warehouse, capacity: int = 10_000) -> None:
        self._warehouse = warehouse
        self._queue: queue.Queue[Impression] = queue.Queue(capacity)
        self._pending: list[Impression] = []
        self._stop = threading.Event()
        self._write_lock = threading.Lock()
        self.written_count = 0
        self.dropped_count = 0
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()

    def add(self, impression: Impression) -> None:
        """Take note of what was shown; returns at once, whatever the database does."""
        try:
            self._queue.put_nowait(impression)
        except queue.Full:
            self.dropped_count += 1

    @property
    def waiting_count(self) -> int:
        return self._queue.qsize() + len(self._pending)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            DatabaseError: the batch waits on.
        """
        with self._write_lock:
            while self._take_batch():
                with self._warehouse.connection(wait_seconds=1) as connection, connection.transaction():
                    connection.cursor().executemany(
                        _INSERT,
                        [
                            (
                                shown.request_id, shown.subscriber_id, shown.surface, shown.model,
                                shown.model_version, shown.is_fallback, shown.fallback_reason,
                                list(shown.content_ids), shown.shown_at,
                            )
                            for shown in self._pending
                        ],
                    )  # fmt: skip
                self.written_count += len(self._pending)
                self._pending = []

    def close(self) -> None:
        """Stop the thread and write what waits, if the database takes it."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            self.flush()
        except (MarqueeError, psycopg.Error) as error:
            self.dropped_count += self.waiting_count
            _log.warning("impressions are lost at the end", count=self.waiting_count, reason=str(error))

    def _take_batch(self) -> bool:
        while len(self._pending) < _BATCH:
            try:
                self._pending.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return bool(self._pending)

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                self.flush()
            except MarqueeError as error:
                _log.warning("impressions wait for the database", count=self.waiting_count, reason=str(error))
            except psycopg.Error as error:
                # a batch that the table refuses would be refused for ever, and hold up all that follow
                _log.error("impressions are refused and dropped", count=len(self._pending), reason=str(error))
                self.dropped_count += len(self._pending)
                self._pending = []
