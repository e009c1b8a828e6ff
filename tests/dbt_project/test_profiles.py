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


def test_the_unit_tests_of_the_models_pass(house: Settings) -> None:
    done = dbt_runner.run(["test", "--select", "test_type:unit"], house, NOW)
    assert "ERROR=0" in done and "PASS=0" not in done


def test_a_contract_is_kept_by_the_table_itself(house: Settings, built: Connection[DictRow]) -> None:
    nodes = json.loads((house.dbt_target_dir / "manifest.json").read_text())["nodes"].values()
    promised = {
        (node["schema"], node["name"], constraint["type"], column["name"], constraint["expression"])
        for node in nodes
        if node["resource_type"] == "model" and node["config"]["materialized"] in ("table", "incremental")
        for column in node["columns"].values()
        for constraint in column["constraints"]
    }
    never_null = {
        (row["schema"], row["name"], row["column"])
        for row in built.execute(
            "select relnamespace::regnamespace::text as schema, relname as name, attname as column "
            "from pg_attribute inner join pg_class on pg_class.oid = attrelid where attnotnull and attnum > 0"
        )
    }
    assert never_null >= {(one[0], one[1], one[3]) for one in promised if one[2] == "not_null"}
    checks = built.execute(
        "select conrelid::regclass::text as of_table from pg_constraint where contype = 'c' "
        "and connamespace in ('marts'::regnamespace, 'features'::regnamespace)"
    ).fetchall()
    promised_checks = sorted(f"{one[0]}.{one[1]}" for one in promised if one[2] == "check")
    assert sorted(row["of_table"] for row in checks) == promised_checks and promised_checks


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


def test_an_address_that_identifies_nobody_is_nobodys(built: Connection[DictRow]) -> None:
    rows = _frame(
        built,
        "select (select count(*) from raw.crm_contacts where email = 'test@example.com') as contact_count, "
        "(select count(*) from marts.dim_subscribers where email = 'test@example.com') as subscriber_count",
    )
    assert rows["contact_count"][0] > 1
    assert rows["subscriber_count"][0] == 0


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
    assert len(before) > 12


def test_a_build_by_another_macro_starts_from_nothing(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def written() -> tuple[int, int]:
        with database.connect(house) as connection:
            row = connection.execute(
                "select min(written_xid) as oldest, max(written_xid) as newest from intermediate.int_events_sessionized"
            ).fetchone()
        assert row is not None
        return row["oldest"], row["newest"]

    newest_before = written()[1]
    monkeypatch.setattr(dbt_runner, "_macros_hash", lambda: "another macro")
    dbt_runner.build(house, NOW)
    assert written()[0] > newest_before


def test_features_hold_nothing_that_came_later(built: Connection[DictRow]) -> None:
    interactions = _frame(
        built,
        "select subscriber_id, interaction_id, content_id, occurred_at, watched_fraction from marts.fct_interactions "
        "where has_personalization_consent order by occurred_at, interaction_id",
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
    interactions = _frame(
        built, "select content_id, occurred_at from marts.fct_interactions where has_personalization_consent"
    )
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
        "and c.is_permitted)",
    )
    shares = _frame(built, "select avg(has_email_consent::int) as share from marts.dim_subscribers where is_known")
    assert wrong["n"][0] == 0
    assert 0.4 < float(shares["share"][0]) < 0.95


def test_every_mart_column_is_described_and_owned(house: Settings) -> None:
    manifest = json.loads((house.dbt_target_dir / "manifest.json").read_text())
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert len(models) > 25
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


def test_nothing_is_derived_of_who_did_not_allow_personalization(built: Connection[DictRow]) -> None:
    profiles = _frame(built, "select * from marts.dim_subscribers")
    refused = profiles[~profiles["has_personalization_consent"]]
    allowed = profiles[profiles["has_personalization_consent"]]
    assert 0 < len(refused) < len(allowed)
    for column in ("gender", "age_band", "occupation"):
        assert (refused[column] == "unknown").all()
        assert (allowed[column] != "unknown").any()
    for column in ("genre_affinities", "taxonomy_affinities", "disliked_genres", "recent_searches", "searched_genres"):
        assert not refused[column].astype(bool).any()
        if column != "disliked_genres":
            assert allowed[column].astype(bool).any()
    assert not refused["top_genre"].notna().any()
    derived = _frame(
        built,
        "select subscriber_id from marts.fct_category_affinities union "
        "select subscriber_id from marts.fct_subscriber_intents union "
        "select subscriber_id from features.ftr_subscriber__churn",
    )
    assert not set(derived["subscriber_id"]) & set(refused["subscriber_id"])


def test_stages_part_everybody_and_campaigns_follow_them(built: Connection[DictRow]) -> None:
    profiles = _frame(built, "select subscriber_id, lifecycle_stage, is_known, tenure_days from marts.dim_subscribers")
    stages = profiles.set_index("subscriber_id")["lifecycle_stage"]
    assert ((profiles["lifecycle_stage"] == "anonymous") == ~profiles["is_known"]).all()
    assert (profiles.loc[profiles["lifecycle_stage"] == "onboarding", "tenure_days"] <= 30).all()
    assert {"anonymous", "onboarding", "lapsed", "cancelled"} <= set(stages)
    candidates = _frame(built, "select campaign_id, subscriber_id from marts.fct_campaign_candidates")
    by_campaign = {
        str(campaign): set(stages[ids]) for campaign, ids in candidates.groupby("campaign_id")["subscriber_id"]
    }
    assert by_campaign["onboarding"] <= {"onboarding", "trial"}
    assert not by_campaign["re_engagement"] & {"anonymous", "trial", "onboarding", "cancelled"}


def test_affinities_are_the_decayed_shares_of_what_was_watched(built: Connection[DictRow]) -> None:
    signals = _frame(
        built,
        "select i.subscriber_id, c.genres, i.occurred_at, coalesce(i.watched_fraction, 0.5) - "
        "case when i.interaction_type = 'play' and i.watched_fraction < 0.1 then 0.5 else 0 end as weight "
        "from marts.fct_interactions as i inner join marts.dim_content as c using (content_id) union all "
        "select s.subscriber_id, c.genres, s.occurred_at, case s.signal when 'hide' then -1 else -0.5 end "
        "from intermediate.int_signals_recognised as s left join marts.dim_content as c using (content_id) "
        "where s.signal in ('skip', 'hide')",
    )
    profiles = _frame(
        built,
        "select p.subscriber_id, p.genre_affinities, p.top_genre, p.affinity_strength, t.strength, "
        "(select count(*) from intermediate.int_email_events_attributed as e where e.subscriber_id = p.subscriber_id "
        "and e.event_type in ('unsubscribe', 'group_unsubscribe', 'spamreport')) as unsubscribe_count "
        "from marts.dim_subscribers as p inner join intermediate.int_subscribers_tasted as t using (subscriber_id) "
        "where p.has_personalization_consent",
    ).set_index("subscriber_id")
    assert len(profiles) > 50
    ages = signals.groupby("subscriber_id")["occurred_at"].transform("max") - signals["occurred_at"]
    signals["weight"] *= 0.5 ** (ages / pd.Timedelta(days=60)) / signals["genres"].str.len()
    nets = signals.explode("genres").groupby(["subscriber_id", "genres"])["weight"].sum().clip(lower=0)
    newest = signals.groupby("subscriber_id")["occurred_at"].max()
    for subscriber_id, profile in profiles.iterrows():
        liked = nets[subscriber_id]
        expected = {genre: share for genre, share in (liked / liked.sum()).items() if share > 1e-4}
        found = {genre: share for genre, share in profile["genre_affinities"].items() if share > 1e-4}
        assert found == pytest.approx(expected, abs=2e-4)
        assert sum(profile["genre_affinities"].values()) == pytest.approx(1, abs=1e-3)
        assert profile["genre_affinities"][profile["top_genre"]] == max(profile["genre_affinities"].values())
        halvings = (pd.Timestamp(NOW) - newest[subscriber_id]) / pd.Timedelta(days=60) + profile["unsubscribe_count"]
        assert profile["affinity_strength"] == pytest.approx(liked.sum() * 0.5**halvings, abs=1e-3)
        assert profile["affinity_strength"] <= profile["strength"] + 1e-3


def test_a_path_counts_a_subscriber_once(built: Connection[DictRow]) -> None:
    steps = _frame(
        built,
        "select outcome, subscriber_id, is_reached, step from intermediate.int_paths_walked "
        "where steps_to_end <= 20 order by outcome, subscriber_id, steps_to_end desc",
    )
    walked: dict[tuple[str, tuple[str, ...]], set[tuple[str, bool]]] = {}
    for (outcome, subscriber_id), group in steps.groupby(["outcome", "subscriber_id"]):
        line, is_reached = group["step"].tolist(), bool(group["is_reached"].iloc[0])
        for length in (2, 3, 4):
            for start in range(len(line) - length + 1):
                who = walked.setdefault((outcome, tuple(line[start : start + length])), set())
                who.add((subscriber_id, is_reached))
    expected = {
        path: (len(who), sum(is_reached for _, is_reached in who)) for path, who in walked.items() if len(who) >= 10
    }
    found = _frame(built, "select * from marts.fct_high_value_paths")
    reached = set(steps.loc[steps["is_reached"], "outcome"])
    assert {
        (row.outcome, tuple(row.path)): (row.subscriber_count, row.outcome_count) for row in found.itertuples()
    } == {path: counts for path, counts in expected.items() if path[0] in reached}
    assert len(found) > 20
    assert found["lift"].tolist() == pytest.approx((found["outcome_rate"] / found["base_rate"]).tolist(), abs=1e-4)
    assert (found["lift_low"] <= found["lift"]).all()
    assert (found["lift"] <= found["lift_high"]).all()


def test_content_of_every_type_is_placed_in_one_taxonomy(built: Connection[DictRow]) -> None:
    contents = _frame(built, "select content_id, content_type, genres, taxonomy_codes from marts.dim_content")
    known = set(_frame(built, "select taxonomy_code from marts.dim_taxonomy")["taxonomy_code"])
    issues = _frame(built, "select content_id, issue from marts.fct_content_tag_issues")
    unplaced = set(contents.loc[contents["taxonomy_codes"].str.len() == 0, "content_id"])
    assert unplaced == set(issues.loc[issues["issue"].isin(["untagged", "unplaced_tag"]), "content_id"])
    assert set(contents["taxonomy_codes"].explode().dropna()) <= known
    by_type = contents.explode("taxonomy_codes").groupby("content_type")["taxonomy_codes"].agg(set)
    assert "647" in by_type["video"] & by_type["article"] & by_type["podcast"]
