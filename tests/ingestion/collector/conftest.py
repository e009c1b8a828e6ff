"""One collector with one database for the tests that ask it; each uses message ids of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.rows import DictRow
from pydantic import SecretStr

from marquee import database
from marquee.settings import Settings
from tests.ingestion.collector.clients import installed_clients
from tests.ingestion.collector.running import LiveCollector, environment_of


@dataclass(frozen=True)
class Post:
    """A collector, and the database behind it."""

    collector: LiveCollector
    settings: Settings

    def events(self, *message_ids: str) -> list[DictRow]:
        """Rows of raw.events with these ids, in the order of the ids."""
        with database.connect(self.settings) as connection:
            return connection.execute(
                "select * from raw.events where message_id = any(%(ids)s) "
                "order by array_position(%(ids)s, message_id), raw_id",
                {"ids": list(message_ids)},
            ).fetchall()

    def query(self, statement: str, *values: object) -> list[DictRow]:
        with database.connect(self.settings) as connection:
            return connection.execute(statement, values).fetchall()


@pytest.fixture(scope="session")
def post(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    var_dir = tmp_path_factory.mktemp("collector")
    settings = Settings(var_dir=var_dir, database_url=SecretStr(make_database()))
    keys = {"MARQUEE_WRITE_KEYS": "live=marquee-local, web=browser-key"}
    collector = LiveCollector(var_dir, {**environment_of(settings), **keys}).start()
    yield Post(collector, settings)
    collector.stop()


@pytest.fixture(scope="session")
def clients() -> Path:
    """Folder with the node_modules of the JavaScript clients."""
    return installed_clients()
