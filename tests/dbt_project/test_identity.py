"""Identity through the dbt build: the truth of the envelope, and a build from nothing that finds the same."""

from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pytest
from pydantic import SecretStr

from ingestion import sources
from ingestion.envelope import sample, simulation
from marquee import database, dbt_runner
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_BUILD = ["run", "--select", "+int_identifiers_resolved", "+dim_households", "+dim_subscriber_redirects"]


@pytest.fixture(scope="module")
def house(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with the sample data ingested and its identities built."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("identities"), database_url=SecretStr(make_database()))
    frames = sample.sample_interactions(user_count=300, item_count=80, seed=3)
    simulation.generate(frames.interactions, frames.items, frames.users, NOW, settings.seed, settings)
    for source in sources.SOURCES:
        sources.ingest_source(source, "test", NOW, settings)
    dbt_runner.run(_BUILD, settings, NOW)
    return settings


def _resolved(settings: Settings) -> pd.DataFrame:
    with database.connect(settings) as connection:
        rows = connection.execute("select * from intermediate.int_identifiers_resolved order by identifier").fetchall()
    return pd.DataFrame(rows)


def _pair_count(sizes: pd.Series) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def test_pairs_of_identifiers_are_those_of_the_truth(house: Settings) -> None:
    truth = pd.read_parquet(house.truth_dir / "identities.parquet")
    # a browser of which nothing says whose it is cannot be found out; a household's device is nobody's own
    truth = truth[truth["has_evidence"]]
    truth = truth.drop_duplicates(["kind", "value", "person_id"])
    truth = truth[~truth.duplicated(["kind", "value"], keep=False)]
    both = _resolved(house).merge(truth, left_on=["identifier_kind", "identifier_value"], right_on=["kind", "value"])
    assert len(both) > 1_000
    found = _pair_count(both.groupby("subscriber_id").size())
    true = _pair_count(both.groupby("person_id").size())
    common = _pair_count(both.groupby(["subscriber_id", "person_id"]).size())
    precision, recall = common / found, common / true
    assert precision >= 0.999
    assert 2 * precision * recall / (precision + recall) >= 0.99


def test_a_build_from_nothing_resolves_the_same(house: Settings) -> None:
    before = _resolved(house).drop(columns="assigned_xid")
    dbt_runner.run(["run", "--full-refresh", "--select", "int_identifiers_resolved"], house, NOW)
    pd.testing.assert_frame_equal(_resolved(house).drop(columns="assigned_xid"), before)
