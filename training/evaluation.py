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


def measure(topk: pd.DataFrame, relevant: pd.DataFrame, catalogue_size: int) -> list[MetricRow]:
    """NDCG, recall, reciprocal rank and coverage at 10 of every model on every protocol."""
    rows = []
    for key, lists in topk.groupby(["protocol", "model"], sort=False):
        protocol, model = map(str, key)
        values = per_subscriber(lists, relevant[relevant["protocol"] == protocol])
        for metric in ("ndcg", "recall", "mrr"):
            column = values[metric].to_numpy()
            low, high = metrics.bootstrap_interval(column)
            rows.append(MetricRow(protocol, model, metric, K, float(column.mean()), low, high, len(column)))
        covered = lists.loc[lists["rank"] <= K, "content_id"].nunique() / catalogue_size
        rows.append(MetricRow(protocol, model, "coverage", K, covered, None, None, len(values)))
    return rows


def per_subscriber(lists: pd.DataFrame, relevant: pd.DataFrame) -> pd.DataFrame:
    """ndcg, recall and mrr of each subscriber of one model and protocol, by subscriber_id."""
    wanted = relevant.groupby("subscriber_id")["content_id"].agg(list)
    ranked = lists[lists["rank"] <= K].sort_values("rank").groupby("subscriber_id")["content_id"].agg(list)
    ranked = ranked.reindex(wanted.index).map(lambda found: found if isinstance(found, list) else [])
    found = np.zeros((len(wanted), K), dtype=bool)
    for row, (shown, needed) in enumerate(zip(ranked, wanted, strict=True)):
        found[row, : len(shown)] = [content_id in set(needed) for content_id in shown]
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
