"""Features are tested in the media house of the serving tests: its tables are dbt's, its Feast is real."""

from collections.abc import Iterator

import pytest
from feast import FeatureStore

from feature_repo.store import close_store, open_store
from marquee.settings import Settings
from tests.activation.serving.conftest import house, house_db, house_template, make_house

__all__ = ["house", "house_db", "house_template", "make_house"]


@pytest.fixture
def store(house: Settings) -> Iterator[FeatureStore]:
    opened = open_store(house)
    yield opened
    close_store(opened)
