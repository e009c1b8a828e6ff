"""Every DAG file is thin, imports quickly without heavy libraries, and says who owns it and how it fails."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import dbt_runner
from marquee.services.airflow_environment import DAGS_DIR, airflow_environment
from marquee.settings import Settings
from monitoring import verdicts
from monitoring.findings import Finding
from tests.monitoring.world import CHAMPION, NOW, World

DAG_FILES = sorted(path for path in DAGS_DIR.glob("*.py") if path.name != "pipeline_assets.py")

_INSPECT = """
import importlib, json, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import airflow.sdk, cosmos  # a DAG processor has both loaded before it reads the first file
before = time.process_time()
module = importlib.import_module(sys.argv[2])
seconds = time.process_time() - before
heavy = sorted({"torch", "feast", "evidently", "sklearn", "pandas"} & set(sys.modules))
from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator
dags = [value for value in vars(module).values() if isinstance(value, DAG)]
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
bag = DagBag(pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}.py")
found = []
for dag in bag.dags.values():
    tasks = [
        {"id": t.task_id, "owner": t.owner,
         "timeout_hours": t.execution_timeout and t.execution_timeout.total_seconds() / 3600,
         "after": sorted(t.upstream_task_ids), "outlets": [asset.name for asset in t.outlets],
         "trigger_rule": t.trigger_rule.value, "type": t.task_type}
        for t in dag.tasks
    ]
    # as the scheduler reads it
    assets = getattr(decode_timetable(encode_timetable(dag.timetable)), "asset_condition", None)
    found.append({"dag_id": dag.dag_id, "doc": dag.doc_md, "tags": sorted(dag.tags), "tasks": tasks,
                  "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
                  "timeout_hours": dag.dagrun_timeout.total_seconds() / 3600,
                  "starts_after": sorted(asset.name for _, asset in assets.iter_assets()) if assets else []})
import pipeline_assets
from airflow._shared.timezones.timezone import utcnow
from airflow.timetables.base import TimeRestriction
# by the minute, so that one has always passed lately
times = decode_timetable(encode_timetable(pipeline_assets.at("* * * * *")))
asked = utcnow()
first = times.next_dagrun_info(
    last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
)
print("RESULT" + json.dumps({"seconds": seconds, "heavy": heavy, "dags": found, "errors": bag.import_errors,
                           "waits": first.run_after > asked}))
"""


def _said(script: str, *arguments: str, environment: dict[str, str]) -> Any:
    """What a script says as its RESULT, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(DAGS_DIR), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("RESULT"))


@pytest.fixture(scope="module")
def inspected(
    make_database: object, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, object]]:
    from pydantic import SecretStr

    settings = Settings(
        var_dir=tmp_path_factory.mktemp("dags"),
        database_url=SecretStr(make_database()),  # type: ignore[operator]
        airflow_database_url=SecretStr(make_database()),  # type: ignore[operator]
    )
    dbt_runner.parse(settings)
    results = {}
    for path in DAG_FILES:
        environment = {**airflow_environment(settings), "MARQUEE_TRAINING_TIMEOUT_HOURS": "9"}
        results[path.stem] = _said(_INSPECT, path.stem, environment=environment)
    return results


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_dag_file_is_thin(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 90


@pytest.mark.parametrize("name", [path.stem for path in DAG_FILES])
def test_a_dag_imports_without_error_in_under_two_seconds_of_work(
    name: str, inspected: dict[str, dict[str, object]]
) -> None:
    result = inspected[name]
    assert result["errors"] == {}
    assert [dag["dag_id"] for dag in result["dags"]] == [name]  # type: ignore[attr-defined,index]
    assert result["heavy"] == []
    assert result["seconds"] < 2  # type: ignore[operator]  # CPU seconds: the limit of the architecture, not a benchmark


@pytest.mark.parametrize("name", [path.stem for path in DAG_FILES])
def test_a_dag_says_who_owns_it_and_how_it_fails(name: str, inspected: dict[str, dict[str, object]]) -> None:
    (dag,) = inspected[name]["dags"]  # type: ignore[misc]
    assert dag["doc"].startswith("###")
    assert dag["tags"]
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    for task in dag["tasks"]:
        assert task["owner"] in ("data-engineering", "ml-engineering", "marketing"), task
        assert task["timeout_hours"], task


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_new_installation_waits_for_the_next_time_of_a_schedule(
    path: Path, inspected: dict[str, dict[str, object]]
) -> None:
    assert inspected[path.stem]["waits"]
    text = path.read_text()
    assert "CronTriggerTimetable" not in text
    assert 'schedule="' not in text


def test_the_models_of_dbt_are_tasks(inspected: dict[str, dict[str, object]]) -> None:
    (dag,) = inspected["build_profiles"]["dags"]  # type: ignore[misc]
    tasks = {task["id"] for task in dag["tasks"]}
    assert any("dim_subscribers" in task for task in tasks)
    assert any("stg_" in task for task in tasks)


def test_the_tests_of_the_data_come_before_who_reads_the_profiles(inspected: dict[str, dict[str, object]]) -> None:
    (dag,) = inspected["build_profiles"]["dags"]  # type: ignore[misc]
    after = {task["id"]: task["after"] for task in dag["tasks"]}
    assert "dbt.dbt_project_test" in after["publish_profiles"]
    assert "dbt.fct_campaign_candidates_run" in after["dbt.dbt_project_test"]


def test_a_training_may_take_as_long_as_the_setting_says_and_the_rest_of_its_run_has_time(
    inspected: dict[str, dict[str, object]],
) -> None:
    (dag,) = inspected["train_recommender"]["dags"]  # type: ignore[misc]
    hours = {task["id"]: task["timeout_hours"] for task in dag["tasks"]}
    assert hours.pop("train_models") == 9
    assert set(hours.values()) == {0.5}
    assert dag["timeout_hours"] == 15


def test_drift_that_wants_a_training_starts_one(inspected: dict[str, dict[str, object]]) -> None:
    """The asset goes from the one DAG to the other, and past nothing but the verdict that asks for it."""
    (trains,) = inspected["train_recommender"]["dags"]  # type: ignore[misc]
    assert trains["starts_after"] == ["retraining_wanted"]
    (checks,) = inspected["check_quality"]["dags"]  # type: ignore[misc]
    tasks = {task["id"]: task for task in checks["tasks"]}
    assert [name for name, task in tasks.items() if "retraining_wanted" in task["outlets"]] == ["request_retraining"]
    assert tasks["request_retraining"]["after"] == ["decide_verdict"]
    assert tasks["request_retraining"]["trigger_rule"] == "all_success"
    assert tasks["decide_verdict"]["after"] == ["run_check"]


_DECIDE = """
import json, sys, types
sys.path.insert(0, sys.argv[1])
import check_quality
decide = check_quality.check_quality().get_task("decide_verdict").python_callable
print("RESULT" + json.dumps([decide(dag_run=types.SimpleNamespace(run_id=run)) for run in sys.argv[2:]]))
"""


def test_the_task_before_it_lets_only_drift_of_an_aged_champion_through(
    inspected: dict[str, dict[str, object]], warehouse: Connection[DictRow], settings: Settings
) -> None:
    (dag,) = inspected["check_quality"]["dags"]  # type: ignore[misc]
    (kind,) = (task["type"] for task in dag["tasks"] if task["id"] == "decide_verdict")
    assert "ShortCircuit" in kind
    world = World(warehouse, settings).build()
    world.register(CHAMPION, NOW - timedelta(days=10), NOW - timedelta(days=10))
    for run, drift in (("drifted", "fail"), ("even", "pass")):
        key = verdicts.CheckKey(run, "drift", NOW, "drift.html")
        verdicts.replace(warehouse, key, [Finding("feature", "distance", 1.0, 0.5, drift)])
    warehouse.commit()
    assert settings.database_url is not None
    environment = {**airflow_environment(settings), "DATABASE_URL": settings.database_url.get_secret_value()}
    assert _said(_DECIDE, "drifted", "even", environment=environment) == [True, False]
