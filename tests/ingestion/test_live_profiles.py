"""The live path: a sign-in stitches the visit before it at once, through restarts of the database too."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.identity.resolving import subscriber_of
from ingestion.live_profiles import NotFollowingError, check_following, follow
from marquee import database
from marquee.settings import Settings
from tests.waiting import wait_until

_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@contextmanager
def _followed(settings: Settings) -> Iterator[None]:
    ending = threading.Event()
    follower = threading.Thread(target=follow, args=(settings, ending))
    follower.start()
    try:
        yield
    finally:
        ending.set()
        with database.connect(settings) as connection:
            connection.execute("notify events_arrived")
        follower.join(timeout=30)
        assert not follower.is_alive()


def _is_followed(settings: Settings) -> bool:
    try:
        check_following(settings)
    except NotFollowingError:
        return False
    return True


def _collect(connection: Connection[DictRow], message_id: str, anonymous_id: str, user_id: str | None = None) -> None:
    """Store an event as the collector does."""
    connection.execute(
        "insert into raw.events (source, message_id, event_type, user_id, anonymous_id, occurred_at, is_simulated) "
        "values ('web', %s, 'identify', %s, %s, %s, true)",
        (message_id, user_id, anonymous_id, _NOW),
    )
    connection.execute("notify events_arrived")
    connection.commit()


def test_a_sign_in_is_stitched_within_the_second_and_after_the_database_went_away(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    # only what is told is found in time: looking without being told comes far later than the deadline
    with _followed(settings.model_copy(update={"live_poll_seconds": 60.0})):
        _collect(warehouse, "m1", "a1")
        wait_until(lambda: subscriber_of(warehouse, "anonymous_id", "a1") is not None, 20, "stitching a1")
        started = time.monotonic()
        _collect(warehouse, "m2", "a1", "u1")
        wait_until(lambda: subscriber_of(warehouse, "user_id", "u1") is not None, 20, "stitching u1")
        assert time.monotonic() - started < 5
        assert subscriber_of(warehouse, "user_id", "u1") == subscriber_of(warehouse, "anonymous_id", "a1")
        warehouse.commit()
        ended = warehouse.execute(
            "select count(pg_terminate_backend(pid)) as n from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
        assert ended is not None and ended["n"] == 2
        _collect(warehouse, "m3", "a2", "u1")
        wait_until(lambda: subscriber_of(warehouse, "anonymous_id", "a2") is not None, 20, "stitching a2")
        assert subscriber_of(warehouse, "anonymous_id", "a2") == subscriber_of(warehouse, "user_id", "u1")


def test_the_check_of_health_tells_who_follows_from_who_does_not(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    with pytest.raises(NotFollowingError, match="serve live-profiles"):
        check_following(settings)
    with _followed(settings):
        _collect(warehouse, "m1", "a1")
        wait_until(lambda: subscriber_of(warehouse, "anonymous_id", "a1") is not None, 20, "stitching a1")
        check_following(settings)
    # the server lists a session until its process has ended, which is after the client closed it
    wait_until(lambda: not _is_followed(settings), 20, "the session that ended to be gone")


def test_what_nobody_told_is_found_by_looking(settings: Settings, warehouse: Connection[DictRow]) -> None:
    with _followed(settings.model_copy(update={"live_poll_seconds": 0.05})):
        warehouse.execute(
            "insert into raw.crm_contacts (source, source_key, row_hash, crm_id, user_id, updated_at, is_simulated) "
            "values ('crm', 'c1', 'h', 'c1', 'u1', %s, true)",
            (_NOW,),
        )
        warehouse.commit()
        wait_until(lambda: subscriber_of(warehouse, "crm_id", "c1") is not None, 20, "stitching c1")
        assert subscriber_of(warehouse, "crm_id", "c1") == subscriber_of(warehouse, "user_id", "u1")
