"""Children end with their supervisor, in order or by force, and leftovers of a killed one are found."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from marquee.services import processes
from marquee.settings import Settings
from tests.waiting import wait_until

_SLEEPER = (sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)")
_STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
)


def _start(command: tuple[str, ...], settings: Settings) -> processes.Child:
    child = processes.start("child", command, os.environ, settings, Path.cwd())
    wait_until(lambda: "ready" in child.log.read_text(), 20, "the start of the child")
    return child


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(var_dir=tmp_path / "var")


def test_a_second_supervisor_is_told_who_runs(own: Settings) -> None:
    with (
        processes.sole_supervisor(own),
        pytest.raises(processes.AlreadyRunningError, match=str(os.getpid())),
        processes.sole_supervisor(own),
    ):
        pass


def test_a_child_that_will_not_go_is_made_to(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.5)
    child = _start(_STUBBORN, own)
    processes.stop([child])
    assert not psutil.pid_exists(child.process.pid)


def test_a_dead_child_is_reported_with_the_end_of_its_log(own: Settings) -> None:
    child = processes.start("doomed", (sys.executable, "-c", "print('the reason')"), os.environ, own, Path.cwd())
    child.process.wait()
    with pytest.raises(processes.ServiceDiedError, match="the reason"):
        processes.check_alive([child])


def test_children_of_a_killed_supervisor_end_or_are_found(own: Settings) -> None:
    script = (
        "import os, pathlib, sys, time\n"
        "from marquee.services import processes\n"
        "from marquee.settings import load_settings\n"
        f"child = processes.start('orphan', {_STUBBORN!r}, os.environ, load_settings(), pathlib.Path.cwd())\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARQUEE_VAR_DIR": str(own.var_dir)},
    )
    assert supervisor.stdout is not None
    orphan = psutil.Process(int(supervisor.stdout.readline()))
    log = own.var_dir / "logs" / "orphan.log"
    wait_until(lambda: log.exists() and "ready" in log.read_text(), 20, "the start of the child")
    supervisor.kill()
    supervisor.wait()
    assert orphan.is_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_GRACE_SECONDS", 0.5)
        assert processes.end_leftovers(own) == 1
    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE, 20, "the end of the orphan")


def test_a_willing_child_ends_with_a_killed_supervisor(own: Settings) -> None:
    script = (
        "import os, pathlib, time\n"
        "from marquee.services import processes\n"
        "from marquee.settings import load_settings\n"
        f"child = processes.start('orphan', {_SLEEPER!r}, os.environ, load_settings(), pathlib.Path.cwd())\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARQUEE_VAR_DIR": str(own.var_dir)},
    )
    assert supervisor.stdout is not None
    orphan = psutil.Process(int(supervisor.stdout.readline()))
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE, 20, "the end of the orphan")
