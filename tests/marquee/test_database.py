"""The database room: addresses, locks, kept state, recovery of the embedded server."""

import signal

import psutil
import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from marquee import database, embedded_postgres
from marquee.settings import Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40ss@db:6543/marquee", ("db", 6543, "u", "p@ss", "marquee")),
        ("postgresql://postgres@/marquee?host=/run/pg", ("/run/pg", 5432, "postgres", "", "marquee")),
    ],
)
def test_takes_an_address_apart(url: str, expected: tuple[object, ...]) -> None:
    parts = database.connection_parts(url)
    assert (parts["host"], parts["port"], parts["user"], parts["password"], parts["dbname"]) == expected


def test_another_database_of_a_socket_server_keeps_the_socket(postgres_server: str) -> None:
    with psycopg.connect(database.with_database(postgres_server, "template1")) as connection:
        assert connection.info.dbname == "template1"


def test_a_database_that_is_made_sorts_by_itself_where_it_can(postgres_server: str) -> None:
    database.create_database(postgres_server, "sorted")
    database.create_database(postgres_server, "sorted")
    with psycopg.connect(database.with_database(postgres_server, "sorted")) as connection:
        found = connection.execute(
            "select array(select word from unnest(array['b', 'a', 'Z', 'ä', 'É']) as words (word) order by word), "
            "lower('ÉÄ')"
        ).fetchone()
        assert found == (["Z", "a", "b", "É", "ä"], "éä")
        provider = connection.execute(
            "select datlocprovider::text from pg_database where datname = current_database()"
        ).fetchone()
        assert provider == ("b" if connection.info.server_version >= 170000 else "c",)


def test_the_first_kept_state_wins(warehouse: Connection[DictRow]) -> None:
    assert database.keep_state(warehouse, "demo_anchor", "first") == "first"
    assert database.keep_state(warehouse, "demo_anchor", "second") == "first"


def test_declared_tables_can_be_applied_again(settings: Settings) -> None:
    database.apply_schemas(database.warehouse_url(settings))


def test_events_of_an_older_version_move_into_partitions_once_each(postgres_server: str) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("create database of_version_0_1")
    url = database.with_database(postgres_server, "of_version_0_1")
    with psycopg.connect(url) as connection:
        connection.execute("create schema raw")
        connection.execute(
            "create table raw.events (raw_id bigint generated always as identity, source text not null, "
            "message_id text not null, event_type text not null, event text, user_id text, anonymous_id text, "
            "device_id text, device_type text, email text, content_id text, watched_fraction double precision, "
            "properties jsonb not null default '{}', occurred_at timestamptz not null, consent_purposes text[], "
            "is_simulated boolean not null, loaded_at timestamptz not null default now())"
        )
        connection.execute("create index events_by_occurrence on raw.events (occurred_at)")
        connection.execute(
            "insert into raw.events (source, message_id, event_type, user_id, occurred_at, is_simulated) values "
            "('events', 'm-1', 'track', 'first', '2026-03-31 23:30Z', true), "
            "('events', 'm-1', 'track', 'again', '2026-03-31 23:30Z', true), "
            "('events', 'm-2', 'track', null, '2026-04-01 00:30Z', true)"
        )
    for _ in range(2):
        database.apply_schemas(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select message_id, user_id, tableoid::regclass::text from raw.events order by message_id"
        ).fetchall()
        keys = connection.execute("select count(*) from raw.event_keys").fetchone()
    assert rows == [("m-1", "first", "raw.events_202603"), ("m-2", None, "raw.events_202604")]
    assert keys == (2,)


def test_an_unreachable_warehouse_says_what_to_do() -> None:
    nowhere = Settings(database_url=SecretStr("postgresql://u:hidden@127.0.0.1:1/x"))
    with pytest.raises(database.DatabaseError, match="marquee up") as error:
        database.connect(nowhere)
    assert "hidden" not in str(error.value)


def test_the_embedded_server_recovers_from_kill_9(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = Settings(var_dir=tmp_path_factory.mktemp("k"), postgres_shared_buffers="64MB", database_url=None)
    database.prepare(own)
    try:
        with database.connect(own) as connection:
            database.keep_state(connection, "kept", "yes")
        postmaster = int((own.postgres_dir / "postmaster.pid").read_text().splitlines()[0])
        children = psutil.Process(postmaster).children()
        psutil.Process(postmaster).send_signal(signal.SIGKILL)
        psutil.wait_procs(children, timeout=20)
        database.prepare(own)
        with database.connect(own) as connection:
            assert database.read_state(connection, "kept") == "yes"
    finally:
        embedded_postgres.stop(own)


def test_a_database_that_keeps_bytes_instead_of_text_is_refused(postgres_server: str) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("create database ascii_only encoding 'SQL_ASCII' locale 'C' template template0")
    with pytest.raises(database.DatabaseError, match="'ascii_only' has the encoding SQL_ASCII"):
        database.apply_schemas(database.with_database(postgres_server, "ascii_only"))
