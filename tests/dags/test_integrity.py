"""Every DAG file is thin, imports quickly without heavy libraries, and says who owns it and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from marquee import dbt_runner
from marquee.services.airflow_environment import DAGS_DIR, airflow_environment
from marquee.settings import Settings

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
bag = DagBag(pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}.py")
found = []
for dag in bag.dags.values():
    tasks = [
        {"id": t.task_id, "owner": t.owner, "timeout": t.execution_timeout is not None,
         "after": sorted(t.upstream_task_ids)}
        for t in dag.tasks
    ]
    found.append({"dag_id": dag.dag_id, "doc": dag.doc_md, "tags": sorted(dag.tags), "tasks": tasks,
                  "catchup": dag.catchup, "max_active_runs": dag.max_active_runs})
import pipeline_assets
from airflow._shared.timezones.timezone import utcnow
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
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
        done = subprocess.run(
            [sys.executable, "-c", _INSPECT, str(DAGS_DIR), path.stem],
            env=airflow_environment(settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
        assert lines, done.stderr[-3000:]
        results[path.stem] = json.loads(lines[0].removeprefix("RESULT"))
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
        assert task["timeout"], task


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
