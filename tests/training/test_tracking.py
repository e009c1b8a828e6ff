"""MLflow shows what ops and the artefacts say: once, whole after a crash, later after an outage, and to nobody else."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from marquee.settings import PROJECT_ROOT, Settings
from tests.training.versions import NOW, add_version
from training import registry, tracking
from training.manifest import CARD, LOSSES, Manifest

_MANIFEST = Manifest(
    model_version="v1", trained_at=NOW, data_from=NOW - timedelta(days=90), data_until=NOW - timedelta(hours=1),
    code_version="0123456789ab", source_revision="c0ffee", run_key="scheduled__1", seed=7,
    parameters={"embedding_size": 64, "learning_rate": 3e-3}, sequence_length=50, embedding_size=64,
    ranker_features=("retrieval_score", "popularity_7d"), candidate_count=100, files={},
)  # fmt: skip


def _add(connection: Connection[DictRow], settings: Settings, name: str) -> str:
    """A registered version with the files that training writes and MLflow shows."""
    add_version(connection, settings, name)
    folder = registry.artefact_dir(name, settings)
    (folder / "manifest.json").write_text(_MANIFEST.model_copy(update={"model_version": name}).model_dump_json())
    losses = [{"stage": "loo: towers", "epoch": epoch, "loss": 8.0 - epoch} for epoch in range(3)]
    (folder / LOSSES).write_text(json.dumps(losses))
    (folder / CARD).write_text("<!doctype html>")
    return name


def _client(settings: Settings) -> MlflowClient:
    uri = tracking.tracking_uri(settings)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name(tracking.NAME)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def _champion(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(tracking.NAME, tracking.CHAMPION).tags["marquee.model_version"])


def test_a_version_is_a_run_with_everything_that_tells_it_from_others(
    warehouse: Connection[DictRow], settings: Settings
) -> None:
    _add(warehouse, settings, "v1")
    assert tracking.sync(settings).written == ["v1"]
    client = _client(settings)
    (run,) = _runs(client)
    assert (run.info.run_name, run.info.status) == ("v1", "FINISHED")
    assert (
        run.data.params | {"data_from": "2026-08-26T12:00:00+00:00", "code_version": "0123456789ab"} == run.data.params
    )
    assert run.data.params | {"embedding_size": "64", "learning_rate": "0.003", "seed": "7"} == run.data.params
    assert run.data.tags | {"marquee.run_key": "scheduled__1", "mlflow.source.git.commit": "c0ffee"} == run.data.tags
    assert run.data.metrics["loo/marquee/ndcg_at_10"] == 0.11
    assert run.data.metrics["loo/marquee/ndcg_at_10_high"] == pytest.approx(0.12)
    curve = client.get_metric_history(run.info.run_id, "loss/loo/towers")
    assert [(point.step, point.value) for point in curve] == [(0, 8.0), (1, 7.0), (2, 6.0)]
    (number,) = client.search_model_versions(f"name = '{tracking.NAME}'")
    folder = Path(number.source.removeprefix("file://"))
    shown = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    # the lists and what they were measured on are rows about subscribers
    assert shown == {"manifest.json", LOSSES, CARD}


def test_syncing_again_writes_nothing_and_what_changes_changes_the_same_run(
    warehouse: Connection[DictRow], settings: Settings
) -> None:
    _add(warehouse, settings, "v1")
    _add(warehouse, settings, "v2")
    tracking.sync(settings)
    again = tracking.sync(settings)
    assert (again.written, again.unchanged) == ([], 2)
    warehouse.execute(
        "insert into ops.model_verdicts (run_key, model_version, verdict, reasons, decided_at) "
        "values ('scheduled__1', 'v2', 'promote', '{}', %s)",
        (NOW,),
    )
    registry.promote(warehouse, "v1", NOW, "by hand", settings)
    registry.promote(warehouse, "v2", NOW, "by hand", settings)
    warehouse.commit()
    assert tracking.sync(settings).written == ["v1", "v2"]
    client = _client(settings)
    verdicts = {run.info.run_name: run.data.tags["marquee.verdict"] for run in _runs(client)}
    assert verdicts == {"v1": "not judged", "v2": "promote"}
    assert _champion(client) == "v2"
    assert len(client.search_model_versions(f"name = '{tracking.NAME}'")) == 2
    registry.roll_back(warehouse, NOW, settings)
    warehouse.commit()
    tracking.sync(settings)
    assert _champion(client) == "v1"


def test_a_write_that_dies_half_way_is_completed_and_nothing_is_there_twice(
    warehouse: Connection[DictRow], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(warehouse, settings, "v1")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place in ("log_artifacts", "create_model_version", "set_model_version_tag"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, place, die)
            with pytest.raises(KeyboardInterrupt):
                tracking.sync(settings)
    assert tracking.sync(settings).written == ["v1"]
    client = _client(settings)
    (run,) = _runs(client)
    assert len(client.get_metric_history(run.info.run_id, "loss/loo/towers")) == 3
    assert len(client.search_model_versions(f"name = '{tracking.NAME}'")) == 1


def test_a_store_that_is_down_costs_no_training_and_is_caught_up_with(
    warehouse: Connection[DictRow], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as nobody:
        # bound and not listening: nothing else can take the port meanwhile
        nobody.bind(("127.0.0.1", 0))
        address = f"http://team:secret-word@127.0.0.1:{nobody.getsockname()[1]}"
        away = settings.model_copy(update={"mlflow_tracking_uri": SecretStr(address)})
        _add(warehouse, settings, "v1")
        assert tracking.try_sync(away) is None
        with pytest.raises(tracking.TrackingError, match="`marquee models sync` writes what is missing") as raised:
            tracking.sync(away)
    assert "secret-word" not in str(raised.value)
    _add(warehouse, settings, "v2")
    registry.promote(warehouse, "v2", NOW, "by hand", settings)
    warehouse.commit()
    caught_up = tracking.try_sync(settings)
    assert caught_up == tracking.Synced(["v1", "v2"], 0, [], "v2")


def test_two_at_once_make_one_run(warehouse: Connection[DictRow], settings: Settings) -> None:
    _add(warehouse, settings, "v1")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(tracking.sync, [settings, settings]))
    assert sorted(len(one.written) for one in done) == [0, 1]
    assert len(_runs(_client(settings))) == 1


def test_a_version_without_its_artefact_is_named(warehouse: Connection[DictRow], settings: Settings) -> None:
    _add(warehouse, settings, "v1")
    (registry.artefact_dir("v1", settings) / "manifest.json").unlink()
    assert tracking.sync(settings) == tracking.Synced([], 0, ["v1"], None)


_WATCHED = """
import sys
asked = []
def watch(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        asked.append(arguments[1:2] if event == "socket.connect" else arguments[:2])
sys.addaudithook(watch)
from marquee.settings import Settings
from training import tracking
tracking.sync(Settings())
from mlflow.telemetry import get_telemetry_client
print("RESULT", asked, get_telemetry_client())
"""


def test_nothing_is_told_to_anybody_else(warehouse: Connection[DictRow], settings: Settings) -> None:
    _add(warehouse, settings, "v1")
    assert settings.database_url is not None
    # without what stands for a test or a build machine, where MLflow keeps quiet anyway
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED],
        env={**environment, "DATABASE_URL": settings.database_url.get_secret_value(),
             "MARQUEE_VAR_DIR": str(settings.var_dir)},
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "RESULT [] None" in done.stdout
