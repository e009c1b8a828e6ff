"""How evenly the recommendations serve groups of subscribers: as good for each, and as wide for each.

The figure of an attribute is the ratio between the worst and the best served group, as fairlearn's `MetricFrame.ratio`
has it; groups below a minimum size are left out, because their means are noise. In: per-subscriber figures, lists, the
subscribers' groups. Out: ratios with intervals, and whether they hold.

Legend: E subscribers, A attributes, G groups of one attribute, R rounds of resampling.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import permutations
from typing import Literal

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import DictRow

from training.evaluation import per_subscriber
from training.thresholds import Attribute, FairnessMetric, FairnessThresholds, LeastRatio

UNKNOWN = "unknown"
_ROUNDS = 2_000
# larger samples only take longer
_MOST_SAMPLED = 500

Values = NDArray[np.float64]


@dataclass(frozen=True)
class GroupFigure:
    """One group's figure with its 95% interval, and how many subscribers it is of."""

    value: float
    low: float
    high: float
    size: int


@dataclass(frozen=True)
class GroupRatio:
    """One metric by the groups of one attribute, and the ratio of the lowest to the highest (1 is even).

    Attributes:
        low, high: of the ratio, together 95%: with many groups some pair lies apart by chance alone, so each pair's
            share of the error is that of Bonferroni's correction.
    """

    attribute: Attribute
    metric: FairnessMetric
    by_group: dict[str, GroupFigure]
    ratio: float
    low: float
    high: float

    @property
    def worst(self) -> str:
        return min(self.by_group, key=lambda name: self.by_group[name].value)

    @property
    def best(self) -> str:
        return max(self.by_group, key=lambda name: self.by_group[name].value)


@dataclass(frozen=True)
class RatioChange:
    """The ratio of one attribute's lowest to highest group of two versions, of the same subscribers.

    Attributes:
        ours, theirs: the ratio of each.
        low, high: 95% of the difference, ours less theirs.
    """

    attribute: Attribute
    ours: float
    theirs: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


@dataclass(frozen=True)
class NotComparable:
    """An attribute of which there is nothing to compare, and why."""

    attribute: Attribute
    metric: FairnessMetric
    reason: str


def read_groups(connection: Connection[DictRow], at: datetime, thresholds: FairnessThresholds) -> pd.DataFrame:
    """The groups of each subscriber by subscriber_id, a column an attribute; tenure is that at the moment `at`."""
    frame = pd.DataFrame(
        connection.execute(
            "select subscriber_id, age_band, gender, region, plan, "
            "extract(epoch from %s - acquired_at)::float8 / 86400 as tenure from marts.dim_subscribers",
            (at,),
        ).fetchall(),
        columns=["subscriber_id", "age_band", "gender", "region", "plan", "tenure"],
    ).set_index("subscriber_id")
    frame["tenure"] = tenure_bands(frame["tenure"].astype(float), thresholds.tenure_days)
    return frame[list(thresholds.attributes)].fillna(UNKNOWN)


def tenure_bands(days: pd.Series, ends: tuple[int, ...]) -> pd.Series:
    """The band of each, named by where it ends (`under_30_days`, ..., `180_days_or_more`); unknown where there is none.

    A clock that ran ahead makes a subscriber new, not unknown.
    """
    names = [f"under_{end}_days" for end in ends] + [f"{ends[-1]}_days_or_more"]
    bands = np.array(names, dtype=object)[np.searchsorted(ends, days.fillna(0.0).to_numpy(), side="right")]
    return pd.Series(bands, index=days.index).where(days.notna(), UNKNOWN)


def judged_groups(column: pd.Series, least: int) -> list[str]:
    """Names of the groups that are known and large enough."""
    sizes = column.value_counts()
    return sorted(str(name) for name, size in sizes.items() if size >= least and name != UNKNOWN)


def ratios(
    lists: pd.DataFrame, relevant: pd.DataFrame, groups: pd.DataFrame, thresholds: FairnessThresholds
) -> list[GroupRatio | NotComparable]:
    """Every declared metric by every declared attribute.

    Args:
        lists, relevant: of one model and protocol, cut at the length that counts.
        groups: by subscriber_id, a column an attribute.
    """
    values = per_subscriber(lists, relevant)
    columns = groups.reindex(values.index).fillna(UNKNOWN)
    least = thresholds.least_subscribers
    found: list[GroupRatio | NotComparable] = []
    for attribute, metrics in thresholds.attributes.items():
        for metric in metrics:
            column = columns[attribute]
            ratio = (
                coverage_ratio(lists, attribute, column, least)
                if metric == "coverage"
                else service_ratio(values[metric], metric, attribute, column, least)
            )
            reason = f"fewer than two groups of {least} subscribers: nothing to compare"
            found.append(ratio or NotComparable(attribute, metric, reason))
    return found


def service_ratio(
    values: pd.Series, metric: FairnessMetric, attribute: Attribute, column: pd.Series, least: int
) -> GroupRatio | None:
    """Evenness of a per-subscriber figure; none where fewer than two groups are large enough.

    Args:
        values: (E,) the figure of each subscriber.
        column: (E,) the group of each, in the order of `values`.
    """
    names = judged_groups(column, least)
    if len(names) < 2:
        return None
    groups = column.to_numpy()
    of_group = [values.to_numpy()[groups == name] for name in names]
    kept = np.isin(groups, names)
    frame = MetricFrame(
        metrics=lambda _, figures: float(np.mean(figures)),
        y_true=np.zeros(int(kept.sum())),
        y_pred=values.to_numpy()[kept],
        sensitive_features=groups[kept],
    )
    means = np.array([float(frame.by_group[name]) for name in names])
    # one generator for all: groups that shared a seed would be drawn alike, and lie together more often than they do
    generator = np.random.default_rng(0)
    draws = np.stack([_bootstrap_means(figures, generator) for figures in of_group], axis=1)
    return _group_ratio(attribute, metric, names, means, draws, [len(figures) for figures in of_group])


def ratio_change(
    ours: pd.Series, theirs: pd.Series, attribute: Attribute, column: pd.Series, least: int
) -> RatioChange | None:
    """How much less evenly one version serves than another; none where fewer than two groups are large enough.

    The interval is a bootstrap over subscribers within their groups, each drawn with both of its figures, so that what
    is hard for both versions is no difference between them.

    Args:
        ours, theirs: (E,) a figure of the same subscribers, in the same order.
        column: (E,) the group of each, in the order of the figures.
    """
    names = judged_groups(column, least)
    if len(names) < 2:
        return None
    groups = column.to_numpy()
    both = np.stack([ours.to_numpy(), theirs.to_numpy()], axis=1)  # (E, 2)
    of_group = [both[groups == name] for name in names]
    generator = np.random.default_rng(0)
    ratios = _lowest_over_highest(np.array([pairs.mean(axis=0) for pairs in of_group]))  # (2,)
    draws = _lowest_over_highest(np.array([_bootstrap_means(pairs, generator) for pairs in of_group]))  # (R, 2)
    low, high = np.quantile(draws[:, 0] - draws[:, 1], [0.025, 0.975])
    return RatioChange(attribute, float(ratios[0]), float(ratios[1]), float(low), float(high))


def coverage_ratio(lists: pd.DataFrame, attribute: Attribute, column: pd.Series, least: int) -> GroupRatio | None:
    """Evenness of how many different contents a group is shown; none where fewer than two groups are large enough.

    A larger group is shown more by its size alone. So each group's figure is the number of different contents in the
    lists of as many subscribers, half of the smallest group, on average over all such samples (rarefaction: Hurlbert
    1971, The nonconcept of species diversity), and the intervals are those of samples of that size.

    Args:
        lists: subscriber_id and content_id of every place of every list.
        column: the group of each subscriber, by subscriber_id.
    """
    names = judged_groups(column, least)
    if len(names) < 2:
        return None
    lists = lists[lists["subscriber_id"].isin(column.index)]
    items = pd.factorize(lists["content_id"])[0]
    rows = column.index.get_indexer(pd.Index(lists["subscriber_id"]))
    shown = _shown_items(rows, items, len(column))
    members = [np.flatnonzero((column == name).to_numpy()) for name in names]
    size = min(min(map(len, members)) // 2, _MOST_SAMPLED)
    values = np.array([_rarefied(shown[group], size) for group in members])
    generator = np.random.default_rng(0)
    draws = np.stack([_sampled_coverage(shown[group], size, generator) for group in members], axis=1)
    return _group_ratio(attribute, "coverage", names, values, draws, [len(group) for group in members])


def judge(found: GroupRatio, levels: LeastRatio) -> Literal["pass", "warn", "reject"]:
    """Reject what lies below the limit for certain; warn of what may.

    What is not clear is no reason to keep a champion of whom it is no clearer: small groups would hold every version.
    """
    if found.high < levels.fail:
        return "reject"
    return "warn" if found.ratio < levels.warn else "pass"


def in_words(found: GroupRatio, levels: LeastRatio) -> str:
    """The groups at both ends, and what follows."""
    worst, best = (found.by_group[name] for name in (found.worst, found.best))
    outcome = judge(found, levels)
    follows = {
        "reject": f"clearly below {levels.fail:.2f}",
        "warn": f"below {levels.warn:.2f}, though perhaps by chance"
        if found.high >= levels.warn
        else f"clearly below {levels.warn:.2f}",
        "pass": "even enough",
    }[outcome]
    return (
        f"{found.metric} by {found.attribute}: {found.worst} {worst.value:.4g} ({worst.size}) beside {found.best} "
        f"{best.value:.4g} ({best.size}), ratio {found.ratio:.2f} ({found.low:.2f} to {found.high:.2f}); {follows}"
    )


def _group_ratio(
    attribute: Attribute, metric: FairnessMetric, names: list[str], values: Values, draws: Values, sizes: list[int]
) -> GroupRatio:
    """From the figure of each group and its draws.  # (G,), (R, G)"""
    lows, highs = np.quantile(draws, [0.025, 0.975], axis=0)
    by_group = {
        name: GroupFigure(float(value), float(low), float(high), size)
        for name, value, low, high, size in zip(names, values, lows, highs, sizes, strict=True)
    }
    ratio = float(_lowest_over_highest(values))
    pairs = len(names) * (len(names) - 1) / 2
    bounds = np.array([_ratio_bounds(draws[:, one], draws[:, other], 0.025 / pairs) for one, other in _pairs(names)])
    low, high = bounds.min(axis=0)
    return GroupRatio(attribute, metric, by_group, ratio, min(float(low), ratio), float(np.clip(high, ratio, 1.0)))


def _lowest_over_highest(values: Values) -> Values:
    """Of G groups; where nobody gets anything, all get the same.  # (G, ...) -> (...)"""
    highest = values.max(axis=0)
    ratios: Values = np.where(highest > 0, values.min(axis=0) / np.maximum(highest, 1e-12), 1.0)
    return ratios


def _pairs(names: list[str]) -> list[tuple[int, int]]:
    return list(permutations(range(len(names)), 2))


def _ratio_bounds(one: Values, other: Values, tail: float) -> tuple[float, float]:
    """Quantiles of the ratio of two groups' draws; a pair that gets nothing at all is even."""
    ratios = np.where(other > 0, one / np.maximum(other, 1e-12), np.where(one > 0, np.inf, 1.0))
    low, high = np.quantile(ratios, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _bootstrap_means(values: Values, generator: np.random.Generator) -> Values:
    """Means of resamples of the same size.  # (n,) -> (R,) or (n, 2) -> (R, 2)

    Drawn as counts of each distinct value, which is the same and takes no longer for a million subscribers.
    """
    found, counts = np.unique(values, axis=0, return_counts=True)
    drawn = generator.multinomial(len(values), counts / len(values), size=_ROUNDS)
    means: Values = drawn @ found / len(values)
    return means


def _shown_items(rows: NDArray[np.int64], items: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Each subscriber's list as item numbers, -1 where it is shorter.  # (E, K)"""
    places = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    shown = np.full((count, int(places.max(initial=-1)) + 1), -1, dtype=np.int64)
    shown[rows, places] = items
    return shown


def _rarefied(shown: NDArray[np.int64], size: int) -> float:
    """Expected number of different items in the lists of `size` of the n subscribers.  # (n, K)"""
    n = len(shown)
    found = np.bincount(shown[shown >= 0])
    frequencies, counts = np.unique(found[found > 0], return_counts=True)
    # the chance that none of the sampled ones was shown an item that f of n were: C(n - f, size) / C(n, size)
    steps = np.arange(size)
    logs = np.log(np.maximum(n - frequencies[:, None] - steps, 1e-300)) - np.log(n - steps)
    missed = np.where(n - frequencies >= size, np.exp(logs.sum(axis=1)), 0.0)
    return float((counts * (1.0 - missed)).sum())


def _sampled_coverage(shown: NDArray[np.int64], size: int, generator: np.random.Generator) -> Values:
    """Number of different items in the lists of `size` subscribers, drawn without putting back.  # (n, K) -> (R,)"""
    covered = np.empty(_ROUNDS)
    for draw in range(_ROUNDS):
        items = shown[generator.choice(len(shown), size, replace=False, shuffle=False)]
        covered[draw] = np.count_nonzero(np.bincount(items.ravel() + 1)[1:])
    return covered
