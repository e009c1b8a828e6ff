"""dbt's own process: connections that stay, without a transaction, and are replaced where they were lost."""

import multiprocessing
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from dbt.adapters.postgres.connections import PostgresCredentials
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from marquee.dbt_command import StayingConnections
from marquee.settings import Settings


@pytest.fixture
def connections(settings: Settings, warehouse: Connection[DictRow]) -> Iterator[StayingConnections]:
    warehouse.execute("create table noted (message text)")
    warehouse.commit()
    parts = database.connection_parts(database.warehouse_url(settings))
    own = {name: parts[name] for name in ("host", "port", "user", "password")}
    credentials = PostgresCredentials(**own, database=parts["dbname"], schema="public")
    profile = SimpleNamespace(credentials=credentials)
    manager = StayingConnections(profile, multiprocessing.get_context("spawn"))
    yield manager
    manager.cleanup_all()


def _use(connections: StayingConnections, name: str, statement: str = "select 1") -> int:
    """Run a statement as a model called `name` does; the process that served it."""
    connections.set_connection_name(name)
    connections.add_query(statement, auto_begin=False)
    served_by = int(connections.get_thread_connection().handle.info.backend_pid)
    connections.release()
    return served_by


def test_the_next_model_has_the_same_connection(connections: StayingConnections) -> None:
    assert _use(connections, "one") == _use(connections, "another")


def test_what_a_model_left_undone_is_taken_back(
    connections: StayingConnections, warehouse: Connection[DictRow]
) -> None:
    _use(connections, "one", "insert into noted values ('not committed')")
    _use(connections, "another")
    assert warehouse.execute("select * from noted").fetchall() == []
    waiting = warehouse.execute(
        "select count(*) as n from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    ).fetchone()
    assert waiting is not None and waiting["n"] == 0


def test_a_lost_connection_is_replaced(connections: StayingConnections, warehouse: Connection[DictRow]) -> None:
    first = _use(connections, "one")
    connections.set_connection_name("unlucky")
    with pytest.raises(Exception, match="terminat"):
        connections.add_query("select pg_terminate_backend(pg_backend_pid())", auto_begin=False)
    connections.release()
    assert _use(connections, "another") != first
