"""How time and memory of training grow with the interactions, from one to 25 million, all of them simulated.

Each size has a process of its own that reads the file, splits it by the calendar, fits the towers for the first batches
of an epoch, relates contents (item-kNN, EASE) and teaches the re-ranker (`tests/benchmarks/_growth.py`). The limit: at
no size more memory than a machine of 8 GiB has.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from marquee.settings import PROJECT_ROOT, load_settings
from tests.benchmarks._growth import BATCHES, LESSONS, Stage
from training import charts
from training.charts import Curve

LIMIT_GIB = 8.0
_SIZES = (1.0, 2.5, 5.0, 10.0, 25.0)
_LEAST = 0.25
_MILLION = 1_000_000
_GIB = 2**30
_SAID = {
    "simulate": "writing the file",
    "start": "starting",
    "read": "reading",
    "split": "splitting",
    "towers": f"{BATCHES} batches of the towers",
    "relations": "item-kNN and EASE",
    "ranker": "the re-ranker's lessons",
}
# colours as in the model card, which follow the reader's
_PAGE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 700" font-family="sans-serif" font-size="13"><style>
svg { --line: #ddd5c8; --ground: #fff; fill: #1f1a26; --series-1: #a34a00; --series-2: #1f5f8b; --series-3: #14663a;
  --series-4: #7a3b8f; --series-5: #6b5b00; --series-6: #ab2415 }
@media (prefers-color-scheme: dark) { svg { --line: #3d3949; --ground: #1b1923; fill: #f6f3ec; --series-1: #ffb84d;
  --series-2: #7fbcf0; --series-3: #7fd6a0; --series-4: #d7a4ea; --series-5: #e2d36b; --series-6: #ff8f80 } }
</style><rect width="760" height="700" style="fill: var(--ground)"/>"""


def main(arguments: Sequence[str]) -> bool:
    """Simulate, measure, print, draw; True when the limit was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=float, default=list(_SIZES), help="millions of interactions")
    parser.add_argument("--chart", type=Path, default=load_settings().var_dir / "benchmarks" / "growth.svg")
    options = parser.parse_args(arguments)
    if min(options.sizes) < _LEAST:
        parser.error(
            f"--sizes {min(options.sizes):g}: of less than {_LEAST:g} million there are fewer films than one sees"
        )
    terminal = Console()
    # a file takes whole rows
    console = terminal if terminal.is_terminal else Console(width=160)
    measured: dict[float, dict[str, Stage]] = {}
    for size in sorted(options.sizes):
        measured[size] = {}
        with console.status(f"{size:g} million simulated interactions") as status:
            for stage in _stages(round(size * _MILLION)):
                measured[size][stage.name] = stage
                console.print(
                    f"{size:g} million: {_SAID[stage.name]} took {stage.seconds:.1f} s, at most {_gib(stage.peak)}"
                )
                status.update(f"{size:g} million: after {_SAID[stage.name]}")
    console.print(_times(measured))
    console.print(_memory(measured))
    options.chart.parent.mkdir(parents=True, exist_ok=True)
    options.chart.write_text(_chart(measured))
    console.print(f"the chart: {options.chart}")
    is_kept = True
    for size, stages in measured.items():
        peak = _peak(stages) / _GIB
        is_kept &= peak <= LIMIT_GIB
        console.print(
            f"{'kept' if peak <= LIMIT_GIB else 'MISSED'}: {size:g} million simulated interactions take at most "
            f"{peak:.2f} GiB (limit {LIMIT_GIB:g})"
        )
    return is_kept


def _stages(size: int) -> Iterator[Stage]:
    """One after another, as they end."""
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        # what the simulation takes is none of the training's memory
        for part in ("simulate", "measure"):
            command = [sys.executable, "-m", "tests.benchmarks._growth", part, f"{folder}/log.parquet", str(size)]
            with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    yield Stage(**json.loads(line))
            if process.returncode:
                raise RuntimeError(f"{size:,} interactions: {part} ended with {process.returncode}; it says why above")


def _peak(stages: dict[str, Stage]) -> int:
    return max(stage.peak for name, stage in stages.items() if name != "simulate")


def _times(measured: dict[float, dict[str, Stage]]) -> Table:
    table = Table(
        "interactions, million", "read", "split", "towers learn", "so an epoch", "item-kNN and EASE",
        "ranker, with lists of",
        title=f"time by simulated interactions; of an epoch {BATCHES} batches are timed, and the ranker learns from "
        f"at most {LESSONS:,} lists and relates its own part of the log anew",
    )  # fmt: skip
    for size, stages in measured.items():
        towers, ranker = stages["towers"], stages["ranker"]
        epoch = stages["relations"].count / towers.per_second
        table.add_row(
            f"{size:g}", f"{stages['read'].seconds:.1f} s", f"{stages['split'].seconds:.1f} s",
            f"{towers.per_second:,.0f} a second", f"{epoch / 60:.1f} min",
            f"{stages['relations'].seconds:.1f} s", f"{ranker.seconds:.1f} s, {ranker.count:,}",
        )  # fmt: skip
    return table


def _memory(measured: dict[float, dict[str, Stage]]) -> Table:
    names = [name for name in _SAID if name != "simulate"]
    table = Table(
        "interactions, million", *names, "in all", "bytes each",
        title="most memory by stage and simulated interactions, with what earlier stages hold",
    )  # fmt: skip
    for size, stages in measured.items():
        peak = _peak(stages)
        each = (peak - stages["start"].peak) / (size * _MILLION)
        table.add_row(f"{size:g}", *(_gib(stages[name].peak) for name in names), _gib(peak), f"{each:,.0f}")
    return table


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB"


def _chart(measured: dict[float, dict[str, Stage]]) -> str:
    """Memory above time, a curve a stage."""
    places = {size: f"{size:g}" for size in measured}
    across = "million simulated interactions"

    def curve(name: str, label: str, of: dict[float, float]) -> Curve:
        return Curve(f"{name} {label.format(of[max(of)])}", sorted(of.items()))

    memory = [
        curve(name, "{:.2f}", {size: stages[name].peak / _GIB for size, stages in measured.items()})
        for name in ("read", "split", "towers", "relations", "ranker")
    ]
    memory.append(curve("limit", "{:g}", dict.fromkeys(measured, LIMIT_GIB)))
    times = [
        curve(name, "{:.1f}", {size: stages[name].seconds for size, stages in measured.items()})
        for name in ("read", "split", "towers", "relations", "ranker")
    ]
    drawn = "".join(
        f'<text x="48" y="{top + 18}">{title}</text>'
        + charts.curves(title, lines, across, places, 0.0).replace(
            "<svg ", f'<svg y="{top + 24}" width="760" height="320" ', 1
        )
        for top, title, lines in (
            (0, "most memory while a stage runs, GiB", memory),
            (350, f"seconds that a stage takes (towers: {BATCHES} batches)", times),
        )
    )
    return f"{_PAGE}{drawn}</svg>\n"


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
