"""MLflow's own pages over the tracking store, from an environment of their own.

MLflow's server brings 220 MB, asks for older versions of what the pipeline uses, and takes about a gigabyte of memory:
only whoever looks at its pages pays for it. In: settings. Out: the environment under the var folder, and a process.
"""

import os
import subprocess
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from marquee.errors import MarqueeError
from marquee.settings import Settings
from training import tracking


class TrackingUiError(MarqueeError):
    """The pages cannot be shown."""


def prepare(settings: Settings, report: Callable[[str], None]) -> Path:
    """Make the environment unless it is there, and return its Python.

    Raises:
        TrackingUiError: a server keeps the store, and has pages itself; or MLflow could not be installed.
    """
    if tracking.is_remote(settings):
        raise TrackingUiError(f"the versions are shown by the server itself: open {tracking.shown_uri(settings)}")
    folder = settings.var_dir.resolve() / "mlflow-ui" / version("mlflow-skinny")
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        report(f"installing MLflow {folder.name} with its pages into {folder}, once")
        venv.create(folder, clear=True, with_pip=True)
        packages = [f"mlflow=={folder.name}", "psycopg2-binary"]
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=False)
        if done.returncode != 0:
            raise TrackingUiError(f"pip could not install {' and '.join(packages)}; its reasons are above")
        stamp.touch()
    return python


def serve(python: Path, port: int, settings: Settings) -> int:
    """Show the pages on this machine alone, since they ask for no password, until Ctrl-C; returns the exit status."""
    environment = {
        **os.environ,
        # not an argument, which everybody on this machine could read
        "MLFLOW_BACKEND_STORE_URI": tracking.tracking_uri(settings),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(python), "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    try:
        return subprocess.run(command, env=environment, cwd=settings.var_dir, check=False).returncode
    except KeyboardInterrupt:
        return 0
