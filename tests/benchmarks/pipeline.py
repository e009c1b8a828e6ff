"""How long `marquee run --once` takes on the default data, and how much memory, beside the limits: 6 minutes, 8 GiB.

Memory is the proportional set size summed over all processes (shared pages counted once), sampled each second.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.end_to_end.machine import Command, Machine

LIMIT_SECONDS = 360.0
LIMIT_GIB = 8.0


def main() -> bool:
    """Run, measure, print; True when both limits held."""
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        machine = Machine(Path(folder) / "var")
        started = time.monotonic()
        run = machine.start("run", "--once")
        peak = _peak_gib_until_end(run, machine)
        seconds = time.monotonic() - started
        machine.start("down").wait(120)
        is_done = run.process.returncode == 0
        console = Console()
        if not is_done:
            console.print(run.text[-4000:])
        table = Table("figure", "measured", "limit", "share of the limit", title="marquee run --once")
        table.add_row("time", f"{seconds:.0f} s", f"{LIMIT_SECONDS:.0f} s", f"{seconds / LIMIT_SECONDS:.2f}")
        table.add_row("peak memory", f"{peak:.1f} GiB", f"{LIMIT_GIB:.0f} GiB", f"{peak / LIMIT_GIB:.2f}")
        console.print(table)
        return is_done and seconds <= LIMIT_SECONDS and peak <= LIMIT_GIB


def _peak_gib_until_end(run: Command, machine: Machine) -> float:
    peak = 0.0
    while run.process.poll() is None:
        peak = max(peak, _present_gib(run, machine))
        time.sleep(1)
    return peak


def _present_gib(run: Command, machine: Machine) -> float:
    try:
        family = [psutil.Process(run.process.pid), *psutil.Process(run.process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    family += [process for process in psutil.process_iter() if _is_database_of(process, machine)]
    total = 0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total / 2**30


def _is_database_of(process: psutil.Process, machine: Machine) -> bool:
    try:
        parent = process.parent()
        lines = [process.cmdline(), parent.cmdline() if parent else []]
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    return process.name() == "postgres" and any(str(machine.var_dir) in " ".join(line) for line in lines)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
