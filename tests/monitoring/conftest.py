"""The small warehouse that the checks look at."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from tests.monitoring.world import World


@pytest.fixture
def world(warehouse: Connection[DictRow], settings: Settings) -> World:
    """Everything fresh, even and undrifted, with a champion."""
    return World(warehouse, settings).build()
