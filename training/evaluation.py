"""Figures of ranked lists: every metric with its interval, by protocol and model.

In: frames as the artefact holds them (topk, relevant, seen). Out: rows of `evaluation/metrics.json`.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from training import metrics

K = 10


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
    topk: pd.DataFrame, relevant: pd.DataFrame, catalogue_size: int, cutoffs: tuple[int, ...] = (K,)
) -> list[MetricRow]:
    """NDCG, recall, reciprocal rank and coverage at each of `cutoffs`, of every model on every protocol."""
    rows = []
    for key, lists in topk.groupby(["protocol", "model"], sort=False):
        protocol, model = map(str, key)
        for k in cutoffs:
            values = per_subscriber(lists, relevant[relevant["protocol"] == protocol], k)
            for metric in ("ndcg", "recall", "mrr"):
                column = values[metric].to_numpy()
                low, high = metrics.bootstrap_interval(column)
                rows.append(MetricRow(protocol, model, metric, k, float(column.mean()), low, high, len(column)))
            covered = lists.loc[lists["rank"] <= k, "content_id"].nunique() / catalogue_size
            rows.append(MetricRow(protocol, model, "coverage", k, covered, None, None, len(values)))
    return rows


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
