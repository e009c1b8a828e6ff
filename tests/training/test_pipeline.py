"""A training run on a user's own imported files, through dbt and Feast: whole, repeatable, and good at what is there.

Everybody follows a cycle of contents, so that what comes next can be learnt and popularity knows nothing of it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from feature_repo import materialization, store
from ingestion.data_import import import_directory
from marquee import database, dbt_runner
from marquee.settings import Settings
from tests.training.marts import make_interactions
from tests.waiting import wait_until
from training import dataset, export, gate, pipeline, registry, shown_lists, system, verdicts
from training.champion import ServedModel, same_window
from training.checks import STEPS
from training.manifest import CARD, LOSSES, MANIFEST, Manifest, checksum
from training.outcomes import Outcomes
from training.ranker_config import RankerConfig
from training.ranking_features import LoggedFeatures, StoredFeatures

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_PEOPLE, _CONTENTS, _EVENTS = 60, 50, 24
# from one event of somebody to the next
_STEP_SECONDS = 86_400 - 60


def _write_files(folder: Path) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(11)
    people = [f"u-{n}" for n in range(_PEOPLE)]
    titles = [f"c-{n}" for n in range(_CONTENTS)]
    pd.DataFrame({"user_id": people, "email": [f"{person}@example.com" for person in people]}).to_csv(
        folder / "subscribers.csv", index=False
    )
    pd.DataFrame(
        {
            "content_id": titles,
            "title": titles,
            "content_type": "video",
            "tags": ["Drama" if n % 2 else "Comedy" for n in range(_CONTENTS)],
            "published_at": "2026-01-01T00:00:00Z",
        }
    ).to_csv(folder / "content.csv", index=False)
    events = []
    for person in people:
        first, start = int(generator.integers(_CONTENTS)), int(generator.integers(1, 40))
        events += [
            {
                "user_id": person,
                "content_id": titles[(first + step) % _CONTENTS],
                "occurred_at": (NOW - timedelta(days=80 - start - step, minutes=step)).isoformat(),
                # what has an even number is seen to its end, the other half is not
                "device_type": "web",
                "watched_fraction": 0.95 if (first + step) % 2 == 0 else 0.6,
            }
            for step in range(_EVENTS)
        ]
    pd.DataFrame(events).to_csv(folder / "events.csv", index=False)
    return folder


@dataclass(frozen=True)
class Run:
    settings: Settings
    version: str

    @property
    def folder(self) -> Path:
        return registry.artefact_dir(self.version, self.settings)

    @property
    def manifest(self) -> Manifest:
        return Manifest.model_validate_json((self.folder / MANIFEST).read_text())


@pytest.fixture(scope="module")
def run(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    # sixty people have few outcomes
    (folder / "ranker.yml").write_text("least_outcomes: 60\nleast_rare_outcomes: 20\nleast_impressions: 30\n")
    settings = Settings(
        var_dir=folder / "var", database_url=SecretStr(make_database()), ranker_file=folder / "ranker.yml"
    )
    import_directory(_write_files(folder / "files"), NOW, settings, assume_consent=True)
    dbt_runner.build(settings, NOW)
    store.apply_definitions(settings)
    materialization.materialize("run-1", NOW, settings)
    _show_lists(settings)
    pipeline.build_training_set("run-1", NOW, settings)
    pipeline.train_models("run-1", settings)
    return Run(settings, pipeline.evaluate_version("run-1", NOW, settings))


def _show_lists(settings: Settings) -> None:
    """An hour before each event, a list with its content at the third place; every tenth list was nobody's own."""
    with database.connect(settings) as connection:
        connection.execute(
            "insert into activation.impressions "
            "(request_id, subscriber_id, surface, is_fallback, content_ids, shown_at) "
            "select gen_random_uuid(), subscriber_id, 'homepage/for_you', row_number % 10 = 0, "
            "array['c-' || (number + 20) % 50, 'c-' || (number + 30) % 50, content_id, 'c-' || (number + 10) % 50], "
            "occurred_at - interval '1 hour' from (select *, row_number() over (order by occurred_at, subscriber_id), "
            "substr(content_id, 3)::int as number from marts.fct_interactions) as events"
        )


def _figure(run: Run, protocol: str, model: str) -> float:
    rows = json.loads((run.folder / "evaluation" / "metrics.json").read_text())
    (row,) = (r for r in rows if (r["protocol"], r["model"], r["metric"]) == (protocol, model, "ndcg"))
    return float(row["value"])


@pytest.mark.parametrize("model", ["two_tower", "marquee"])
def test_what_comes_next_is_learnt_beyond_popularity(run: Run, model: str) -> None:
    assert _figure(run, "loo", model) > 1.5 * _figure(run, "loo", "popularity")


def test_every_protocol_and_model_is_measured_with_its_interval(run: Run) -> None:
    rows = json.loads((run.folder / "evaluation" / "metrics.json").read_text())
    measured = {(row["protocol"], row["model"]) for row in rows if row["metric"] == "ndcg"}
    models = ("popularity", "popularity_7d", "content_based", "item_knn", "ease", "two_tower", "marquee")
    # as subscribers are shown them, with the weights of the file
    models = (*models, "marquee_composed")
    assert measured == {(protocol, model) for protocol in ("temporal", "loo") for model in models}
    assert {name: run.manifest.parameters[f"list_{name}"] for name in ("diversity", "calibration")} == {
        "diversity": 0.1, "calibration": 0.1
    }  # fmt: skip
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows if row["metric"] == "ndcg")


def test_what_is_finished_is_foreseen_and_its_probability_is_measured(run: Run) -> None:
    rows = json.loads((run.folder / "evaluation" / "metrics.json").read_text())
    figures = {(row["protocol"], row["metric"]): row["value"] for row in rows if row["model"] == "marquee"}
    for protocol in ("temporal", "loo"):
        assert figures[protocol, "finish_auc"] > 0.95
    assert figures["loo", "finish_brier"] < 0.1 * figures["loo", "finish_base_brier"]
    assert figures["loo", "start_ece"] < 0.01
    assert "Calibration error as in Naeini" in (run.folder / CARD).read_text()
    assert run.manifest.parameters["ranker_least_outcomes"] == 60


def test_lists_that_were_shown_teach_the_ranker_and_are_those_of_the_day_of_the_run(run: Run) -> None:
    folder = run.settings.models_dir / ".work" / "run-1"
    shown = pd.read_parquet(folder / "impressions.parquet")
    events = pd.read_parquet(folder / "interactions.parquet")
    assert len(shown) == len(events) * 9 // 10
    assert shown["content_ids"].map(len).eq(4).all()
    before = NOW - timedelta(days=40)
    pipeline.build_training_set("past", before, run.settings)
    past = pd.read_parquet(folder.with_name("past") / "impressions.parquet")
    # a list's day of starts is over before it is looked at
    assert past["shown_at"].max() <= before - timedelta(days=1)
    expected = shown[shown["shown_at"] <= pd.Timestamp(before - timedelta(days=1))]
    pd.testing.assert_frame_equal(past, expected.reset_index(drop=True))
    pipeline.clean_up("past", run.settings)


def test_a_data_set_that_is_made_again_keeps_what_a_killed_training_left(run: Run) -> None:
    folder = pipeline.build_training_set("killed", NOW, run.settings)
    (folder / "loo.checkpoint").write_text("three epochs")
    (folder / "trained.pickle").write_text("of other data")
    again = pipeline.build_training_set("killed", NOW, run.settings)
    assert (again / "loo.checkpoint").read_text() == "three epochs"
    assert not (again / "trained.pickle").exists()
    pipeline.clean_up("killed", run.settings)


def test_what_was_shown_is_judged_by_what_was_known_then(run: Run) -> None:
    """The same lists with other features of the store after them, and with a log that ends with them, give the same."""
    sifted, content_frame = pipeline.read_training_set("run-1", run.settings)
    log, contents = dataset.read_frames(sifted.kept, content_frame)
    split = dataset.temporal(log)
    inner = dataset.temporal(split.train, share=0.9)
    shown = pd.read_parquet(run.settings.models_dir / ".work" / "run-1" / "impressions.parquet")
    lists = shown_lists.shown_lists(shown, split, inner, contents, RankerConfig(least_impressions=1))
    assert len(lists.items) > 30
    assert (np.diff(lists.split.cuts) >= 0).all()
    trained = pd.read_pickle(run.settings.models_dir / ".work" / "run-1" / "trained.pickle")
    relations = system.Relations.of(inner.train, len(contents.content_ids), 0.1)
    last = int(lists.split.cuts[-1])
    with_future, without = (
        system._shown_lesson(
            trained.system.retriever,
            replace(lists, split=replace(lists.split, train=known)),
            relations,
            contents,
            LoggedFeatures(known, contents),
        )
        for known in (log, log.where(log.moments < last))
    )
    assert with_future is not None
    assert without is not None
    np.testing.assert_array_equal(with_future.lists.items, without.lists.items)
    np.testing.assert_array_equal(with_future.lists.inputs, without.lists.inputs)
    # what was shown, nothing else, and the third place's start
    for items, target, places, started in zip(
        with_future.lists.items, with_future.target, lists.items, lists.split.relevant, strict=True
    ):
        assert set(items[items > 0]) == set(places[places > 0])
        assert set(items[target > 0]) == set(started)


def test_another_ranker_file_makes_another_version(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ranker.yml").write_text("finish_weight: 0.7\n")
    sifted, contents = pipeline.read_training_set("run-1", run.settings)
    other = run.settings.model_copy(update={"ranker_file": tmp_path / "ranker.yml"})
    impressions = pd.read_parquet(run.settings.models_dir / ".work" / "run-1" / "impressions.parquet")
    profiles = pipeline.read_profiles("run-1", sifted.kept, run.settings)
    names = {pipeline._version_name(sifted.kept, contents, impressions, profiles, one) for one in (run.settings, other)}
    assert run.version in names
    assert len(names) == 2


def test_processes_that_torchrun_starts_make_one_version_as_good_as_that_of_one(run: Run, tmp_path: Path) -> None:
    narrow = tmp_path / "towers.yml"
    narrow.write_text(
        "temporal_epochs: 2\nembedding_tables: sharded\n"
        "larger: {from_interactions: 100, embedding_size: 32, dropout: 0.3, epochs: 8}\n"
    )
    assert run.settings.database_url is not None
    said = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         Path(sys.executable).with_name("marquee"), "models", "train", "--as-of", f"{NOW:%Y-%m-%dT%H:%M:%S}"],
        check=True, capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MARQUEE_TWO_TOWER_FILE": str(narrow),
             "MARQUEE_VAR_DIR": str(run.settings.var_dir),
             "DATABASE_URL": run.settings.database_url.get_secret_value()},
    )  # fmt: skip
    (version,) = [line for line in said.stdout.splitlines() if line.startswith("2026")]
    assert version != run.version
    shared = Run(run.settings, version)
    assert shared.manifest.embedding_size == 32
    assert _figure(shared, "loo", "two_tower") > 1.5 * _figure(shared, "loo", "popularity")
    with database.connect(run.settings) as connection:
        rows = connection.execute("select model_version from ops.model_versions").fetchall()
    assert sorted(row["model_version"] for row in rows) == sorted([version, run.version])


def test_no_list_holds_what_the_training_side_has(run: Run) -> None:
    topk, seen = (pd.read_parquet(run.folder / "evaluation" / f"{name}.parquet") for name in ("topk", "seen"))
    keys = ["protocol", "subscriber_id", "content_id"]
    assert topk.merge(seen, on=keys).empty
    assert not topk.duplicated([*keys, "model"]).any()


def test_a_log_alone_tells_the_ranker_what_the_store_tells_it(run: Run) -> None:
    folder = run.settings.models_dir / ".work" / "run-1"
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in ("interactions", "contents")]
    log, contents = dataset.read_frames(*frames)
    split = dataset.leave_last_out(log)
    candidates = np.tile(np.arange(1, _CONTENTS + 1), (len(split.users), 1))
    opened = store.open_store(run.settings)
    try:
        stored = StoredFeatures(opened, contents)
        known, logged = (
            stored.candidates(split, candidates),
            LoggedFeatures(log, contents).candidates(split, candidates),
        )
        people = stored.subscribers(split), LoggedFeatures(log, contents).subscribers(split)
    finally:
        store.close_store(opened)
    for name in ("counts", "genres", "types"):
        np.testing.assert_array_equal(getattr(known, name), getattr(logged, name), err_msg=name)
    for ours, theirs in zip(*people, strict=True):
        assert ours.interaction_count == theirs.interaction_count
        np.testing.assert_allclose(ours.genre_affinity, theirs.genre_affinity, atol=1e-6)


def test_the_manifest_vouches_for_every_file(run: Run) -> None:
    manifest = run.manifest
    files = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()} - {MANIFEST}
    assert set(manifest.files) == files
    assert all(checksum(run.folder / name) == value for name, value in manifest.files.items())
    assert manifest.data_until <= NOW
    assert manifest.model_version == run.version


def test_the_artefact_tells_how_it_came_about(run: Run) -> None:
    stages = {point["stage"] for point in json.loads((run.folder / LOSSES).read_text())}
    assert stages == {"temporal: towers", "temporal: tuning", "loo: towers", "loo: tuning", "final: tuning"}
    card = (run.folder / CARD).read_text()
    assert f"Recommender {run.version}" in card
    assert f"{_figure(run, 'loo', 'marquee'):.4f}" in card
    assert f"{_PEOPLE * _EVENTS:,}" in card
    # nobody of an import is simulated
    assert "MovieLens" not in card


def test_the_exported_tower_says_what_comes_next_in_the_cycle(run: Run) -> None:
    tower = torch.export.load(run.folder / "user_tower.pt2").module()
    embeddings = np.load(run.folder / "content_embeddings.npy")
    ids = json.loads((run.folder / "content_ids.json").read_text())
    item_of = {content_id: row + 1 for row, content_id in enumerate(ids)}
    hits = 0
    for first in range(_CONTENTS):
        history = [item_of[f"c-{(first + step) % _CONTENTS}"] for step in range(6)]
        length = run.manifest.sequence_length
        padded, seconds = torch.zeros((1, length), dtype=torch.int64), torch.zeros((1, length), dtype=torch.int64)
        padded[0, -6:] = torch.tensor(history)
        seconds[0, -6:] = int(NOW.timestamp()) - torch.arange(6, 0, -1) * _STEP_SECONDS
        asked = torch.tensor([int(NOW.timestamp())])
        profiles, devices = torch.zeros((1, 4), dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        inputs = padded, seconds, torch.full((1, length), 0.5), asked, profiles, devices
        scores = embeddings @ tower(*inputs).detach().numpy()[0]
        scores[[0, *history]] = -np.inf
        hits += item_of[f"c-{(first + 6) % _CONTENTS}"] in np.argsort(-scores)[:5]
    assert hits > 0.8 * _CONTENTS  # by chance 0.1


def test_a_run_on_the_same_data_finds_the_version_that_is_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it trained again")

    monkeypatch.setattr(pipeline, "fit_system", refuse)
    made = (run.folder / MANIFEST).stat().st_mtime_ns
    with database.connect(run.settings) as connection:
        before = registry.versions(connection)
    pipeline.build_training_set("run-2", NOW, run.settings)
    assert pipeline.train_models("run-2", run.settings) == run.version
    assert pipeline.evaluate_version("run-2", NOW, run.settings) == run.version
    assert (run.folder / MANIFEST).stat().st_mtime_ns == made
    with database.connect(run.settings) as connection:
        assert registry.versions(connection) == before


def test_a_training_gives_its_connections_back_even_if_it_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(interactions: dataset.Interactions, *others: object) -> None:
        features = others[5]
        assert isinstance(features, StoredFeatures)
        assert features.subscribers(dataset.leave_last_out(interactions))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(pipeline, "_fit_everything", fail)
    pipeline.build_training_set("fails", NOW, run.settings)
    with database.connect(run.settings) as connection:
        connection.autocommit = True
        before = _connections(connection)
        # what it knows keeps the store alive
        with pytest.raises(RuntimeError, match="out of memory") as failure:
            pipeline.train_models("fails", run.settings.model_copy(update={"seed": 8}))
        wait_until(lambda: _connections(connection) <= before, 10, f"closing what {failure.value} left open")


def _connections(connection: Connection[DictRow]) -> set[int]:
    """Process numbers of the server's own processes for the connections to this database."""
    rows = connection.execute("select pid from pg_stat_activity where datname = current_database()").fetchall()
    return {row["pid"] for row in rows}


def test_an_export_that_dies_half_way_leaves_no_version_and_the_next_one_completes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = pd.read_pickle(run.settings.models_dir / ".work" / "run-1" / "trained.pickle")
    target = tmp_path / "version"

    def write() -> None:
        system, contents, codes = trained.system, trained.contents, trained.codes
        export.export(target, system, contents, codes, trained.fallback, {}, [], pd.DataFrame(), {}, run.manifest)

    with monkeypatch.context() as patch:
        patch.setattr(export, "checksum", _die)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert not target.exists()
    write()
    assert (target / MANIFEST).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def _die(_: Path) -> str:
    raise KeyboardInterrupt


def test_too_little_data_is_said_so(settings: Settings) -> None:
    with database.connect(settings) as connection:
        make_interactions(connection)
        connection.execute("create table marts.dim_content (content_id text, title text, published_at timestamptz)")
        connection.execute(
            "create table marts.dim_subscriber_redirects (former_subscriber_id text, subscriber_id text)"
        )
        connection.execute(
            "create table marts.dim_subscribers (subscriber_id text, is_simulated boolean, age_band text, gender text, "
            "region text, plan text, lifecycle_stage text, occupation text, has_personalization_consent boolean)"
        )
        for name in ("ftr_content__profile", "ftr_subscriber__activity", "ftr_subscriber__profile"):
            connection.execute(
                f"create table features.{name} (content_id text, content_type text, genre_vector float8[], "
                "is_simulated boolean, subscriber_id text, event_timestamp timestamptz, age_band text, gender text, "
                "plan text, region text, lifecycle_stage text)".encode()
            )
    with pytest.raises(pipeline.TrainingDataError, match=r"0 interactions with consent .* check `consents`"):
        pipeline.build_training_set("run", NOW, settings)


@contextmanager
def _planted(run: Run, source: str) -> Iterator[None]:
    """Rows of fct_interactions that `source` selects, while the block runs."""
    columns = (
        "interaction_id, subscriber_id, content_id, occurred_at, interaction_type, has_personalization_consent, "
        "is_simulated"
    )
    with database.connect(run.settings) as connection:
        connection.execute(f"insert into marts.fct_interactions ({columns}) {source}".encode(), {"now": NOW})
    yield
    with database.connect(run.settings) as connection:
        connection.execute("delete from marts.fct_interactions where interaction_id like 'poison%'")


_EVERYTHING_TWICE = """
    select 'poison-' || interaction_id, subscriber_id, content_id, occurred_at, 'play', true, false
    from marts.fct_interactions
"""
_ONE_FLOOD = """
    select 'poison-' || n, subscriber_id, 'c-1', %(now)s - interval '85 days' + n * interval '1 second', 'play', true,
        false
    from generate_series(1, 100000) as n
    cross join (select min(subscriber_id) as subscriber_id from marts.dim_subscribers) as one
"""
_BOTS = """
    select 'poison-' || n, 'bot-' || n %% 5, 'c-' || n %% 50, %(now)s - interval '30 days' + n * interval '0.2 seconds',
        'play', true, false
    from generate_series(1, 20000) as n
"""


@pytest.mark.parametrize("source", [_EVERYTHING_TWICE, _ONE_FLOOD, _BOTS], ids=["doubled", "flood", "bots"])
def test_a_poisoned_batch_teaches_nothing_and_is_rejected(run: Run, source: str) -> None:
    with _planted(run, source):
        pipeline.build_training_set("poisoned", NOW, run.settings)
    # the same name is the same extract: nothing of it moves a figure
    assert pipeline.train_models("poisoned", run.settings) == run.version
    assert gate.check_version("batch", "poisoned", run.version, run.settings) == "reject"
    for step in ("quality", "fairness", "champion"):
        gate.check_version(step, "poisoned", run.version, run.settings)
    verdict = verdicts.decide("poisoned", run.version, NOW, run.settings)
    assert verdict.verdict == "reject"
    assert verdict.reasons[0].startswith("poisoned batch: ")
    assert verdicts.publish("poisoned", NOW, run.settings) is False
    with database.connect(run.settings) as connection:
        assert registry.champion(connection) is None
    pipeline.clean_up("poisoned", run.settings)


def test_an_artefact_asked_again_gives_the_lists_of_the_system_that_it_holds(run: Run) -> None:
    sifted, content_frame = pipeline.read_training_set("run-1", run.settings)
    trained = pd.read_pickle(run.settings.models_dir / ".work" / "run-1" / "trained.pickle")
    profiles = pipeline.read_profiles("run-1", sifted.kept, run.settings)
    log, contents = dataset.read_frames(sifted.kept, content_frame, profiles, trained.codes)
    split = dataset.leave_last_out(log)
    features = LoggedFeatures(log, contents)
    nothing = Outcomes.of(split, log, 0, RankerConfig())
    ours = system.ranked_lists(trained.system, split, nothing, contents, features, 10)[0][-1]
    asked = ServedModel.load(run.folder)._lists(split, contents, features)
    np.testing.assert_array_equal(asked.items, ours.items)
    np.testing.assert_allclose(asked.scores, ours.scores, atol=1e-4)


@pytest.fixture(scope="module")
def earlier(run: Run) -> Run:
    """A version of the data of two weeks before the last event."""
    before = NOW - timedelta(days=32)
    pipeline.build_training_set("run-0", before, run.settings)
    pipeline.train_models("run-0", run.settings)
    return Run(run.settings, pipeline.evaluate_version("run-0", before, run.settings))


def test_the_champion_is_asked_again_about_what_came_after_its_data(run: Run, earlier: Run, tmp_path: Path) -> None:
    until = earlier.manifest.data_until
    window = same_window("run-1", run.version, earlier.version, until, run.settings)
    assert window.problem is None
    assert len(window.ours) == _PEOPLE
    log = pipeline.read_training_set("run-1", run.settings)[0].kept
    last = log.groupby("subscriber_id", observed=True)["occurred_at"].max()
    assert 0 < window.asked_count == (last > until).sum() < _PEOPLE
    # it knows the cycle, though it has never seen these steps of it
    assert window.theirs[last.index[last > until]].mean() > 0.5
    broken = run.settings.models_dir / "broken"
    shutil.copytree(earlier.folder, broken)
    (broken / "user_tower.pt2").write_bytes(b"half a file")
    alone = same_window("run-1", run.version, "broken", until, run.settings)
    assert alone.problem is not None
    assert "broken cannot be read as a model" in alone.problem
    assert (alone.asked_count, len(alone.ours)) == (0, (last <= until).sum())
    pd.testing.assert_series_equal(alone.theirs, window.theirs[alone.theirs.index])


def test_the_gate_judges_the_version(run: Run, earlier: Run) -> None:
    with database.connect(run.settings) as connection:
        registry.promote(connection, earlier.version, NOW, "first", run.settings)
    for step in STEPS:
        gate.check_version(step, "run-1", run.version, run.settings)
    verdict = verdicts.decide("run-1", run.version, NOW, run.settings)
    # it finds everybody's next step, as the champion did, and on the calendar more than popularity;
    # its sixty people are in no two groups that could be compared
    assert (verdict.champion_version, verdict.verdict) == (earlier.version, "promote"), verdict.reasons
    assert ["ease's" in reason or "popularity's" in reason for reason in verdict.reasons] == [True, True, False]
    assert "each on its own: ndcg@10" in verdict.reasons[2]
    assert verdicts.publish("run-1", NOW, run.settings) is True
    with database.connect(run.settings) as connection:
        assert registry.champion(connection) == run.version
    assert verdicts.publish("run-1", NOW, run.settings) is False
    pipeline.clean_up("run-1", run.settings)
    assert not (run.settings.models_dir / ".work" / "run-1").exists()
