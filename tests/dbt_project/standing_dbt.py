"""A dbt that stays: it parses the project once and then runs commands, each for a moment of its own.

Starting dbt and parsing cost more than the builds of a small house.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from marquee.dbt_runner import PROJECT_DIR, DbtError, dbt_environment
from marquee.settings import Settings

_SCRIPT = """
import json, sys
from dbt.cli.main import dbtRunner
answers, sys.stdout = sys.stdout, sys.stderr
manifest = dbtRunner().invoke(["--quiet", "parse"]).result
for line in sys.stdin:
    done = dbtRunner(manifest=manifest).invoke(json.loads(line))
    failed = [f"{one.node.name}: {one.message}" for one in done.result or [] if one.status in ("error", "fail")]
    print(json.dumps(None if done.success else failed or [str(done.exception)]), file=answers, flush=True)
"""


class StandingDbt:
    """Runs commands in a dbt process that has parsed the project."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, arguments: list[str], as_of: datetime) -> None:
        """Run a command for `as_of`.

        Raises:
            DbtError: dbt ended with an error.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        command = ["--quiet", *arguments, "--vars", json.dumps({"as_of": as_of.isoformat()})]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        failed = json.loads(self._process.stdout.readline() or '["dbt has ended"]')
        if failed is not None:
            raise DbtError("\n".join(failed))


@contextmanager
def standing_dbt(settings: Settings) -> Iterator[StandingDbt]:
    """A dbt for the warehouse of these settings, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT],
        env={**os.environ, **dbt_environment(settings)},
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield StandingDbt(process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=60)
