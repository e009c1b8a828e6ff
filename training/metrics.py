"""Ranking metrics over full lists, and their bootstrap intervals over subscribers.

Definitions: binary relevance; NDCG with the ideal of min(k, relevant) hits (Järvelin and Kekäläinen 2002).

Legend: E subscribers, K list length.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def hits(lists: NDArray[np.int64], relevant: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Which places of each list are relevant.  # (E, K)"""
    return np.stack([np.isin(row, wanted) for row, wanted in zip(lists, relevant, strict=True)])


def ndcg(found: NDArray[np.bool_], relevant_counts: NDArray[np.int64]) -> Values:
    """NDCG of each subscriber, 0 to 1.  # (E,)"""
    discounts = 1.0 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    return (found * discounts).sum(axis=1) / ideal[np.minimum(relevant_counts, found.shape[1])]


def recall(found: NDArray[np.bool_], relevant_counts: NDArray[np.int64]) -> Values:
    """Share of the relevant that the list holds.  # (E,)"""
    return found.sum(axis=1) / relevant_counts


def reciprocal_rank(found: NDArray[np.bool_]) -> Values:
    """One over the place of the first hit, 0 without one.  # (E,)"""
    first = found.argmax(axis=1)
    return np.where(found.any(axis=1), 1.0 / (first + 1), 0.0)


def coverage(lists: NDArray[np.int64], catalogue_size: int) -> float:
    """Share of the catalogue that any list holds."""
    return len(np.unique(lists)) / catalogue_size


def bootstrap_interval(values: Values, seed: int = 0, rounds: int = 1_000) -> tuple[float, float]:
    """95% percentile interval of the mean over subscribers."""
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(values), size=(rounds, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
