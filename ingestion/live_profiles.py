"""The live path of profiles: what the collector has committed is stitched, and then evaluated, within the second.

In: raw rows as they are committed; the collector says so on `events_arrived`, and what it does not say is found by
looking. Out: the effects of each step, committed with the position up to which it has read, so that a crash repeats and
skips nothing.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.identity.resolving import catch_up
from ingestion.identity.rules import adopt_rules
from ingestion.segments.live import follow_events
from marquee.clock import utc_now
from marquee.database import DatabaseError, connect
from marquee.errors import MarqueeError
from marquee.settings import Settings

CHANNEL = "events_arrived"
# by which the database's own list of sessions shows who follows
_SESSION = "marquee-live-profiles"
_PATIENCE_SECONDS = 30

# A step takes what is new to it since its own position, in the transaction that it is given.
Step = Callable[[Connection[DictRow], datetime], object]
STEPS: tuple[Step, ...] = (catch_up, follow_events)

_RETRY_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class NotFollowingError(MarqueeError):
    """Nobody looks for what is new."""


def check_following(settings: Settings) -> None:
    """Return when a process follows raw: it works, or looked for work when it last should have. For health checks.

    Raises:
        NotFollowingError: none does.
        DatabaseError: the database is away.
    """
    with connect(settings) as connection:
        row = connection.execute(
            "select exists (select from pg_stat_activity where application_name = %s and datname = current_database() "
            "and (state <> 'idle' or state_change > clock_timestamp() - make_interval(secs => %s))) as is_following",
            (_SESSION, settings.live_poll_seconds + _PATIENCE_SECONDS),
        ).fetchone()
    assert row is not None
    if not row["is_following"]:
        raise NotFollowingError("nobody follows what arrives; start `marquee serve live-profiles`")


def serve(settings: Settings) -> None:
    """Follow raw until the process is told to end."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    follow(settings, ending)


def follow(settings: Settings, ending: threading.Event, steps: Sequence[Step] = STEPS) -> None:
    """Run `steps` whenever something arrives, until `ending` is set; a database that goes away is waited for."""
    while not ending.is_set():
        try:
            _follow_connected(settings, ending, steps)
        except (psycopg.OperationalError, DatabaseError) as error:
            _log.warning("the database is away, trying again", error=type(error).__name__)
            ending.wait(_RETRY_SECONDS)


def _follow_connected(settings: Settings, ending: threading.Event, steps: Sequence[Step]) -> None:
    with connect(settings, durable=False) as listening, connect(settings, durable=False) as working:
        listening.autocommit = True
        # before the first look, so that nothing arrives between the two
        listening.execute(f"listen {CHANNEL}".encode())
        working.execute("select set_config('application_name', %s, false)", (_SESSION,))
        working.commit()
        with working.transaction():
            adopt_rules(working, utc_now())
        while not ending.is_set():
            _run(working, steps)
            for _ in listening.notifies(timeout=settings.live_poll_seconds, stop_after=1):
                pass


def _run(working: Connection[DictRow], steps: Sequence[Step]) -> None:
    for step in steps:
        started = time.monotonic()
        with working.transaction():
            done = step(working, utc_now())
        if done:
            _log.debug("stepped", step=step.__name__, done=str(done), seconds=round(time.monotonic() - started, 3))
