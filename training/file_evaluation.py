"""The models on anyone's file: fitted on one side of a split, measured over the whole catalogue on the other.

In: interactions and a protocol. Out: figures of every model, and its lists for whoever scores them in another way. Only
what can be known on the training side is learnt from: the split's figures are comparable with any other model's.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from marquee.errors import MarqueeError
from training import dataset, evaluation
from training.dataset import Interactions, Split
from training.evaluation import MetricRow
from training.interaction_files import LoggedInteractions
from training.ranking_features import LoggedFeatures
from training.system import Progress, fit_system, list_frame, ranked_lists, relevant_frame
from training.towers import TowerConfig

Protocol = Literal["temporal", "loo"]
CUTOFFS = (10, 50)
# shorter sequences say nothing of what comes next; what published figures on leave-last-out leave away too
_SHORTEST = 3
# a property with more values is an id or a number, no group
_MOST_GROUPS = 20
_TOPK_COLUMNS = ["user_id", "item_id", "rank", "score", "model"]
_GROUP_COLUMNS = ["property", "group", "model", "ndcg", "user_count"]


class EvaluationError(MarqueeError):
    """A protocol leaves nothing to measure on this file."""


@dataclass(frozen=True)
class FileEvaluation:
    """What one protocol gave.

    Attributes:
        topk: user_id, item_id, rank, score, model; ids as the file has them.
        groups: NDCG@10 of each model in each group of users: property, group, model, ndcg, user_count.
        cold_share: share of what was held back that nobody consumed on the training side, and that no list can hold.
    """

    protocol: Protocol
    rows: list[MetricRow]
    topk: pd.DataFrame
    groups: pd.DataFrame
    train_count: int
    user_count: int
    cold_share: float


def split_of(interactions: Interactions, protocol: Protocol) -> tuple[Split, float]:
    """The split, without contents that its training side does not know, and their share among what was held back.

    Raises:
        EvaluationError: nobody is left to recommend to.
    """
    split = _cut(interactions, protocol)
    known = np.unique(split.train.items)
    warm = [np.intersect1d(items, known) for items in split.relevant]
    held_back = sum(map(len, split.relevant))
    kept = np.array([len(items) > 0 for items in warm], dtype=bool)
    if not kept.any():
        raise EvaluationError(
            f"the {protocol} split of {len(interactions.items):,} interactions leaves nobody with a content to be "
            "found; more interactions of the same users are needed"
        )
    left = replace(
        split, users=split.users[kept], cuts=split.cuts[kept], relevant=[items for items in warm if len(items)]
    )
    return left, 1 - sum(map(len, warm)) / held_back


def evaluate(
    log: LoggedInteractions, protocol: Protocol, seed: int, progress: Progress, config: TowerConfig | None = None
) -> FileEvaluation:
    """Fit every model on the training side and measure its lists.

    Raises:
        EvaluationError: nobody is left to recommend to.
    """
    split, cold_share = split_of(log.interactions, protocol)
    config = TowerConfig() if config is None else config
    # nothing that only the held back side knows competes, in training or in the lists
    is_known = np.bincount(split.train.items, minlength=len(log.item_ids) + 1) > 0
    contents = replace(log.contents, is_real=is_known)
    features = LoggedFeatures(split.train, contents)
    system = fit_system(split, _cut(split.train, protocol), contents, config, features, seed, progress)
    lists = ranked_lists(system, split, contents, features, max(CUTOFFS))
    shown = list_frame(split, lists, log.user_ids, log.item_ids)
    relevant = relevant_frame(split, log.user_ids, log.item_ids)
    return FileEvaluation(
        protocol,
        evaluation.measure(shown, relevant, int(is_known.sum()), CUTOFFS),
        shown.rename(columns={"subscriber_id": "user_id", "content_id": "item_id"})[_TOPK_COLUMNS],
        _by_group(shown, relevant, log),
        len(split.train.items),
        len(split.users),
        cold_share,
    )


def _cut(interactions: Interactions, protocol: Protocol) -> Split:
    if protocol == "temporal":
        return dataset.temporal(interactions)
    return dataset.leave_last_out(interactions, shortest=_SHORTEST)


def _by_group(shown: pd.DataFrame, relevant: pd.DataFrame, log: LoggedInteractions) -> pd.DataFrame:
    about = log.user_groups.set_index(log.user_ids)
    names = about.columns[about.nunique() <= _MOST_GROUPS]
    if not len(names):
        return pd.DataFrame(columns=_GROUP_COLUMNS)
    rows = []
    for model, lists in shown.groupby("model", sort=False):
        ndcg = evaluation.per_subscriber(lists, relevant)["ndcg"]
        for name in names:
            for group, values in ndcg.groupby(about[name].reindex(ndcg.index)):
                rows.append((name, group, model, float(values.mean()), len(values)))
    return pd.DataFrame(rows, columns=_GROUP_COLUMNS)
