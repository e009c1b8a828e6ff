"""Ranking metrics over full lists, their bootstrap intervals over subscribers, and how true probabilities are.

Definitions: binary relevance; NDCG with the ideal of min(k, relevant) hits (Järvelin and Kekäläinen 2002).

Legend: E subscribers, K list length.
"""

import numpy as np
from numpy.typing import NDArray

from feature_repo.composition import distribution, divergence

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
    means = [values[generator.integers(0, len(values), size=len(values))].mean() for _ in range(rounds)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def paired_interval(ours: Values, theirs: Values, seed: int = 0, rounds: int = 1_000) -> tuple[float, float, float]:
    """Mean difference over the same subscribers, with its 95% percentile interval."""
    difference = ours - theirs
    return (float(difference.mean()), *bootstrap_interval(difference, seed, rounds))


def gini(exposure: NDArray[np.int64], catalogue_size: int) -> float:
    """How unevenly places are shared out among the contents: 0 evenly, near 1 to few.

    Args:
        exposure: (N,) how often each content is shown, of which all but `catalogue_size` could not be.
    """
    places = np.sort(exposure)[-catalogue_size:].astype(np.float64)
    if not places.sum():
        return 1.0
    ranks = 2 * np.arange(1, len(places) + 1) - len(places) - 1
    return float(ranks @ places / (len(places) * places.sum()))


def intra_list_diversity(items: NDArray[np.int64], side: NDArray[np.float32]) -> float:
    """One less the mean cosine between the side features of two contents of a list, over lists (Ziegler et al. 2005).

    Args:
        items: (E, K) item numbers, 0 where none is.
        side: (N + 1, S)
    """
    length = np.linalg.norm(side, axis=1, keepdims=True)
    unit = side / np.maximum(length, 1e-9)
    counts = (items > 0).sum(axis=1)
    kept = items[counts >= 2]
    if not len(kept):
        return 0.0
    sums = np.stack([unit[row].sum(axis=0) for row in kept])
    own = (length.ravel() > 0)[kept].sum(axis=1)
    pairs = counts[counts >= 2] * (counts[counts >= 2] - 1)
    return float(np.mean(1.0 - ((sums**2).sum(axis=1) - own) / pairs))


def miscalibration(items: NDArray[np.int64], shares: NDArray[np.float64], tastes: NDArray[np.float64]) -> float:
    """Mean divergence of what lists show from their subscribers' tastes (Steck 2018); 0 where nobody's is known.

    Args:
        items: (E, K) item numbers, 0 where none is.
        shares: (N + 1, G) genres of each content in shares of 1.
        tastes: (E, G) the same of what each subscriber consumed.
    """
    known = np.flatnonzero(tastes.sum(axis=1) > 0)
    if not len(known):
        return 0.0
    shown = np.stack([distribution(shares[row]) for row in items[known]])
    return float(divergence(tastes[known], shown).mean())


def brier(chances: NDArray[np.float32], happened: NDArray[np.bool_]) -> float:
    """Mean squared difference of a probability and what came, 0 is best (Brier 1950).  # (S,), (S,)"""
    return float(np.mean((chances.astype(np.float64) - happened) ** 2))


def calibration_error(chances: NDArray[np.float32], happened: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: the mean over bins of the distance between mean probability and share that came.

    sum_b n_b / n * |share_b - mean_b| (Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning"), over bins of equally many (Nixon et al. 2019, "Measuring Calibration in Deep Learning"): probabilities of
    a start are small, and bins of equal width would put nearly all of them into one.  # (S,), (S,)
    """
    order = np.argsort(chances, kind="stable")
    gaps = [
        len(rows) * abs(float(happened[rows].mean()) - float(chances[rows].mean(dtype=np.float64)))
        for rows in np.array_split(order, bins)
        if len(rows)
    ]
    return sum(gaps) / len(chances)
