"""How good the recommendations are, beside other libraries' recommenders, tuned, on the same splits of public data.

MovieLens-100k, or `--interactions FILE [--content FILE]`. Every model gets the training side of `marquee evaluate`'s
splits and gives lists over the whole catalogue, which one code measures; what chance decides is done with every seed.
The limits: on each protocol the system at least as good as the best peer, by the difference over the same users, and
with at least its coverage; on leave-last-out the towers alone at least SASRec, in at most half of the time that SASRec
takes to fit, and with twice as many interactions a second.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from ingestion.movielens import load_movielens
from marquee.settings import Settings, load_settings
from tests.benchmarks import _environments, _peers
from training import evaluation, file_evaluation, metrics
from training.dataset import Split
from training.evaluation import K
from training.file_evaluation import FileEvaluation, Protocol
from training.histories import SECOND
from training.interaction_files import LoggedInteractions, read_interactions
from training.metrics import Values
from training.ranked_lists import RankedLists, hits
from training.tower_config import TowerConfig, read_config

_OURS = ("marquee", "two_tower")
_SEEDS = (7, 8, 9)
# where age bands begin
_AGES = (18, 25, 35, 45, 55)
LIMIT_TIME = 0.5
LIMIT_SPEED = 2.0


@dataclass(frozen=True)
class Measured:
    """One model on one protocol.

    Attributes:
        ndcg: (E,) of each user, the mean over seeds.
        by_seed: the mean over users of each seed.
        coverage: the mean over seeds.
        seconds: to fit; of ours both models and all lists.
        setting: what tuning chose.
        speed: interactions a second that an epoch takes in; 0 of what has no epochs.
    """

    name: str
    ndcg: Values
    recall: Values
    by_seed: list[float]
    coverage: float
    seconds: float
    setting: str = ""
    speed: float = 0.0


@dataclass(frozen=True)
class Limit:
    said: str
    is_kept: bool


def main(arguments: Sequence[str]) -> bool:
    """Fit, measure, print; True when every limit was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--content", type=Path)
    parser.add_argument("--protocols", nargs="+", choices=["loo", "temporal"], default=["loo", "temporal"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(_SEEDS))
    parser.add_argument("--peers", nargs="*", choices=list(_peers.GRIDS), default=list(_peers.GRIDS))
    options = parser.parse_args(arguments)
    terminal = Console()
    # a file takes whole rows
    console = terminal if terminal.is_terminal else Console(width=160)
    settings = load_settings()
    torch.set_num_threads(settings.torch_threads)
    with console.status("the data and the peers' environment"):
        python = _environments.install(settings.var_dir, "recommenders", _peers.PACKAGES)
        log = read_movielens(settings) if options.interactions is None else read_interactions(
            options.interactions, options.content
        )  # fmt: skip
    config = read_config(settings.two_tower_file)
    name = "MovieLens-100k" if options.interactions is None else options.interactions.name
    limits = []
    for protocol in options.protocols:
        split = _split(log, protocol)
        with console.status(
            f"{protocol}: the peers' budget is {sum(map(len, _peers.GRIDS.values()))} settings"
        ) as status:
            peers = []
            columns = _columns(log, protocol)
            for one in _peers.recommend(python, columns, options.peers, options.seeds):
                peers.append(_measured_peer(one, split, log))
                status.update(f"{protocol}: {one.name} is done in {one.tuning_seconds + one.fit_seconds:.0f} s")
            ours = _ours(log, protocol, options.seeds, config)
        console.print(_table(name, split, [*ours, *peers]))
        limits += _limits(protocol, {one.name: one for one in ours}, peers)
    for limit in limits:
        console.print(f"{'kept' if limit.is_kept else 'MISSED'}: {limit.said}")
    return all(limit.is_kept for limit in limits)


def read_movielens(settings: Settings, profile_columns: Sequence[str] = ()) -> LoggedInteractions:
    """MovieLens-100k as `marquee evaluate` reads it, with `age_band`, `gender` and `occupation` of its users."""
    data = load_movielens(settings)
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        interactions, content, users = (
            Path(folder) / f"{name}.parquet" for name in ("interactions", "content", "users")
        )
        data.interactions[["user_id", "item_id", "timestamp"]].to_parquet(interactions, index=False)
        pd.DataFrame(
            {"item_id": data.items["item_id"], "tags": data.items["genres"].str.split()}
        ).to_parquet(content, index=False)  # fmt: skip
        ages = np.digitize(data.users["age"], _AGES).astype(str)
        data.users[["user_id", "gender", "occupation"]].assign(age_band=ages).to_parquet(users, index=False)
        return read_interactions(interactions, content, users, profile_columns)


def _split(log: LoggedInteractions, protocol: Protocol) -> Split:
    """What has to be found: contents that somebody consumed on the training side."""
    whole = file_evaluation.cut(log.interactions, protocol)
    return file_evaluation.split_of(whole, np.bincount(whole.train.items, minlength=len(log.item_ids) + 1) > 0)


def _columns(log: LoggedInteractions, protocol: Protocol) -> dict[str, np.ndarray]:
    """Both splits as the peers read them."""
    outer = _split(log, protocol)
    whole = file_evaluation.cut(outer.train, protocol)
    inner = file_evaluation.split_of(whole, np.bincount(whole.train.items, minlength=len(log.item_ids) + 1) > 0)
    columns: dict[str, np.ndarray] = {}
    for name, split in (("outer", outer), ("inner", inner)):
        columns |= {
            f"{name}_users": split.train.users,
            f"{name}_items": split.train.items,
            f"{name}_seconds": split.train.moments // SECOND,
            f"{name}_targets": split.users,
            f"{name}_relevant": np.concatenate(split.relevant),
            f"{name}_bounds": np.cumsum([0, *map(len, split.relevant)]),
        }
    return columns


def _measured_peer(peer: _peers.PeerLists, split: Split, log: LoggedInteractions) -> Measured:
    lists = [RankedLists(peer.name, items, np.zeros(items.shape, dtype=np.float32)) for items in peer.items]
    measured = _measured(peer.name, lists, split, log)
    setting = ", ".join(f"{name} {value}" for name, value in peer.setting.items())
    speed = len(split.train.items) * peer.setting.get("epochs", 0) / peer.fit_seconds
    return replace(measured, seconds=peer.fit_seconds, setting=setting, speed=speed)


def _ours(log: LoggedInteractions, protocol: Protocol, seeds: list[int], config: TowerConfig) -> list[Measured]:
    found: list[FileEvaluation] = []
    seconds, speeds = [], []
    for seed in seeds:
        epochs: list[float] = []

        def note(stage: str, *_: float, epochs: list[float] = epochs) -> None:
            if stage.endswith("towers"):
                epochs.append(time.perf_counter())

        started = time.perf_counter()
        found.append(file_evaluation.evaluate(log, protocol, seed, note, config))
        seconds.append(time.perf_counter() - started)
        learnt = len(file_evaluation.cut(found[-1].split.train, protocol).train.items)
        speeds.append(learnt * (len(epochs) - 1) / (epochs[-1] - epochs[0]))
    models = []
    for name in _OURS:
        lists = [one for evaluated in found for one in evaluated.lists if one.model == name]
        measured = _measured(name, lists, found[0].split, log)
        models.append(replace(measured, seconds=float(np.mean(seconds)), speed=float(np.mean(speeds))))
    return models


def _measured(name: str, lists: list[RankedLists], split: Split, log: LoggedInteractions) -> Measured:
    """The figures of one model, a list for each seed."""
    counts = np.array([len(items) for items in split.relevant], dtype=np.int64)
    found = [hits(one.items[:, :K], split.relevant, len(log.item_ids)) for one in lists]
    ndcg = np.stack([metrics.ndcg(one, counts) for one in found])
    recall = np.stack([metrics.recall(one, counts) for one in found])
    rows = evaluation.measure(split, lists, log.contents.side, len(np.unique(split.train.items)))
    coverage = float(np.mean([row.value for row in rows if row.metric == "coverage"]))
    return Measured(name, ndcg.mean(axis=0), recall.mean(axis=0), ndcg.mean(axis=1).tolist(), coverage, 0.0)


def _limits(protocol: Protocol, ours: dict[str, Measured], peers: list[Measured]) -> list[Limit]:
    if not peers:
        return []
    marquee, towers = ours["marquee"], ours["two_tower"]
    best = max(peers, key=lambda one: float(one.ndcg.mean()))
    difference, low, high = metrics.paired_interval(marquee.ndcg, best.ndcg)
    limits = [
        Limit(
            f"{protocol}: NDCG@10 of marquee less that of the best peer, {best.name}: {difference:+.4f} "
            f"({low:+.4f} to {high:+.4f} over users)",
            difference >= 0,
        ),
        Limit(
            f"{protocol}: coverage@10 of marquee {marquee.coverage:.3f}, of {best.name} {best.coverage:.3f}",
            marquee.coverage >= best.coverage,
        ),
    ]
    sasrec = next((one for one in peers if one.name == "SASRec"), None)
    if protocol == "loo" and sasrec is not None:
        difference, low, high = metrics.paired_interval(towers.ndcg, sasrec.ndcg)
        limits += [
            Limit(
                f"loo: NDCG@10 of the towers alone less that of SASRec: {difference:+.4f} ({low:+.4f} to {high:+.4f})",
                difference >= 0,
            ),
            Limit(
                f"loo: all of marquee in {marquee.seconds / sasrec.seconds:.2f} of the time that SASRec takes to fit",
                marquee.seconds <= LIMIT_TIME * sasrec.seconds,
            ),
            Limit(
                f"loo: interactions a second, {marquee.speed / sasrec.speed:.1f} times SASRec's",
                marquee.speed >= LIMIT_SPEED * sasrec.speed,
            ),
        ]
    return limits


def _table(title: str, split: Split, rows: list[Measured]) -> Table:
    table = Table(
        "model", "NDCG@10", "95% interval", "by seed", "Recall@10", "coverage@10", "fit, s", "setting",
        title=f"{title}, {split.protocol}: {len(split.users):,} users, {len(split.train.items):,} interactions to "
        "learn from",
    )  # fmt: skip
    for row in sorted(rows, key=lambda row: -float(row.ndcg.mean())):
        low, high = metrics.bootstrap_interval(row.ndcg)
        seeds = ", ".join(f"{value:.4f}" for value in row.by_seed) if len(row.by_seed) > 1 else ""
        table.add_row(
            row.name, f"{row.ndcg.mean():.4f}", f"{low:.4f} to {high:.4f}", seeds, f"{row.recall.mean():.4f}",
            f"{row.coverage:.3f}", f"{row.seconds:.1f}", row.setting,
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
