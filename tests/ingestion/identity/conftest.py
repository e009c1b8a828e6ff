"""A warehouse with the small world's rules in force."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.ingestion.identity.graph import adopt


@pytest.fixture
def graph(warehouse: Connection[DictRow]) -> Connection[DictRow]:
    adopt(warehouse)
    warehouse.commit()
    return warehouse
