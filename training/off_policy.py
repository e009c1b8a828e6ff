"""What a policy would have earned, from the log of another: off-policy evaluation.

In: columns of what was shown: its reward, the probability with which it was chosen (the propensity), the probability
with which the evaluated policy would have chosen it, and what a reward model expects where there is one. Out: the mean
reward of the evaluated policy by several estimators, with intervals, and whether the log is enough to conclude.

A round is one content shown at one place. In a list each place counts for itself: that a reward depends on the content,
its place and the context, and not on the list's other contents, is assumed (the item-position model of Li et al.,
"Offline Evaluation of Ranking Policies with Click Models", KDD 2018). Without it a weight is a product over the list,
and no log of this size has enough of them.

| estimator | mean of | source |
|---|---|---|
| ips | w r | Horvitz and Thompson, JASA 1952 |
| snips | w r, over the mean of w | Swaminathan and Joachims, "The Self-Normalized Estimator", NeurIPS 2015 |
| dm | q of the evaluated policy's choices; no interval of it knows how wrong q is | as in Dudík et al. |
| dr | dm + w (r - q of what was shown) | Dudík, Langford and Li, "Doubly Robust Policy Evaluation", ICML 2011 |

w = probability by the evaluated policy / propensity, r = reward, q = expected reward. With `clip` a weight is at most
that (Ionides, "Truncated Importance Sampling", JCGS 2008; in dr the pessimistic shrinkage of Su et al., "Doubly Robust
Off-policy Evaluation with Shrinkage", ICML 2020): less variance for some bias.

Legend: N rounds, C clusters, R draws, T sums of a round that estimates are made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marquee.errors import MarqueeError

Values = NDArray[np.float64]
EstimatorName = Literal["ips", "snips", "dm", "dr"]

# The limits below are conventions of this module. Under them the bootstrap knows too few weights to tell of their tail.
LEAST_EFFECTIVE_ROUNDS = 100
LEAST_EFFECTIVE_REWARDS = 30
LARGEST_CLIPPED_SHARE = 0.1
# standard errors between the mean weight and 1
_FARTHEST_MEAN_WEIGHT = 3

_DRAWS = 1_000
_CELLS_AT_ONCE = 4_000_000


class OffPolicyError(MarqueeError):
    """A log cannot be evaluated; the message names row, field, value and remedy."""


class Verdict(StrEnum):
    """What a log says of a policy beside the one that was logged."""

    BETTER = "better than the logged policy"
    WORSE = "worse than the logged policy"
    UNDECIDED = "no difference from the logged policy can be told"
    NOT_ENOUGH = "not enough to conclude"


@dataclass(frozen=True)
class LoggedRounds:
    """What was shown, a row each.

    Attributes:
        rewards: any finite number: a click, a share watched.  # (N,)
        propensities: with which probability the logged policy chose what it showed, above 0 and at most 1.  # (N,)
        clusters: number of the request or subscriber; rounds of one are drawn together.  # (N,)
        policies: with which probability each evaluated policy would have chosen what was shown, 0 to 1.  # (N,)

    Raises:
        OffPolicyError: no rounds, columns of different lengths, a reward that is no finite number, a propensity that is
            no probability above 0, a probability that is none.
    """

    rewards: Values
    propensities: Values
    clusters: NDArray[np.int64]
    policies: Mapping[str, Values]

    def __post_init__(self) -> None:
        columns = {"propensity": self.propensities, "cluster": self.clusters, **self.policies}
        for field, values in columns.items():
            if len(values) != len(self.rewards):
                raise OffPolicyError(
                    f"{field} has {len(values):,} values and reward {len(self.rewards):,}; give one of each a round"
                )
        if not len(self.rewards):
            raise OffPolicyError("there are no rounds; a policy is evaluated on what another has shown")
        _refuse(~np.isfinite(self.rewards), self.rewards, "reward", "write a finite number, 0 where nothing came of it")
        is_probability = (self.propensities > 0) & (self.propensities <= 1)
        remedy = (
            "write the probability with which the logged policy chose what it showed, above 0 and at most 1, noted at "
            "the time of showing; without it, or where a policy leaves nothing to chance, nothing can be told of others"
        )
        _refuse(~is_probability, self.propensities, "propensity", remedy)
        remedy = "write the probability with which this policy would have chosen what was shown, 0 to 1"
        for policy, values in self.policies.items():
            _refuse(~((values >= 0) & (values <= 1)), values, policy, remedy)


@dataclass(frozen=True)
class RewardPredictions:
    """What a reward model expects; made without the round itself (cross-fitted), or dm and dr flatter.

    Attributes:
        shown: of what was shown.  # (N,)
        policy: of what the evaluated policy would show: the mean over its choices by their probabilities.  # (N,)
    """

    shown: Values
    policy: Values


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The mean reward of a round under the evaluated policy, and how much more that is than the logged policy's."""

    estimator: EstimatorName
    value: Interval
    difference: Interval


@dataclass(frozen=True)
class PolicyEvaluation:
    """What the log says of one policy.

    Attributes:
        logged: the logged policy's own mean reward.
        effective_rounds: as many rounds of the policy's own would say as much: (sum of w)^2 / sum of w^2 (Kish, "Survey
            Sampling", 1965).
        effective_rewards: the same of the weighted rewards: one over its root is about the relative error of ips where
            rewards are rare.
        mean_weight: 1 where the log shows all that the policy would, and the propensities are right.
        clipped_share: of the weight that `clip` took away, 0 to 1.
        decided_by: the estimator whose difference the verdict is about: dr where there is a reward model, else snips.
        reasons: why the log is not enough; empty where it is.
    """

    policy: str
    estimates: tuple[Estimate, ...]
    logged: Interval
    round_count: int
    cluster_count: int
    effective_rounds: float
    effective_rewards: float
    mean_weight: float
    largest_weight: float
    clipped_share: float
    decided_by: EstimatorName
    verdict: Verdict
    reasons: tuple[str, ...]


def evaluate(
    rounds: LoggedRounds,
    policy: str,
    *,
    predictions: RewardPredictions | None = None,
    clip: float | None = None,
    seed: int = 0,
) -> PolicyEvaluation:
    """The mean reward of one of the policies by every estimator that the columns allow.

    Intervals are percentiles of a Bayesian bootstrap over clusters (Rubin, "The Bayesian Bootstrap", 1981): its draws
    leave no cluster out, so that no draw is without weight.

    Args:
        clip: the largest weight that counts, above 0.

    Raises:
        OffPolicyError: the policy would have shown nothing of the log, or `clip` is not above 0.
    """
    probabilities = rounds.policies[policy]
    if not probabilities.any():
        raise OffPolicyError(f"{policy} is 0 in every row: the log shows nothing that this policy would show")
    if clip is not None and not clip > 0:
        raise OffPolicyError(f"clip is {clip:g}; the largest weight that counts is above 0, such as 100")
    weights = probabilities / rounds.propensities
    counted = weights if clip is None else np.minimum(weights, clip)
    terms, cluster_count = _terms_by_cluster(rounds, weights, counted, predictions)
    point = _figures(terms.sum(axis=0))
    draws = _figures(_drawn_sums(terms, seed))
    names: tuple[EstimatorName, ...] = ("ips", "snips") if predictions is None else ("ips", "snips", "dm", "dr")
    estimates = tuple(
        Estimate(
            name,
            _interval(point[name], draws[name]),
            _interval(point[name] - point["logged"], draws[name] - draws["logged"]),
        )
        for name in names
    )
    effective_rounds, effective_rewards = _effective_count(counted), _effective_count(counted * rounds.rewards)
    mean_weight, clipped_share = float(point["weight"]), float(1 - counted.sum() / weights.sum())
    reasons = _reasons(effective_rounds, effective_rewards, mean_weight, float(np.std(draws["weight"])), clipped_share)
    decisive = estimates[-1]
    return PolicyEvaluation(
        policy=policy,
        estimates=estimates,
        logged=_interval(point["logged"], draws["logged"]),
        round_count=len(weights),
        cluster_count=cluster_count,
        effective_rounds=effective_rounds,
        effective_rewards=effective_rewards,
        mean_weight=mean_weight,
        largest_weight=float(weights.max()),
        clipped_share=clipped_share,
        decided_by=decisive.estimator,
        verdict=_verdict(decisive.difference, reasons),
        reasons=reasons,
    )


def _refuse(is_wrong: NDArray[np.bool_], values: Values, field: str, remedy: str) -> None:
    """Raise for the first wrong row; rows count from 1, as in a file."""
    if is_wrong.any():
        row = int(is_wrong.argmax())
        said = "empty" if np.isnan(values[row]) else f"{values[row]:g}"
        raise OffPolicyError(f"row {row + 1}: {field} is {said}; {remedy}")


def _terms_by_cluster(
    rounds: LoggedRounds, weights: Values, counted: Values, predictions: RewardPredictions | None
) -> tuple[Values, int]:
    """The sums over each cluster of what estimates are made of, and how many clusters there are.  # (C, T)"""
    nothing = np.zeros_like(weights)
    shown, expected = (nothing, nothing) if predictions is None else (predictions.shown, predictions.policy)
    columns = (
        np.ones_like(weights),
        rounds.rewards,
        weights,
        counted,
        counted * rounds.rewards,
        expected,
        expected + counted * (rounds.rewards - shown),
    )
    clusters = np.unique(rounds.clusters, return_inverse=True)[1]
    return np.stack([np.bincount(clusters, column) for column in columns], axis=1), int(clusters.max()) + 1


def _figures(sums: Values) -> dict[str, Values]:
    """Estimates from sums of terms: of the log, (T,), or of each draw.  # (R, T)"""
    count, reward, weight, counted, weighted_reward, expected, corrected = np.moveaxis(sums, -1, 0)
    return {
        "logged": reward / count,
        "weight": weight / count,
        "ips": weighted_reward / count,
        "snips": weighted_reward / counted,
        "dm": expected / count,
        "dr": corrected / count,
    }


def _drawn_sums(terms: Values, seed: int) -> Values:
    """Sums of terms under random weights of the clusters; estimates are ratios, so these need not add up to one."""
    generator = np.random.default_rng(seed)
    at_once = max(1, min(_DRAWS, _CELLS_AT_ONCE // len(terms)))
    parts = [
        generator.standard_exponential((min(at_once, _DRAWS - start), len(terms))) @ terms
        for start in range(0, _DRAWS, at_once)
    ]
    return np.concatenate(parts)


def _interval(point: Values, draws: Values) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(point), float(low), float(high))


def _effective_count(weights: Values) -> float:
    absolute = np.abs(weights)
    squares = float((absolute**2).sum())
    return 0.0 if squares == 0 else float(absolute.sum()) ** 2 / squares


def _reasons(
    effective_rounds: float, effective_rewards: float, mean_weight: float, weight_error: float, clipped_share: float
) -> tuple[str, ...]:
    reasons = []
    if effective_rounds < LEAST_EFFECTIVE_ROUNDS:
        reasons.append(
            f"the log says as much as {effective_rounds:.1f} rounds of the policy's own would, fewer than "
            f"{LEAST_EFFECTIVE_ROUNDS}: log longer, with more chance, or evaluate a policy nearer to the logged one"
        )
    if effective_rewards < LEAST_EFFECTIVE_REWARDS:
        reasons.append(
            f"the estimate rests on as much as {effective_rewards:.1f} rewarded rounds, fewer than "
            f"{LEAST_EFFECTIVE_REWARDS}: log longer"
        )
    if abs(mean_weight - 1) > _FARTHEST_MEAN_WEIGHT * weight_error + 1e-9:
        reasons.append(
            f"weights are {mean_weight:.3f} on average, and would be 1: the policy shows what the log never does, or "
            "the probabilities are not those of the two policies"
        )
    if clipped_share > LARGEST_CLIPPED_SHARE:
        reasons.append(
            f"clipping took {clipped_share:.1%} of the weight, more than {LARGEST_CLIPPED_SHARE:.0%}: what is left "
            "tells of another policy; clip higher"
        )
    return tuple(reasons)


def _verdict(difference: Interval, reasons: tuple[str, ...]) -> Verdict:
    if reasons:
        return Verdict.NOT_ENOUGH
    if difference.low > 0:
        return Verdict.BETTER
    return Verdict.WORSE if difference.high < 0 else Verdict.UNDECIDED
