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
from tests.ingestion.identity.truth import NEVER_NAMED, NEVER_SIGNED_IN, WITHHELD, evaluate

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_BUILD = [
    "run", "--select", "+int_identifiers_resolved", "+dim_households", "+dim_subscriber_redirects",
    "fct_identity_suspects",
]  # fmt: skip


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


def test_pairs_of_identifiers_are_those_that_records_join(house: Settings) -> None:
    found = {
        (kind, value): subscriber_id
        for kind, value, subscriber_id in _resolved(house)[
            ["identifier_kind", "identifier_value", "subscriber_id"]
        ].itertuples(index=False, name=None)
    }
    with database.connect(house) as connection:
        evaluation = evaluate(found, connection, house)
    assert evaluation.joined_pairs.true_count > 5_000
    assert evaluation.joined_pairs.precision >= 0.999
    assert evaluation.joined_pairs.f1 >= 0.99
    # of what is not found, nothing could be: there is no record, or its owner does not allow the house to keep it
    assert set(evaluation.missed) == {NEVER_NAMED, NEVER_SIGNED_IN, WITHHELD}
    assert evaluation.all_pairs.recall > 0.85


def test_the_mart_of_suspects_says_what_the_graph_says_now(house: Settings) -> None:
    with database.connect(house) as connection:
        rows = connection.execute("select * from marts.fct_identity_suspects").fetchall()
        # one client says of two people with accounts that they are one
        assert {(row["reason"], row["score"]) for row in rows} == {("a link is held", 2)}
        one, other = rows[0]["identifier"], rows[0]["other_identifier"]
        connection.execute("select identity.decide(%s, %s, 'parted', 'a test', %s)", (one, other, NOW))
        assert connection.execute("select * from marts.fct_identity_suspects").fetchall() == []
        connection.rollback()


def test_a_build_from_nothing_resolves_the_same(house: Settings) -> None:
    before = _resolved(house)
    again = ["run", "--full-refresh", "--select", "int_identifiers_assigned", "int_identifiers_resolved"]
    dbt_runner.run(again, house, NOW)
    pd.testing.assert_frame_equal(_resolved(house), before)
