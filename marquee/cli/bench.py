"""`marquee bench`: the measurements of tests/benchmarks, each beside its peer or limit, one after the other."""

import subprocess
import sys

from rich.console import Console

from marquee.errors import MarqueeError
from marquee.settings import PROJECT_ROOT

_FOLDER = PROJECT_ROOT / "tests" / "benchmarks"


class UnknownBenchmarkError(MarqueeError):
    """No benchmark has this name."""


def names() -> list[str]:
    """Every benchmark, by the name of its file."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def run_benchmarks(wanted: list[str], console: Console) -> bool:
    """Run the `wanted` benchmarks, or all; True when each stayed within its limits.

    Raises:
        UnknownBenchmarkError: one of `wanted` is not there.
    """
    if unknown := set(wanted) - set(names()):
        raise UnknownBenchmarkError(f"no benchmark {sorted(unknown)}; there are {names()}")
    is_within = True
    for name in wanted or names():
        console.rule(name)
        is_within &= (
            subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], cwd=PROJECT_ROOT, check=False).returncode
            == 0
        )
    return is_within
