"""Figures of ranked lists: every metric with its interval, by protocol and model.

In: a split, and lists of its subscribers. Out: rows of `evaluation/metrics.json`.

Legend: E subscribers, K places, N contents, S side features.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from training import metrics
from training.dataset import Split
from training.histories import Floats
from training.ranked_lists import RankedLists, hits, shares_of, tastes
from training.ranker import Foreseen

K = 10
# as subscribers are shown them; a version of before has the ranker's alone
_SHOWN = ("marquee_composed", "marquee")


@dataclass(frozen=True)
class MetricRow:
    protocol: str
    model: str
    metric: str
    k: int
    value: float
    low: float | None
    high: float | None
    user_count: int


def measure(
    split: Split, lists: list[RankedLists], side: Floats, catalogue_size: int, cutoffs: tuple[int, ...] = (K,)
) -> list[MetricRow]:
    """Quality and variety of every model at each of `cutoffs`.

    NDCG, recall and reciprocal rank over the whole catalogue; coverage is the share of the catalogue that any list
    shows, gini how unevenly the lists share their places out among it (0 is even), novelty the mean self-information of
    what is shown in bits (Zhou et al. 2010), diversity one less the mean cosine of the side features of two of a list,
    miscalibration how far the genres of a list are from those of the history (Steck 2018).

    Args:
        side: (N + 1, S)
        catalogue_size: how many contents could have been shown.
    """
    item_count = len(side) - 1
    consumed = np.bincount(split.train.items, minlength=item_count + 1)
    surprise = -np.log2(np.where(consumed > 0, consumed, 0.5) / max(len(np.unique(split.train.users)), 1))
    counts = np.array([len(items) for items in split.relevant], dtype=np.int64)
    shares = shares_of(side)
    tasted = tastes(split.histories(), shares)
    rows = []
    for ranked in lists:
        found = hits(ranked.items, split.relevant, item_count)
        for k in cutoffs:
            top, shown = found[:, :k], ranked.items[:, :k]
            if top.shape[1] < k:
                top = np.pad(top, ((0, 0), (0, k - top.shape[1])))
            listed = shown[shown > 0]
            exposure = np.bincount(listed, minlength=item_count + 1)[1:]
            by_subscriber = {
                "ndcg": metrics.ndcg(top, counts),
                "recall": metrics.recall(top, counts),
                "mrr": metrics.reciprocal_rank(top),
            }
            overall = {
                "coverage": np.count_nonzero(exposure) / catalogue_size,
                "gini": metrics.gini(exposure, catalogue_size),
                "novelty": float(surprise[listed].mean()) if len(listed) else 0.0,
                "diversity": metrics.intra_list_diversity(shown, side),
                "miscalibration": metrics.miscalibration(shown, shares, tasted),
            }
            for metric, values in by_subscriber.items():
                low, high = metrics.bootstrap_interval(values)
                rows.append(
                    MetricRow(split.protocol, ranked.model, metric, k, float(values.mean()), low, high, len(values))
                )
            rows += [
                MetricRow(split.protocol, ranked.model, metric, k, value, None, None, len(counts))
                for metric, value in overall.items()
            ]
    return rows


def measure_chances(split: Split, model: str, foreseen: list[Foreseen], list_length: int) -> list[MetricRow]:
    """How true the probabilities of each head are that is there, and of which both outcomes came.

    `<head>_ece` and `<head>_brier` as `metrics` has them; `<head>_base_brier` is the Brier score of whoever always says
    the share that came in the end, the best that one number can do; `<head>_auc` the chance that of two candidates the
    right one has the higher probability.

    Args:
        list_length: how many candidates the retriever gives; it stands where others have their cutoff.
    """
    rows = []
    for head in foreseen:
        if not head.happened.any() or head.happened.all():
            continue
        share = float(head.happened.mean())
        figures = {
            "ece": metrics.calibration_error(head.chances, head.happened),
            "brier": metrics.brier(head.chances, head.happened),
            "base_brier": share * (1 - share),
            "auc": float(roc_auc_score(head.happened, head.chances)),
        }
        rows += [
            MetricRow(split.protocol, model, f"{head.head}_{name}", list_length, value, None, None, len(split.users))
            for name, value in figures.items()
        ]
    return rows


def as_shown(lists: pd.DataFrame) -> pd.DataFrame:
    """Of lists of several models, those that subscribers are shown."""
    models = set(lists["model"])
    shown = next((name for name in _SHOWN if name in models), None)
    return lists[lists["model"] == shown]


def per_subscriber(lists: pd.DataFrame, relevant: pd.DataFrame, k: int = K) -> pd.DataFrame:
    """ndcg, recall and mrr at `k` of each subscriber of one model and protocol, by subscriber_id."""
    wanted = relevant.groupby("subscriber_id")["content_id"].agg(list)
    ranked = lists[lists["rank"] <= k].sort_values("rank").groupby("subscriber_id")["content_id"].agg(list)
    ranked = ranked.reindex(wanted.index).map(lambda found: found if isinstance(found, list) else [])
    found = np.zeros((len(wanted), k), dtype=bool)
    for row, (shown, needed) in enumerate(zip(ranked, map(set, wanted), strict=True)):
        found[row, : len(shown)] = [content_id in needed for content_id in shown]
    counts = np.array([len(needed) for needed in wanted], dtype=np.int64)
    return pd.DataFrame(
        {
            "ndcg": metrics.ndcg(found, counts),
            "recall": metrics.recall(found, counts),
            "mrr": metrics.reciprocal_rank(found),
        },
        index=wanted.index,
    )


def as_json(rows: list[MetricRow]) -> list[dict[str, str | float | int | None]]:
    return [asdict(row) for row in rows]
