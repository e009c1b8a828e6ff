"""A machine of a test's own: its var folder and ports, and `marquee` commands run on it as a user would."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from marquee.settings import PROJECT_ROOT, Settings

MARQUEE = str(Path(sys.executable).parent / "marquee")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """Commands share one environment; `output` of a command that runs goes to a file that tests can wait on."""

    var_dir: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {
            name: free_port()
            for name in (
                "MARQUEE_AIRFLOW_PORT",
                "MARQUEE_SERVING_PORT",
                "MARQUEE_EMAIL_PORT",
                "MARQUEE_COLLECTOR_PORT",
            )
        }
    )

    @property
    def settings(self) -> Settings:
        return Settings(
            var_dir=self.var_dir,
            database_url=None,
            airflow_port=self.ports["MARQUEE_AIRFLOW_PORT"],
            serving_port=self.ports["MARQUEE_SERVING_PORT"],
            email_port=self.ports["MARQUEE_EMAIL_PORT"],
            collector_port=self.ports["MARQUEE_COLLECTOR_PORT"],
        )

    @property
    def environment(self) -> dict[str, str]:
        hidden = {"DATABASE_URL", "AIRFLOW_DATABASE_URL", "SENDGRID_API_KEY", "SENDGRID_HOST"}
        inherited = {name: value for name, value in os.environ.items() if name not in hidden}
        ports = {name: str(port) for name, port in self.ports.items()}
        return {**inherited, **ports, "MARQUEE_VAR_DIR": str(self.var_dir), "COLUMNS": "160"}

    def start(self, *arguments: str) -> "Command":
        output = self.var_dir.parent / f"output-{time.monotonic_ns()}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [MARQUEE, *arguments],
                env=self.environment,
                cwd=PROJECT_ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Command(process, output)

    def connect(self) -> Connection[DictRow]:
        return database.connect(self.settings)

    def leftovers(self) -> list[str]:
        """What still runs of this machine, PostgreSQL included."""
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("MARQUEE_SUPERVISED") == str(self.var_dir.resolve())
                is_database = process.name() == "postgres" and str(self.var_dir) in " ".join(process.cmdline())
                if is_ours or is_database:
                    found.append(" ".join(process.cmdline()))
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found


@dataclass
class Command:
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        return self.process.wait(timeout=seconds)

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for `condition` while the command runs; fails with its output when it ends before or takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the command ended early:\n{self.text[-4000:]}"
            assert time.monotonic() < deadline, f"the condition was not met in {seconds} s:\n{self.text[-4000:]}"
            time.sleep(0.1)

    def kill_9(self) -> None:
        """SIGKILL to the command and everything under it, all at once, the way a machine loses power."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
