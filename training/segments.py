"""How good a version is for each kind of subscriber and of content: what its averages hide.

In: the leave-last-out lists of a version, and the subscribers as they were at training time. Out: a row a segment, for
`evaluation/segments.json` and the model card.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from training import metrics
from training.evaluation import per_subscriber
from training.fairness import UNKNOWN, service_ratio
from training.thresholds import Attribute

PROTOCOL, MODEL, BESIDE = "loo", "marquee", "item_knn"
PROTECTED: tuple[Attribute, ...] = ("gender", "age_band")
ATTRIBUTES = ("age_band", "gender", "region", "plan", "lifecycle_stage", "occupation")
# interactions of the training side, by their upper ends
_HISTORY = {"fewer than 20": 20, "20 to 49": 50, "50 to 199": 200, "200 and more": np.inf}
# shares of the catalogue, most consumed first
_POPULARITY = {"most consumed tenth": 0.1, "next four tenths": 0.5, "rest of the catalogue": 1.0}


@dataclass(frozen=True)
class SegmentRow:
    """NDCG of one segment; the figures are None where it has too few subscribers.

    Attributes:
        beside: item-kNN's NDCG in the same segment.
    """

    dimension: str
    segment: str
    subscriber_count: int
    value: float | None
    low: float | None
    high: float | None
    beside: float | None


@dataclass(frozen=True)
class Segments:
    """Every segment's figures, and for each protected attribute the worst served group's mean over the best's.

    Attributes:
        ratios: by attribute, of MODEL and of BESIDE; an attribute without two groups to compare is left out.
        missed_share: of the measured subscribers, how many found nothing among the K best.
        least: how many subscribers a segment needs to be measured.
    """

    rows: list[SegmentRow]
    ratios: dict[str, tuple[float, float]]
    missed_share: float
    least: int


def read_subscribers(connection: Connection[DictRow]) -> pd.DataFrame:
    """subscriber_id, is_simulated and ATTRIBUTES of every subscriber, text; `unknown` where nobody said."""
    columns = ["subscriber_id", "is_simulated", *ATTRIBUTES]
    frame = pd.DataFrame(
        connection.execute(f"select {', '.join(columns)} from marts.dim_subscribers".encode()).fetchall(),
        columns=columns,
    )
    return frame.fillna(dict.fromkeys(ATTRIBUTES, UNKNOWN))


def measure_segments(
    topk: pd.DataFrame, relevant: pd.DataFrame, seen: pd.DataFrame, subscribers: pd.DataFrame, least: int
) -> Segments:
    """NDCG by attribute, by length of history, and by how consumed the held-back content is.

    Args:
        topk, relevant, seen: frames of the artefact's evaluation folder.
        subscribers: as `read_subscribers` gives them.
        least: how many subscribers a segment needs to be measured.
    """
    held_back, before = (frame[frame["protocol"] == PROTOCOL] for frame in (relevant, seen))
    lists = topk[topk["protocol"] == PROTOCOL]
    ours, theirs = (per_subscriber(lists[lists["model"] == model], held_back)["ndcg"] for model in (MODEL, BESIDE))
    groups = subscribers.set_index("subscriber_id")[list(ATTRIBUTES)].reindex(ours.index).fillna(UNKNOWN)
    dimensions = {
        **{name: groups[name].astype(str) for name in ATTRIBUTES},
        "interactions before": _histories(before, ours.index),
        "popularity of what came next": _popularities(before, held_back, ours.index),
    }
    ratios: dict[str, tuple[float, float]] = {}
    for attribute in PROTECTED:
        found, beside = (service_ratio(of, "ndcg", attribute, groups[attribute], least) for of in (ours, theirs))
        if found is not None and beside is not None:
            ratios[attribute] = (found.ratio, beside.ratio)
    return Segments(
        [row for name, column in dimensions.items() for row in _rows(name, column, ours, theirs, least)],
        ratios,
        float((ours == 0).mean()),
        least,
    )


def _rows(dimension: str, column: pd.Series, ours: pd.Series, theirs: pd.Series, least: int) -> list[SegmentRow]:
    order = (
        column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else sorted(column.unique(), key=_place)
    )
    rows = []
    for name in order:
        members = column.index[column == name]
        if len(members) == 0:
            continue
        if len(members) < least:
            rows.append(SegmentRow(dimension, str(name), len(members), None, None, None, None))
            continue
        values = ours[members].to_numpy()
        low, high = metrics.bootstrap_interval(values)
        beside = float(theirs[members].mean())
        rows.append(SegmentRow(dimension, str(name), len(members), float(values.mean()), low, high, beside))
    return rows


def _place(name: str) -> tuple[bool, float, str]:
    """Bands by where they begin, other names by the alphabet, what is not known last."""
    number = re.search(r"\d+", name)
    begin = float(number[0]) - name.startswith("under") if number else 0.0
    return name == UNKNOWN, begin, name


def _histories(seen: pd.DataFrame, index: pd.Index) -> pd.Series:
    counts = seen.groupby("subscriber_id").size().reindex(index, fill_value=0)
    return pd.cut(counts, [0, *_HISTORY.values()], labels=list(_HISTORY), right=False)


def _popularities(seen: pd.DataFrame, held_back: pd.DataFrame, index: pd.Index) -> pd.Series:
    """Where the content that a subscriber consumed next stands among the contents of the training side."""
    places = seen["content_id"].value_counts().rank(ascending=False, method="first", pct=True)
    last = held_back.groupby("subscriber_id")["content_id"].first().reindex(index)
    return pd.cut(last.map(places).fillna(1.0), [0, *_POPULARITY.values()], labels=list(_POPULARITY))
