"""Ranking metrics over full lists, and their bootstrap intervals over subscribers.

Definitions: binary relevance; NDCG with the ideal of min(k, relevant) hits (Järvelin and Kekäläinen 2002).

Legend: E subscribers, K list length.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def ndcg(found: NDArray[np.bool_], relevant_counts: NDArray[np.int64]) -> Values:
    """NDCG of each subscriber, 0 to 1.  # (E,)"""
    discounts = 1.0 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    values: Values = (found * discounts).sum(axis=1) / ideal[np.minimum(relevant_counts, found.shape[1])]
    return values


def recall(found: NDArray[np.bool_], relevant_counts: NDArray[np.int64]) -> Values:
    """Share of the relevant that the list holds.  # (E,)"""
    values: Values = found.sum(axis=1) / relevant_counts
    return values


def reciprocal_rank(found: NDArray[np.bool_]) -> Values:
    """One over the place of the first hit, 0 without one.  # (E,)"""
    first = found.argmax(axis=1)
    return np.where(found.any(axis=1), 1.0 / (first + 1), 0.0)


def bootstrap_interval(values: Values, seed: int = 0, rounds: int = 1_000) -> tuple[float, float]:
    """95% percentile interval of the mean over subscribers."""
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(values), size=(rounds, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
