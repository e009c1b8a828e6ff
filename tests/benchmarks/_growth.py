"""One size of `growth`, in a process of its own: `simulate` writes a log, `measure` learns from it, and both say what
each stage took, a line of JSON a stage.

The log is simulated in the shape of the largest public film log (MovieLens-25M, Harper and Konstan 2015: 25,000,095
ratings of 162,541 users on 59,047 films, at least 20 a user and 71 in the median): fewer interactions have
proportionally fewer users and films. Few films are seen by very many (Zipf-Mandelbrot), few users have seen thousands,
and nobody has any taste: what is measured is time and memory.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from marquee.settings import load_settings
from training import dataset, system, tower_fitting
from training.histories import Histories, Ints, Items, Rows
from training.interaction_files import read_interactions
from training.outcomes import Outcomes
from training.ranker_config import RankerConfig
from training.ranking_features import LoggedFeatures
from training.ranking_lessons import Taught
from training.shown_lists import ShownLists
from training.system import Lessons, Relations
from training.tower_config import TowerConfig, read_config
from training.tower_fitting import Schedule
from training.towers import TwoTower

FULL_SIZE, _FULL_USERS, _FULL_CONTENTS = 25_000_000, 162_541, 59_047
BATCHES = 60
LESSONS = 2_000
_SEED = 7
# a user, and what lies beyond the fewest as the exponential of a normal distribution: the mean is 154
_FEWEST, _MEDIAN, _SPREAD = 20, 71, 1.39
# nobody has seen more than this part of the films
_WIDEST = 3
# Zipf-Mandelbrot: the first film is drawn by every second user
_EXPONENT, _OFFSET = 1.6, 180.0
_BEGIN, _YEARS = 820_454_400, 24
_ROW_GROUP = 2**20


@dataclass(frozen=True)
class Stage:
    """What a stage took.

    Attributes:
        peak: most memory while it ran, bytes; what earlier stages still hold is part of it.
        count: of what it did: interactions, users, batches or lists.
        per_second: interactions that the towers took in a second, 0 of other stages.
    """

    name: str
    seconds: float
    peak: int
    count: int = 0
    per_second: float = 0.0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["simulate", "measure"])
    parser.add_argument("path", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args(arguments)
    if options.part == "simulate":
        simulate(options.path, options.size)
    else:
        measure(options.path)


def simulate(path: Path, size: int) -> None:
    """Write a log of `size` interactions, no pair of user and film twice, user by user as exports are."""
    with _stage("simulate") as done:
        generator = np.random.default_rng(_SEED)
        share = size / FULL_SIZE
        user_count, content_count = (max(2, round(full * share)) for full in (_FULL_USERS, _FULL_CONTENTS))
        users, items = _pairs(size, user_count, content_count, generator)
        # everybody comes once in a while, for an evening at a time
        begins = generator.uniform(0, _YEARS * 365 * 86_400, user_count)
        spans = generator.exponential(365 * 86_400, user_count)
        seconds = begins[users] + np.floor(generator.random(size) * 12) / 12 * spans[users]
        seconds += generator.uniform(0, 4 * 3_600, size)
        names = pa.array([f"{number:016x}" for number in generator.integers(0, 2**63, user_count)])
        schema = pa.schema(
            [("user_id", pa.string()), ("item_id", pa.int64()), ("timestamp", pa.int64()), ("completion", pa.float32())]
        )
        with pq.ParquetWriter(path, schema) as writer:
            for low in range(0, size, _ROW_GROUP):
                rows = slice(low, low + _ROW_GROUP)
                columns = [
                    names.take(pa.array(users[rows])),
                    items[rows].astype(np.int64) * 3 + 1,
                    _BEGIN + seconds[rows].astype(np.int64),
                    generator.beta(4, 1, len(users[rows])).astype(np.float32),
                ]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=_ROW_GROUP)
        done(size)


def _lengths(size: int, user_count: int, content_count: int, generator: np.random.Generator) -> Ints:
    """How many films each user has seen, `size` in all.  # (U,)"""
    beyond = np.minimum(generator.lognormal(np.log(_MEDIAN - _FEWEST), _SPREAD, user_count), content_count / _WIDEST)
    lengths = _FEWEST + np.floor(beyond * (size - _FEWEST * user_count) / beyond.sum()).astype(np.int64)
    lengths[: size - lengths.sum()] += 1
    return lengths


def _pairs(size: int, user_count: int, content_count: int, generator: np.random.Generator) -> tuple[Items, Items]:
    """Users and films, each pair once, by user."""
    lengths = _lengths(size, user_count, content_count, generator)
    weights = (np.arange(1, content_count + 1) + _OFFSET) ** -_EXPONENT
    upto = np.cumsum(weights / weights.sum())
    users = np.repeat(np.arange(user_count), lengths)
    place = np.arange(size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # one film of each of as many equal shares of all interest as the user has films: few are drawn twice
    rank = np.searchsorted(upto, (place + generator.random(size)) / lengths[users])
    # of those the next one is taken, so that ranks rise: rank less place never falls within a user
    rank = np.maximum.accumulate(rank - place + users * 2 * content_count) - users * 2 * content_count + place
    rank = np.minimum(rank, content_count - lengths[users] + place)
    return users.astype(np.int32), generator.permutation(content_count)[rank].astype(np.int32)


def measure(path: Path) -> None:
    """Read, split, fit and relate, one after the other, as an evaluation of the calendar's split does."""
    settings = load_settings()
    torch.set_num_threads(settings.torch_threads)
    with _stage("start"):
        pass
    with _stage("read") as done:
        log = read_interactions(path)
        done(len(log.interactions.items))
    with _stage("split") as done:
        split = dataset.temporal(log.interactions)
        inner = dataset.temporal(split.train)
        done(len(split.users))
    torch.manual_seed(_SEED)
    config = read_config(settings.two_tower_file)
    with _stage("towers") as done:
        towers = TwoTower(log.contents, config.sized(len(split.train.items)))
        done(BATCHES, _fit(towers, split.train.histories()))
    with _stage("relations") as done:
        Relations.of(split.train, len(log.item_ids), config.dropped_below)
        done(len(split.train.items))
    with _stage("ranker") as done:
        some = inner.at(np.linspace(0, len(inner.users) - 1, min(LESSONS, len(inner.users))).astype(np.int64))
        outcomes = Outcomes.of(inner, log.interactions, int(split.train.moments.max()), RankerConfig())
        system._fitted_ranker(
            towers, some, log.contents, RankerConfig(), Lessons(outcomes, ShownLists.none(split), Taught.nothing()),
            LoggedFeatures(split.train, log.contents, every=dataset.HOUR), _SEED,
        )  # fmt: skip
        done(len(some.users))


def _fit(model: TwoTower, histories: Histories) -> float:
    """The first batches of an epoch; how many interactions they took in a second."""
    every_batch = tower_fitting._batches
    taken, began, ended = 0, 0.0, 0.0

    def first_batches(histories: Histories, config: TowerConfig, generator: np.random.Generator) -> Iterator[
        tuple[float, Rows]
    ]:  # fmt: skip
        nonlocal taken, began, ended
        for number, (progress, rows) in enumerate(every_batch(histories, config, generator)):
            # cutting and packing the whole epoch comes before the first
            began = began or time.perf_counter()
            ended = time.perf_counter()
            if number == BATCHES:
                return
            taken += int((rows.targets > 0).sum())
            yield progress, rows
        ended = time.perf_counter()

    with mock.patch.object(tower_fitting, "_batches", first_batches):
        tower_fitting.fit(model, histories, Schedule(1, model.config.learning_rate), _SEED)
    return taken / (ended - began)


@contextmanager
def _stage(name: str) -> Iterator:
    """Time and memory of what is done inside, said when it is over."""
    # the kernel forgets the highest mark that it kept so far (proc(5), clear_refs)
    Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    did: tuple[int, float] = (0, 0.0)

    def done(count: int, per_second: float = 0.0) -> None:
        nonlocal did
        did = (count, per_second)

    yield done
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps(asdict(Stage(name, seconds, _peak(), *did))) + "\n")
    sys.stdout.flush()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(sys.argv[1:])
