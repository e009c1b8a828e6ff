"""How evenly the recommendations serve groups of subscribers.

The figure is the ratio between the worst and the best served group, as fairlearn's `MetricFrame.ratio` has it; groups
below a minimum size are left out, because their means are noise.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame

MINIMUM_GROUP = 30


@dataclass(frozen=True)
class GroupFairness:
    """One attribute: the mean by group, and the ratio of the lowest to the highest (1 is even)."""

    attribute: str
    by_group: dict[str, float]
    group_sizes: dict[str, int]
    ratio: float


def group_fairness(values: np.ndarray, groups: pd.DataFrame) -> list[GroupFairness]:
    """Fairness of a per-subscriber metric.

    Args:
        values: (E,) the metric of each subscriber.
        groups: (E, A) a column an attribute, in the order of `values`; `unknown` is no group.
    """
    found = []
    for attribute in groups.columns:
        column = groups[attribute].fillna("unknown").astype(str)
        sizes = column.value_counts()
        kept = column.isin([name for name, size in sizes.items() if size >= MINIMUM_GROUP and name != "unknown"])
        if column[kept].nunique() < 2:
            continue
        frame = MetricFrame(
            metrics=lambda _, metric: float(np.mean(metric)),
            y_true=np.zeros(int(kept.sum())),
            y_pred=values[kept.to_numpy()],
            sensitive_features=column[kept].to_numpy(),
        )
        by_group = {str(name): float(value) for name, value in frame.by_group.items()}
        worst, best = min(by_group.values()), max(by_group.values())
        found.append(
            GroupFairness(
                attribute,
                by_group,
                {name: int(sizes[name]) for name in by_group},
                worst / best if best > 0 else 1.0,
            )
        )
    return found
