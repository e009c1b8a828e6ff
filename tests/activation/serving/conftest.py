"""The media house of world.py, built once a session and copied for each test; a client of its web app."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import Connection, sql
from psycopg.rows import DictRow
from pydantic import SecretStr

from activation.serving.app import create_app
from marquee import database
from marquee.settings import Settings
from tests.activation.serving import world

VERSION = "20260301T120000-00000001"


@dataclass(frozen=True)
class HouseTemplate:
    database: str
    models_dir: Path


@pytest.fixture(scope="session")
def house_template(
    postgres_server: str, make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> HouseTemplate:
    """A database with marts and online features, and a model that is promoted there."""
    url = make_database()
    settings = Settings(var_dir=tmp_path_factory.mktemp("house"), database_url=SecretStr(url))
    with database.connect(settings) as connection:
        world.build_marts(connection)
        world.promote(connection, VERSION)
    world.put_online(settings)
    world.write_artefact(settings.models_dir, VERSION)
    name = str(database.connection_parts(url)["dbname"])
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        # a database is copied only while nobody is connected, and Feast keeps its pool
        connection.execute(sql.SQL("alter database {} with allow_connections false").format(sql.Identifier(name)))
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
    return HouseTemplate(name, settings.models_dir)


@pytest.fixture(scope="session")
def make_house(postgres_server: str, house_template: HouseTemplate) -> Callable[[Path], Settings]:
    """Settings of a house of one's own, in the var folder given; patient, so that a busy machine gives no fallback."""

    def make(var_dir: Path) -> Settings:
        name = f"house_{abs(hash(var_dir)):x}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(house_template.database)
                )
            )
        shutil.copytree(house_template.models_dir, var_dir / "models")
        return Settings(
            var_dir=var_dir,
            database_url=SecretStr(database.with_database(postgres_server, name)),
            serving_deadline_seconds=10,
        )

    return make


@pytest.fixture
def house(make_house: Callable[[Path], Settings], tmp_path: Path) -> Settings:
    return make_house(tmp_path / "var")


@pytest.fixture
def house_db(house: Settings) -> Iterator[Connection[DictRow]]:
    """A connection to the house's database, in autocommit mode."""
    with database.connect(house) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def client(house: Settings) -> Iterator[TestClient]:
    """The app of the house, its background thread included."""
    with TestClient(create_app(house)) as test_client:
        yield test_client
