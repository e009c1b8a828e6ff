"""How Airflow is configured: environment variables made from the settings, for a laptop and for the compose stack.

In: settings. Out: the environment with which every Airflow process is started (`marquee airflow ...`).
"""

import json
import os
import sys
from pathlib import Path

from marquee import database, dbt_runner
from marquee.errors import MarqueeError
from marquee.kept_secrets import kept_secret
from marquee.settings import PROJECT_ROOT, Settings

DAGS_DIR = PROJECT_ROOT / "dags"
_CONFIG_DIR = PROJECT_ROOT / "marquee" / "services" / "airflow_config"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AirflowSettingsError(MarqueeError):
    """The settings would leave Airflow open or unable to run a task."""


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of an Airflow process: the present ones but for another Airflow's, and ours.

    Raises:
        AirflowSettingsError: Airflow would listen to a network without a password, or Celery has no broker.
    """
    home = settings.var_dir.resolve() / "airflow"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **inherited,
        **dbt_runner.dbt_environment(settings),
        **_core(settings, home),
        **_executor(settings),
        **_login(settings, home),
        "MARQUEE_VAR_DIR": str(settings.var_dir.resolve()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{_CONFIG_DIR}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        # a training thread that waits for another must not spin on a core that the other could use
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _core(settings: Settings, home: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_DIR),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_api_url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(home / "fernet_key"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.sqlalchemy_url(database.airflow_url(settings)),
        "AIRFLOW__API__HOST": settings.bind_host,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{settings.airflow_port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": kept_secret(home / "api_secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": kept_secret(home / "jwt_secret"),
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        # A killed task is noticed within half a minute, so that the next run does not wait for it.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        # Between two looks for work: a task that has ended is followed by the next at once, a hundred times in a run.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # Who runs a task sees its end at once or, one time in six, at the next heartbeat: by default, a slot waits 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    }


def _executor(settings: Settings) -> dict[str, str]:
    chosen = {
        "AIRFLOW__CORE__EXECUTOR": settings.airflow_executor,
        "AIRFLOW__CORE__PARALLELISM": str(settings.task_slots),
    }
    if settings.airflow_executor == "LocalExecutor":
        return chosen
    if settings.celery_broker_url is None:
        raise AirflowSettingsError("MARQUEE_AIRFLOW_EXECUTOR is CeleryExecutor; set CELERY_BROKER_URL to a Redis")
    results = database.airflow_url(settings).partition("://")[2]
    return {
        **chosen,
        "AIRFLOW__CELERY__BROKER_URL": settings.celery_broker_url.get_secret_value(),
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{results}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(settings.task_slots),
    }


def _login(settings: Settings, home: Path) -> dict[str, str]:
    if settings.airflow_password is None:
        if settings.bind_host not in _LOOPBACK:
            raise AirflowSettingsError(
                f"MARQUEE_BIND_HOST is {settings.bind_host}, where others can reach it; set MARQUEE_AIRFLOW_PASSWORD"
            )
        # Only this machine reaches the UI, and whoever uses it owns the var folder: no second login.
        return {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({"admin": settings.airflow_password.get_secret_value()}))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


def _fernet_key(path: Path) -> str:
    # a Fernet key is 32 bytes in padded URL-safe base64: https://github.com/fernet/spec
    return kept_secret(path) + "="
