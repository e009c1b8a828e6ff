"""How Airflow is configured from the settings, and that what is named there can be loaded."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from marquee.services.airflow_client import AirflowError, wait_until_reachable
from marquee.services.airflow_environment import AirflowSettingsError, airflow_environment
from marquee.settings import Settings


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor"])
def test_the_executor_that_is_named_can_be_loaded(settings: Settings, executor: str) -> None:
    chosen = settings.model_copy(
        update={"airflow_executor": executor, "celery_broker_url": SecretStr("redis://localhost:6379/0")}
    )
    load = "from airflow.executors.executor_loader import ExecutorLoader as L; print(L.get_default_executor_name())"
    check = f"{load}; L.load_executor(L.get_default_executor_name())"
    done = subprocess.run(
        [sys.executable, "-c", check], env=airflow_environment(chosen), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert executor in done.stdout


def test_a_task_finds_the_operators_of_the_dbt_models_imported(settings: Settings) -> None:
    check = "import sys, airflow.settings as s; s.initialize(); print('cosmos.operators.watcher' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", check], env=airflow_environment(settings), capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[-1] == "True", done.stderr[-2000:]


def test_celery_without_a_broker_is_refused(settings: Settings) -> None:
    with pytest.raises(AirflowSettingsError, match="CELERY_BROKER_URL"):
        airflow_environment(settings.model_copy(update={"airflow_executor": "CeleryExecutor"}))


def test_airflow_does_not_listen_to_a_network_without_a_password(settings: Settings) -> None:
    open_to_all = settings.model_copy(update={"bind_host": "0.0.0.0"})
    with pytest.raises(AirflowSettingsError, match="MARQUEE_AIRFLOW_PASSWORD"):
        airflow_environment(open_to_all)
    guarded = open_to_all.model_copy(update={"airflow_password": SecretStr("a long one")})
    passwords = Path(airflow_environment(guarded)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert passwords.stat().st_mode & 0o077 == 0


def test_an_airflow_that_is_not_there_is_said_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(AirflowError, match="marquee up"):
            wait_until_reachable(address, 0.2)
