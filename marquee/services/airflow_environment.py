"""How Airflow is configured on embedded defaults: environment variables made from the settings.

In: settings. Out: the environment with which every Airflow process is started (by the supervisor, by tests).
The compose stack does not come here: docker/compose.yml sets its own.
"""

import os
import sys
from pathlib import Path

from marquee import database, dbt_runner
from marquee.kept_secrets import kept_secret
from marquee.settings import PROJECT_ROOT, Settings

DAGS_DIR = PROJECT_ROOT / "dags"


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of an Airflow process: the present ones but for another Airflow's, and ours."""
    url = f"http://{settings.bind_host}:{settings.airflow_port}"
    home = settings.var_dir.resolve() / "airflow"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **inherited,
        **dbt_runner.dbt_environment(settings),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_DIR),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(home / "fernet_key"),
        # The UI listens on this machine only, and whoever reaches it owns the var folder: no second login.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(settings.bind_host in ("127.0.0.1", "localhost")),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.sqlalchemy_url(database.airflow_url(settings)),
        "AIRFLOW__API__HOST": settings.bind_host,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": url,
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
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "MARQUEE_VAR_DIR": str(settings.var_dir.resolve()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
    }


def _fernet_key(path: Path) -> str:
    # a Fernet key is 32 bytes in padded URL-safe base64: https://github.com/fernet/spec
    return kept_secret(path) + "="
