"""The models on anyone's file: fitted on one side of a split, measured over the whole catalogue on the other.

In: interactions and a protocol. Out: figures of every model, and its lists for whoever scores them in another way. Only
what can be known on the training side is learnt from: the split's figures are comparable with any other model's.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from feature_repo.columns import CONTENT_TYPES
from feature_repo.composition import Weights
from marquee.errors import MarqueeError
from training import dataset, evaluation, metrics
from training.dataset import HOUR, Bools, Contents, Interactions, Split
from training.evaluation import MetricRow
from training.interaction_files import LoggedInteractions
from training.outcomes import Outcomes
from training.ranked_lists import RankedLists, hits, list_frame
from training.ranker_config import RankerConfig
from training.ranking_features import LoggedFeatures
from training.ranking_lessons import Taught
from training.shown_lists import ShownLists
from training.system import Lessons, Progress, candidate_count, fit_system, ranked_lists
from training.tower_config import TowerConfig

Protocol = Literal["temporal", "loo"]
Catalogue = Literal["consumed", "all"]
CUTOFFS = (10, 50)
# shorter sequences say nothing of what comes next; what published figures on leave-last-out leave away too
_SHORTEST = 3
# a property with more values is an id or a number, no group
_MOST_GROUPS = 20
# up to this many interactions on the training side a user is cold
_COLD_USER = 4
_GROUP_COLUMNS = ["property", "group", "model", "ndcg", "low", "high", "user_count"]


class EvaluationError(MarqueeError):
    """A protocol leaves nothing to measure on this file."""


@dataclass(frozen=True)
class FileEvaluation:
    """What one protocol gave.

    Attributes:
        groups: NDCG@10 of each model in each group of users: property, group, model, ndcg, low and high of its 95%
            interval (NaN of a single user), user_count.
        cold_share: share of what was held back that nobody consumed on the training side.
    """

    split: Split
    lists: list[RankedLists]
    rows: list[MetricRow]
    groups: pd.DataFrame
    cold_share: float


def split_of(whole: Split, catalogue: Bools) -> Split:
    """`whole` without what is not in the `catalogue` among what has to be found.  # (N + 1,)

    Raises:
        EvaluationError: nobody is left to recommend to.
    """
    left = whole.with_relevant([items[catalogue[items]] for items in whole.relevant])
    if not len(left.users):
        raise EvaluationError(
            f"the {whole.protocol} split with {len(whole.train.items):,} interactions to learn from leaves nobody "
            "with a content to be found; more interactions of the same users are needed"
        )
    return left


def evaluate(
    log: LoggedInteractions,
    protocol: Protocol,
    seed: int,
    progress: Progress,
    config: TowerConfig,
    catalogue: Catalogue = "consumed",
    ranker_config: RankerConfig | None = None,
    weights: Weights | None = None,
) -> FileEvaluation:
    """Fit the models on the training side and measure their lists.

    Args:
        catalogue: what lists are made of and what has to be found: the contents that somebody consumed on the training
            side, or all that the files name, new ones among them.
        ranker_config: as shipped where none is given.
        weights: with which the lists are composed, as a model of its own, where contents have tags; None: not.

    Raises:
        EvaluationError: nobody is left to recommend to.
    """
    ranker_config = ranker_config or RankerConfig()
    whole = cut(log.interactions, protocol)
    is_consumed = np.bincount(whole.train.items, minlength=len(log.item_ids) + 1) > 0
    shown = is_consumed if catalogue == "consumed" else _there(log.contents, whole)
    split = split_of(whole, shown)
    # nothing that only the held back side knows competes, in training or in the lists
    contents = replace(log.contents, is_real=shown)
    # news of the morning is old in the evening
    features = LoggedFeatures(split.train, contents, every=HOUR)
    inner = cut(split.train, protocol)
    taught = Outcomes.of(inner, log.interactions, int(split.train.moments.max()), ranker_config)
    lessons = Lessons(taught, ShownLists.none(split), Taught.nothing())
    system, _ = fit_system(split, inner, contents, config, ranker_config, lessons, features, seed, progress)
    became = Outcomes.of(split, log.interactions, int(log.interactions.moments.max()), ranker_config)
    has_tags = bool(contents.side[:, : contents.side.shape[1] - len(CONTENT_TYPES)].any())
    lists, foreseen = ranked_lists(
        system, split, became, contents, features, max(CUTOFFS), weights if has_tags else None
    )
    held_back = np.concatenate(whole.relevant)
    return FileEvaluation(
        split,
        lists,
        [
            *evaluation.measure(split, lists, contents.side, int(shown.sum()), CUTOFFS),
            *evaluation.measure_chances(split, "marquee", foreseen, candidate_count(contents)),
        ],
        _by_group(split, lists, log, is_consumed),
        float(1 - is_consumed[held_back].mean()),
    )


def _there(contents: Contents, split: Split) -> Bools:
    """All contents but those of which it is known that they were published after the last cut.  # (N + 1,)"""
    shown: Bools = contents.showable_at(split.cuts.max(initial=0, keepdims=True))[0]
    return shown


def topk(found: FileEvaluation, log: LoggedInteractions, model: str) -> pd.DataFrame:
    """user_id, item_id, rank, score of one model's lists, with the ids of the file.

    Raises:
        EvaluationError: the model has none, as lists are not composed without tags.
    """
    ranked = next((lists for lists in found.lists if lists.model == model), None)
    if ranked is None:
        raise EvaluationError(f"there are no lists of {model}: it needs a file of content with tags")
    frame = list_frame(found.split, ranked, log.user_ids, log.item_ids)
    return frame.rename(columns={"subscriber_id": "user_id", "content_id": "item_id"})[
        ["user_id", "item_id", "rank", "score"]
    ]


def cut(interactions: Interactions, protocol: Protocol) -> Split:
    """The two sides that a protocol makes."""
    if protocol == "temporal":
        return dataset.temporal(interactions)
    return dataset.leave_last_out(interactions, shortest=_SHORTEST)


def _by_group(split: Split, lists: list[RankedLists], log: LoggedInteractions, is_consumed: Bools) -> pd.DataFrame:
    """By what the file about users says, by how much is known of a user, and by whether a content is new."""
    about = log.user_groups.iloc[split.users].reset_index(drop=True)
    about = about[about.columns[about.nunique() <= _MOST_GROUPS]]
    known = np.bincount(split.train.users, minlength=len(log.user_ids))[split.users]
    about = about.assign(history=np.where(known <= _COLD_USER, f"at most {_COLD_USER}", f"more than {_COLD_USER}"))
    rows = []
    for ranked in lists:
        ndcg = pd.Series(_ndcg(split, ranked, len(log.item_ids)))
        for name in about.columns:
            for group, values in ndcg.groupby(about[name]):
                rows.append((name, group, ranked.model, *_mean(np.asarray(values, dtype=np.float64))))
        if all(is_consumed[items].all() for items in split.relevant):
            continue
        for group, chosen in (("consumed before", is_consumed), ("new", ~is_consumed)):
            wanted = [items[chosen[items]] for items in split.relevant]
            there = np.flatnonzero([len(items) > 0 for items in wanted])
            part = replace(split.at(there), relevant=[wanted[row] for row in there])
            figures = _ndcg(part, replace(ranked, items=ranked.items[there]), len(log.item_ids))
            rows.append(("content", group, ranked.model, *_mean(figures)))
    return pd.DataFrame(rows, columns=_GROUP_COLUMNS)


def _mean(figures: metrics.Values) -> tuple[float, float, float, int]:
    """Over users, its interval, and of how many it is."""
    # of one user, or of none, chance cannot be told
    low, high = metrics.bootstrap_interval(figures) if len(figures) > 1 else (math.nan, math.nan)
    return float(figures.mean()), low, high, len(figures)


def _ndcg(split: Split, ranked: RankedLists, item_count: int) -> metrics.Values:
    found = hits(ranked.items[:, : evaluation.K], split.relevant, item_count)
    return metrics.ndcg(found, np.array([len(items) for items in split.relevant], dtype=np.int64))
