"""The dbt project on a small simulated house: who is unified, what is known when, and again the same."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import combinations

import pandas as pd
import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from ingestion import sources
from ingestion.envelope import sample, simulation
from marquee import database, dbt_runner
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def house(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with the sample data ingested and built."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("house"), database_url=SecretStr(make_database()))
    frames = sample.sample_interactions(user_count=120, item_count=80, seed=3)
    simulation.generate(frames.interactions, frames.items, frames.users, NOW, settings.seed, settings)
    for source in sources.SOURCES:
        sources.ingest_source(source, "test", NOW, settings)
    dbt_runner.build(settings, NOW)
    return settings


@pytest.fixture
def built(house: Settings) -> Iterator[Connection[DictRow]]:
    with database.connect(house) as connection:
        yield connection


def _frame(connection: Connection[DictRow], query: str) -> pd.DataFrame:
    return pd.DataFrame(connection.execute(query.encode()).fetchall())


def _pairs(groups: pd.Series) -> set[tuple[str, str]]:
    return {
        pair
        for _, members in groups.groupby(groups).groups.items()
        for pair in combinations(sorted(map(str, members)), 2)
    }


def test_identities_are_unified_as_the_truth_says(house: Settings, built: Connection[DictRow]) -> None:
    truth = pd.read_parquet(house.truth_dir / "identities.parquet")
    truth = truth[truth["kind"].isin(["user_id", "anonymous_id", "crm_id", "billing_id"])]
    persons = pd.Series(truth["person_id"].to_numpy(), index=truth["kind"] + ":" + truth["value"])
    persons = persons[~persons.index.duplicated()]
    found = _frame(
        built,
        "select identifier_kind || ':' || identifier_value as identifier, subscriber_id "
        "from marts.dim_subscriber_identifiers",
    ).set_index("identifier")["subscriber_id"]
    known = persons.index.intersection(found.index)
    assert len(known) > 300
    true_pairs, found_pairs = _pairs(persons[known]), _pairs(found[known])
    precision = len(true_pairs & found_pairs) / len(found_pairs)
    recall = len(true_pairs & found_pairs) / len(true_pairs)
    assert precision == 1.0
    assert recall > 0.9


def test_every_consumption_of_known_content_becomes_one_interaction(built: Connection[DictRow]) -> None:
    expected = _frame(
        built,
        "select count(distinct message_id) as n from raw.events where event in ('Video Playback Completed', "
        "'Video Playback Exited', 'Article Read', 'Podcast Played') and event_type = 'track' "
        "and content_id in (select content_id from marts.dim_content)",
    )["n"][0]
    rows = _frame(built, "select count(*) as n, count(distinct interaction_id) as keys from marts.fct_interactions")
    assert rows["n"][0] == rows["keys"][0] == expected > 1_000


def test_a_second_build_makes_the_same_rows(house: Settings) -> None:
    def fingerprint() -> dict[str, str]:
        with database.connect(house) as connection:
            tables = _frame(
                connection,
                "select table_schema || '.' || table_name as name from information_schema.tables "
                "where table_schema in ('marts', 'features') order by 1",
            )["name"]
            return {
                name: _frame(
                    connection, f"select md5(string_agg(t::text, '|' order by t::text)) as h from {name} as t"
                )["h"][0]
                for name in tables
            }

    before = fingerprint()
    dbt_runner.build(house, NOW)
    assert fingerprint() == before
    assert len(before) == 13


def test_features_hold_nothing_that_came_later(built: Connection[DictRow]) -> None:
    interactions = _frame(
        built,
        "select subscriber_id, interaction_id, content_id, occurred_at, watched_fraction from marts.fct_interactions "
        "order by occurred_at, interaction_id",
    )
    sequences = _frame(built, "select * from features.ftr_subscriber__sequence order by random() limit 200")
    activity = _frame(built, "select * from features.ftr_subscriber__activity").set_index(
        ["subscriber_id", "event_timestamp"]
    )
    for row in sequences.to_dict("records"):
        past = interactions[
            (interactions["subscriber_id"] == row["subscriber_id"])
            & (interactions["occurred_at"] <= row["event_timestamp"])
        ]
        assert row["recent_content_ids"] == past["content_id"].tolist()[-50:]
        counts = activity.loc[(row["subscriber_id"], row["event_timestamp"])]
        week = past[past["occurred_at"] >= row["event_timestamp"] - pd.Timedelta(days=7)]
        assert counts["interaction_count"] == len(past)
        assert counts["interaction_count_7d"] == len(week)


def test_popularity_counts_whole_days_up_to_its_moment(built: Connection[DictRow]) -> None:
    interactions = _frame(built, "select content_id, occurred_at from marts.fct_interactions")
    rows = _frame(
        built, "select * from features.ftr_content__popularity order by md5(content_id || event_timestamp) limit 300"
    )
    for row in rows.to_dict("records"):
        moment = row["event_timestamp"]
        last_day = (moment - pd.Timedelta(microseconds=1)).normalize()
        # the newest event lies on as_of itself and counts
        past = interactions[(interactions["content_id"] == row["content_id"]) & (interactions["occurred_at"] <= moment)]
        assert row["interaction_count"] == len(past)
        assert row["interaction_count_7d"] == (past["occurred_at"] >= last_day - pd.Timedelta(days=6)).sum()


def test_only_who_agreed_has_consent(built: Connection[DictRow]) -> None:
    wrong = _frame(
        built,
        "select count(*) as n from marts.dim_subscribers as s where has_email_consent and not exists (select from "
        "marts.fct_consents as c where c.subscriber_id = s.subscriber_id and c.purpose = 'email_marketing' "
        "and c.is_granted)",
    )
    shares = _frame(built, "select avg(has_email_consent::int) as share from marts.dim_subscribers where is_known")
    assert wrong["n"][0] == 0
    assert 0.4 < float(shares["share"][0]) < 0.95


def test_every_mart_column_is_described_and_owned(house: Settings) -> None:
    manifest = json.loads((house.dbt_target_dir / "manifest.json").read_text())
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert len(models) == 25
    for model in models:
        assert model["description"], model["name"]
        assert model["meta"].get("owner"), model["name"]
        assert all(column["description"] for column in model["columns"].values()), model["name"]
        if model["schema"] in ("marts", "features"):
            assert model["contract"]["enforced"], model["name"]
            assert {"grain", "consent_purpose", "retention"} <= set(model["meta"]), model["name"]


def test_a_build_leaves_the_manifest_that_airflow_reads_alone(house: Settings) -> None:
    dbt_runner.parse(house)
    read_by_airflow = dbt_runner.manifest_path(house)
    before = (read_by_airflow.stat().st_ino, read_by_airflow.read_bytes())
    dbt_runner.run(["build", "--select", "stg_surveys__answers"], house, NOW)
    assert (read_by_airflow.stat().st_ino, read_by_airflow.read_bytes()) == before
