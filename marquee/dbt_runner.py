"""How Python calls dbt: where the project lies, the environment of its profile, and the few commands that we run.

In: settings and a moment. Out: dbt's own effects; dbt runs in a process of its own, so that its globals stay there.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import PROJECT_ROOT, Settings

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
PROFILES_FILE = PROJECT_DIR / "profiles.yml"
PROFILE = "marquee"
TARGET = "warehouse"


class DbtError(MarqueeError):
    """A dbt command failed; the message holds the end of its output."""


def manifest_path(settings: Settings) -> Path:
    """Where `parse` leaves the manifest, from which the DAG draws its tasks.

    Not in the target folder: there a build writes its own, in place, while Airflow reads.
    """
    return settings.dbt_target_dir.resolve().parent / "manifest.json"


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Variables that profiles.yml and dbt read."""
    parts = database.connection_parts(database.warehouse_url(settings))
    return {
        **{f"DBT_MARQUEE_{name.upper()}": str(value) for name, value in parts.items()},
        "DBT_MARQUEE_MACROS": _macros_hash(),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_PROJECT_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(settings.dbt_target_dir.resolve()),
        "DBT_LOG_PATH": str(settings.dbt_target_dir.resolve().parent / "logs"),
        # every statement in the log file would cost a tenth of a small build
        "DBT_LOG_LEVEL_FILE": "info",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def _macros_hash() -> str:
    """Another text wherever a macro is: models are built anew then, and dbt itself shows them no macro's text."""
    texts = [path.read_bytes() for path in sorted((PROJECT_DIR / "macros").glob("*.sql"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def parse(settings: Settings) -> None:
    """Write the manifest, whole or not at all; needs no table to be there."""
    run(["parse"], settings)
    manifest = manifest_path(settings)
    draft = manifest.with_suffix(".draft")
    shutil.copyfile(settings.dbt_target_dir / "manifest.json", draft)
    draft.replace(manifest)


def build(settings: Settings, as_of: datetime | None) -> None:
    """Seeds, models and tests of the data, in order of dependency."""
    run(["build"], settings, as_of)


def generate_docs(settings: Settings, as_of: datetime | None) -> Path:
    """Write the docs as one page that needs no server, and return its path."""
    run(["docs", "generate", "--static"], settings, as_of)
    return settings.dbt_target_dir / "static_index.html"


def run(arguments: list[str], settings: Settings, as_of: datetime | None = None) -> str:
    """Run a dbt command and return its output.

    Raises:
        DbtError: dbt ended with an error.
    """
    moment = {"DBT_MARQUEE_AS_OF": as_of.isoformat()} if as_of else {}
    # Named, as Airflow's build names them: dbt takes up what another command has parsed only where both are said alike.
    named = ["--profile", PROFILE, "--target", TARGET]
    done = subprocess.run(
        [sys.executable, "-m", "marquee.dbt_command", "--no-use-colors", *arguments, *named],
        env={**os.environ, **dbt_environment(settings), **moment},
        cwd=PROJECT_DIR,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DbtError(f"`dbt {' '.join(arguments)}` failed:\n{done.stdout[-6000:]}{done.stderr[-1000:]}")
    return done.stdout
