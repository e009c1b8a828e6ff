"""Two days of the demo's systems, loaded and built once for the tests that look at what came of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from ingestion.envelope import sample, simulation
from ingestion.envelope.next_day import NextDay, generate_next_day
from ingestion.sources import SOURCES, IngestedSource, ingest_source
from marquee import dbt_runner
from marquee.settings import Settings

FIRST_DAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
_MODELS = ("+fct_invoices", "stg_cms__contents")


class TwoDays(NamedTuple):
    """The warehouse as of the second day, what that day brought, and what its loads counted."""

    settings: Settings
    day: NextDay
    loads: dict[str, IngestedSource]


@pytest.fixture(scope="session")
def two_days(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> TwoDays:
    """A small demo that has loaded two days and built the second."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("days"), database_url=SecretStr(make_database()))
    frames = sample.sample_interactions(user_count=120, item_count=80, seed=3)
    simulation.generate(frames.interactions, frames.items, frames.users, FIRST_DAY, settings.seed, settings)
    for source in SOURCES:
        ingest_source(source, "first", FIRST_DAY, settings)
    day = generate_next_day(frames.interactions, frames.users, FIRST_DAY, settings.seed, settings)
    loads = {source: ingest_source(source, "second", day.anchor, settings) for source in SOURCES}
    dbt_runner.run(["run", "--full-refresh", "--select", *_MODELS], settings, day.anchor)
    return TwoDays(settings, day, loads)
