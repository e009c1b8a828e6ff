"""Scores as probabilities: a logistic map of one score, fitted on what the scorer has not learnt from.

In: scores and what happened. Out: slope and intercept. Source: Platt 1999, "Probabilistic Outputs for Support Vector
Machines"; that scores come from folds whose scorer has not seen them, and the scorer in use from all, is what
scikit-learn's CalibratedClassifierCV does with `ensemble=False`.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from training.dataset import Bools
from training.histories import Ints
from training.metrics import Values

# as good as no ridge: one slope has nothing to overfit with
_NO_RIDGE = 1e6


@dataclass(frozen=True)
class Sigmoid:
    """p = 1 / (1 + exp(-(slope * score + intercept)))"""

    slope: float
    intercept: float


def fitted_sigmoid(scores: Values, is_positive: Bools) -> Sigmoid:
    """The likeliest map of `scores` to what happened, of which both outcomes are there.  # (S,), (S,)

    Each outcome counts as not quite certain, as Platt has it: (n + 1) / (n + 2) for one that came n times. Scores that
    part the outcomes without a fault would have an endless slope else.
    """
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    certainty = np.where(is_positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    fitted = LogisticRegression(C=_NO_RIDGE, max_iter=1_000).fit(
        np.concatenate([scores, scores])[:, None],
        np.repeat([True, False], len(scores)),
        np.concatenate([certainty, 1 - certainty]),
    )
    return Sigmoid(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def folds_of(owners: Ints, count: int, seed: int) -> Ints:
    """A fold of `count` for each row, the same for all of one owner.  # (S,) -> (S,)"""
    known, row_of = np.unique(owners, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(known))
    return (shuffled % count)[row_of]
