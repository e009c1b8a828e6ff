"""What is recommended to whom nothing is known of, and of contents that nobody consumed, on MovieLens-100k.

Users: a quarter of them have their first 0 to 4 films alone, and the next one is to be found, beside popularity and
popularity among people of the same gender and age. Contents: a tenth of the films have no interaction to learn from,
and what users saw of these is to be found, among these alone and among all films; popularity knows nothing of them, and
takes them by chance. The limits: for new users at least popularity by segment; of new contents at least twice
popularity, among these.
"""

import sys
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from marquee.settings import load_settings
from tests.benchmarks.quality import read_movielens
from training import baselines, dataset, metrics
from training.dataset import HOUR, Bools, Contents, Interactions, Split
from training.evaluation import K
from training.histories import Ints
from training.interaction_files import LoggedInteractions
from training.metrics import Values
from training.outcomes import Outcomes
from training.ranked_lists import hits
from training.ranker_config import RankerConfig
from training.ranking_features import LoggedFeatures
from training.ranking_lessons import Taught
from training.shown_lists import ShownLists
from training.system import Lessons, System, fit_system, ranked_lists
from training.tower_config import TowerConfig, read_config

LIMIT_USERS = 1.0
LIMIT_CONTENTS = 2.0
_SEED = 7
_USERS, _CONTENTS = 0.25, 0.1
_MOST_KNOWN = 4


def main() -> bool:
    """Fit twice, measure, print; True when both limits were kept."""
    console = Console()
    settings = load_settings()
    torch.set_num_threads(settings.torch_threads)
    config = read_config(settings.two_tower_file)
    log = read_movielens(settings, config.profile_columns)
    segments = (log.user_groups["gender"] + log.user_groups["age_band"]).to_numpy()
    table = Table("what is new", "model", "NDCG@10", "95% interval", title="MovieLens-100k, what nothing is known of")

    split, known = _new_users(log.interactions)
    with console.status("new users"):
        system = _fitted(split, log.contents, config)
        lists = _lists(system, split, log.contents)
    lists["popularity by segment"] = _popular_among(split, segments, log)
    figures = {name: _ndcg(split, items, log) for name, items in lists.items()}
    _add(table, f"users, {len(split.users):,}, with 0 to {_MOST_KNOWN} films", figures)
    none = {name: values[known == 0] for name, values in figures.items()}
    _add(table, f"of them {int((known == 0).sum()):,} with none", none)
    of_users = figures["marquee"].mean() / figures["popularity by segment"].mean()

    split, is_new = _new_contents(log)
    with console.status("new contents"):
        system = _fitted(split, log.contents, config)
        alone = _lists(system, split, replace(log.contents, is_real=is_new))
        among_all = _lists(system, split, log.contents)
    chance = np.random.default_rng(_SEED).random(len(is_new)).astype(np.float32)
    alone["popularity"] = baselines.top_unseen(chance, split.histories(), is_new, K)
    figures = {name: _ndcg(split, items, log) for name, items in alone.items()}
    _add(table, f"contents, {int(is_new.sum()):,}, among these", figures)
    _add(table, "the same among all", {name: _ndcg(split, items, log) for name, items in among_all.items()})
    of_contents = figures["marquee"].mean() / figures["popularity"].mean()

    console.print(table)
    console.print(f"new users: {of_users:.2f} times popularity by segment (limit {LIMIT_USERS:g})")
    console.print(f"new contents: {of_contents:.2f} times popularity among these (limit {LIMIT_CONTENTS:g})")
    return bool(of_users >= LIMIT_USERS and of_contents >= LIMIT_CONTENTS)


def _new_users(log: Interactions) -> tuple[Split, Ints]:
    """What follows on the first few of some users has to be found; how many those are, of each.  # (E,)"""
    generator = np.random.default_rng(_SEED)
    histories = log.histories()
    count = round(_USERS * len(histories))
    users = np.sort(generator.choice(np.flatnonzero(histories.lengths > _MOST_KNOWN), count, replace=False))
    known = generator.integers(0, _MOST_KNOWN + 1, count)
    kept = np.full(len(histories), len(log.items))
    kept[users] = known
    order = np.argsort(log.users, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - histories.bounds[log.users[order]]
    wanted = histories.bounds[users] + known
    return (
        Split(
            "loo",
            log.where(place < kept[log.users]),
            users,
            histories.moments[wanted],
            histories.devices[wanted],
            list(histories.items[wanted].astype(np.int64).reshape(-1, 1)),
        ),
        known,
    )


def _new_contents(log: LoggedInteractions) -> tuple[Split, Bools]:
    """What users consumed of some contents has to be found, of which the training side has nothing.  # (N + 1,)"""
    generator = np.random.default_rng(_SEED)
    is_new = np.zeros(len(log.item_ids) + 1, dtype=bool)
    is_new[generator.choice(np.arange(1, len(is_new)), round(_CONTENTS * len(log.item_ids)), replace=False)] = True
    whole = log.interactions
    train, new = whole.where(~is_new[whole.items]), whole.where(is_new[whole.items]).histories()
    users = np.intersect1d(np.flatnonzero(new.lengths), train.users)
    relevant = [np.unique(new.items_of(user)).astype(np.int64) for user in users]
    cuts, nowhere = np.full(len(users), whole.moments.max() + 1), np.zeros(len(users), dtype=np.int8)
    return Split("loo", train, users, cuts, nowhere, relevant), is_new


def _fitted(split: Split, contents: Contents, config: TowerConfig) -> System:
    features = LoggedFeatures(split.train, contents, every=HOUR)
    inner = dataset.leave_last_out(split.train)
    lessons = Lessons(_outcomes(inner), ShownLists.none(split), Taught.nothing())
    system, _ = fit_system(split, inner, contents, config, RankerConfig(), lessons, features, _SEED, lambda *_: None)
    return system


def _outcomes(split: Split) -> Outcomes:
    return Outcomes.of(split, split.train, int(split.train.moments.max()), RankerConfig())


def _lists(system: System, split: Split, contents: Contents) -> dict[str, Ints]:
    """The K best of each model, of contents that are real.  # (E, K) each"""
    features = LoggedFeatures(split.train, contents, every=HOUR)
    found, _ = ranked_lists(system, split, _outcomes(split), contents, features, K)
    return {lists.model: lists.items for lists in found}


def _popular_among(split: Split, segments: np.ndarray, log: LoggedInteractions) -> Ints:
    """The most consumed among users of the same segment; ties go by popularity among all."""
    count = len(log.item_ids)
    overall = baselines.popularity(split.train, count)
    scores = np.empty((len(split.users), count + 1), dtype=np.float32)
    for segment in np.unique(segments[split.users]):
        of_segment = split.train.where(segments[split.train.users] == segment)
        scores[segments[split.users] == segment] = baselines.popularity(of_segment, count) + overall / overall.sum()
    return baselines.top_unseen(scores, split.histories(), log.contents.is_real, K)


def _ndcg(split: Split, items: Ints, log: LoggedInteractions) -> Values:
    counts = np.array([len(wanted) for wanted in split.relevant], dtype=np.int64)
    return metrics.ndcg(hits(items, split.relevant, len(log.item_ids)), counts)


def _add(table: Table, what: str, figures: dict[str, Values]) -> None:
    table.add_section()
    for name, values in sorted(figures.items(), key=lambda pair: -float(pair[1].mean())):
        low, high = metrics.bootstrap_interval(values)
        table.add_row(what, name, f"{values.mean():.4f}", f"{low:.4f} to {high:.4f}")
        what = ""


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
