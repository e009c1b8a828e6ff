"""Database access of a long-running server: a small pool that survives the database's absence.

In: settings. Out: pooled connections whose waits are bounded, so that a request never hangs on the database.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from marquee import database
from marquee.settings import Settings

_STATEMENT_TIMEOUT_MS = 2_000


class Warehouse:
    """Connections to the warehouse for requests and background work alike; starts without a database, too."""

    def __init__(self, settings: Settings) -> None:
        # the address of an embedded server is known only once it runs, hence a function
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            lambda: database.warehouse_url(settings),
            min_size=1,
            max_size=8,
            open=False,
            # a server that comes back is found within seconds, however long it was away
            reconnect_timeout=2.0,
            kwargs={
                "row_factory": dict_row,
                "autocommit": True,
                "application_name": "marquee-serving",
                "connect_timeout": 2,
                "options": f"-c timezone=UTC -c statement_timeout={_STATEMENT_TIMEOUT_MS}",
            },
            name="serving",
        )
        self._pool.open(wait=False)

    @contextmanager
    def connection(self, wait_seconds: float = 0.15) -> Iterator[Connection[DictRow]]:
        """A connection in autocommit mode.

        Raises:
            DatabaseError: none could be had within `wait_seconds`, it broke while in use, or a table is not built yet.
        """
        try:
            with self._pool.connection(timeout=wait_seconds) as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise database.DatabaseError(
                f"the warehouse does not answer ({error}); start it with `marquee up`"
            ) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise database.DatabaseError(
                f"the warehouse lacks a table ({error.diag.message_primary}); build it with `marquee run`"
            ) from error

    def drop_broken(self) -> None:
        """Replace pooled connections that a restart of the server has cut."""
        self._pool.check()

    def close(self) -> None:
        self._pool.close(timeout=2)
