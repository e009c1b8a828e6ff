"""The monthly partitions of raw.events, made before rows of their month come.

A month that has none goes to the default partition, which costs the retention of whole months but no event. Making one
waits for every reader of the default partition, so that it is tried for a moment only, in a transaction of its own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

_LOCK_TIMEOUT = "1s"
# what a client with a broken clock says must not make a table for each month since 1970
_OLDEST = timedelta(days=800)
_PATIENCE = timedelta(minutes=5)


class PartitionKeeper:
    """Knows which months it has asked for, so that a group of this month's events costs no question."""

    def __init__(self) -> None:
        self._ask_again_at: dict[tuple[int, int], datetime] = {}

    def ensure(self, connection: Connection[DictRow], moments: Sequence[datetime], now: datetime) -> None:
        """Make the partitions of this month, the next and those of `moments`, where that is possible at once."""
        next_month = now.replace(day=1) + timedelta(days=32)
        # mostly all are of one month, which the first and the last of them tell
        months = {_month_of(min(moments)), _month_of(max(moments))} if moments else set()
        if len(months) > 1:
            months = {_month_of(moment) for moment in moments}
        for month in sorted({*months, (now.year, now.month), (next_month.year, next_month.month)}):
            if self._ask_again_at.get(month, now) > now:
                continue
            first_day = datetime(*month, 1, tzinfo=now.tzinfo)
            is_done = first_day < now - _OLDEST or _make(connection, first_day)
            self._ask_again_at[month] = now + (timedelta(days=1) if is_done else _PATIENCE)


def _month_of(moment: datetime) -> tuple[int, int]:
    return moment.year, moment.month


def _make(connection: Connection[DictRow], first_day: datetime) -> bool:
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute("select raw.ensure_event_partition(%s)", (first_day,))
    except psycopg.errors.LockNotAvailable:
        return False
    return True
