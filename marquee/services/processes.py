"""Child processes that never outlive their supervisor by accident.

In: commands with their environment. Out: running children, each with a log file, and an orderly end of all of them.
Every child carries MARQUEE_SUPERVISED=<var folder> in its environment, by which leftovers of a killed supervisor are
found.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from marquee.errors import MarqueeError
from marquee.settings import Settings

_MARK = "MARQUEE_SUPERVISED"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_GRACE_SECONDS = 15


class AlreadyRunningError(MarqueeError):
    """Another supervisor owns this var folder."""


class ServiceDiedError(MarqueeError):
    """A service ended by itself."""


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    # killed outright at the end: it holds nothing, and would take its time to say so
    is_disposable: bool = False


@contextmanager
def sole_supervisor(settings: Settings) -> Iterator[None]:
    """Hold the var folder's lock.

    Raises:
        AlreadyRunningError: somebody else holds it.
    """
    settings.var_dir.mkdir(parents=True, exist_ok=True)
    with (settings.var_dir / "supervisor.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"Marquee already runs here (process {lock.read().strip() or 'unknown'}); "
                "end it with Ctrl-C in its terminal or `marquee down`"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def start(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    settings: Settings,
    cwd: Path,
    *,
    is_disposable: bool = False,
) -> Child:
    """Start `command`, its output appended to var/logs/<name>.log."""
    log = settings.var_dir / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**environment, _MARK: str(settings.var_dir.resolve())},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # of its own session, so that a Ctrl-C reaches the supervisor alone, which then ends the children in order
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    return Child(name, process, log, is_disposable)


def check_alive(children: Sequence[Child]) -> None:
    """
    Raises:
        ServiceDiedError: one of `children` has ended; the message holds the end of its log.
    """
    for child in children:
        if (code := child.process.poll()) is not None:
            tail = "\n".join(child.log.read_text(errors="replace").splitlines()[-15:])
            raise ServiceDiedError(f"{child.name} ended with {code}; the end of {child.log}:\n{tail}")


def stop(children: Sequence[Child]) -> None:
    """End `children` and everything under them: a request first, after a grace period by force."""
    alive = [child for child in children if child.process.poll() is None]
    for child in alive:
        if child.is_disposable:
            os.killpg(child.process.pid, signal.SIGKILL)
    _end([psutil.Process(child.process.pid) for child in alive if not child.is_disposable])
    for child in children:
        child.process.wait()


def end_process(pid: int) -> int:
    """End one process and everything under it; returns 0 when it was gone already."""
    try:
        # a supervisor ends its own children in order first
        _end([psutil.Process(pid)], grace_seconds=4 * _GRACE_SECONDS)
    except psutil.NoSuchProcess:
        return 0
    return 1


def end_leftovers(settings: Settings) -> int:
    """End what a killed supervisor of this var folder left running; returns how many processes."""
    mark = str(settings.var_dir.resolve())
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    leftovers = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(_MARK) == mark:
                leftovers.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            continue
    _end(leftovers)
    return len(leftovers)


def _end(processes: Sequence[psutil.Process], grace_seconds: float | None = None) -> None:
    family = set(processes)
    for process in processes:
        try:
            family.update(process.children(recursive=True))
            process.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(list(family), timeout=grace_seconds or _GRACE_SECONDS)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
