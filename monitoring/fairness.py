"""Fairness: does the champion serve every group of subscribers alike, and does it show them alike?

In: the champion's leave-last-out lists, gender and age band of the subscribers. Out: the ratio of the worst to the best
served group, as the gate has it, the groups' figures with intervals, and how far apart the groups' genres are beside
how far apart their own histories were.
"""

from datetime import datetime
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import DictRow
from scipy.spatial import distance

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Finding, Limits, MissingInputError, judge_at_least, judge_at_most, note
from monitoring.recommendations import MARQUEE, NEIGHBOURS, Evaluation, GenreTable
from monitoring.warehouse import find_champion, read_contents, read_subscribers
from training.evaluation import K
from training.fairness import MINIMUM_GROUP, GroupFairness, group_fairness
from training.gate import MINIMUM_FAIRNESS_RATIO
from training.metrics import bootstrap_interval

ATTRIBUTES = ("gender", "age_band")
# the four-fifths rule of the US employment guidelines (29 CFR 1607.4), as a warning
_RATIO_LIMITS = Limits(warn=0.8, fail=MINIMUM_FAIRNESS_RATIO)
# lists concentrate on few genres, so groups drift apart in them; this much beyond their histories is a warning
_EXPOSURE_MARGIN = 0.1
_SHOWN_GENRES = 10

Shares = NDArray[np.float64]


def examine_service(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """NDCG of each group of subscribers, and the ratio of the lowest to the highest."""
    last = Evaluation.read(find_champion(connection, as_of, settings), "loo")
    ours, theirs = last.ndcg(MARQUEE), last.ndcg(NEIGHBOURS)
    groups = _groups(connection, ours.index)
    beside = {found.attribute: found.ratio for found in group_fairness(theirs.to_numpy(), groups)}
    by_attribute = {found.attribute: found for found in group_fairness(ours.to_numpy(), groups)}
    findings: list[Finding] = []
    widgets = [
        report_page.text(
            f"NDCG@{K} on each subscriber's last interaction, with 95% bootstrap intervals. The figure is the worst "
            f"served group's mean over the best served group's; groups below {MINIMUM_GROUP} and `unknown` are left "
            "out.",
            "Quality by group",
        )
    ]
    for attribute in ATTRIBUTES:
        findings.extend(_size_notes(attribute, groups[attribute]))
        found = by_attribute.get(attribute)
        if found is None:
            findings.append(_nothing_to_compare(attribute))
            continue
        by_group = {
            model: {name: _bar(values[groups[attribute] == name]) for name in found.by_group}
            for model, values in ((MARQUEE, ours), (NEIGHBOURS, theirs))
        }
        findings.append(_ratio_finding(found, by_group[MARQUEE], beside.get(attribute)))
        widgets.extend(_service_widgets(found, by_group[MARQUEE], by_group[NEIGHBOURS]))
    return Examination(findings, widgets)


def examine_exposure(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Genres shown to each group, beside the genres of the group's own history."""
    last = Evaluation.read(find_champion(connection, as_of, settings), "loo")
    genres = GenreTable.of(read_contents(connection))
    lists = last.of_model(MARQUEE)
    groups = _groups(connection, pd.Index(lists["subscriber_id"].unique()))
    findings: list[Finding] = []
    widgets: list[object] = []
    for attribute in ATTRIBUTES:
        column = groups[attribute]
        names = _judged(column)
        if len(names) < 2:
            continue
        members = {name: column.index[column == name] for name in names}
        shown = {name: _exposure(lists, ids, genres) for name, ids in members.items()}
        watched = {name: _exposure(last.seen, ids, genres) for name, ids in members.items()}
        findings.append(_exposure_finding(attribute, shown, watched))
        widgets.append(_exposure_table(attribute, genres.genres, shown, watched))
    return Examination(findings, widgets)


PARTS = (examine_service, examine_exposure)


def _groups(connection: Connection[DictRow], index: pd.Index) -> pd.DataFrame:
    groups = read_subscribers(connection)[list(ATTRIBUTES)]
    if groups.empty:
        raise MissingInputError("marts.dim_subscribers", "marts.dim_subscribers holds no subscriber yet")
    return groups.reindex(index).fillna("unknown")


def _judged(column: pd.Series) -> list[str]:
    sizes = column.value_counts()
    return sorted(str(name) for name, size in sizes.items() if size >= MINIMUM_GROUP and name != "unknown")


def _size_notes(attribute: str, column: pd.Series) -> list[Finding]:
    """Each group that is left out, with its size."""
    judged = _judged(column)
    return [
        note(
            f"{attribute} {name}",
            "group_size",
            float(size),
            "not known, so no group" if name == "unknown" else f"too few to judge ({MINIMUM_GROUP} are needed)",
        )
        for name, size in column.value_counts().items()
        if name not in judged
    ]


def _nothing_to_compare(attribute: str) -> Finding:
    detail = f"fewer than two groups of {MINIMUM_GROUP} subscribers: nothing to compare"
    return Finding(attribute, "ndcg_ratio", None, MINIMUM_FAIRNESS_RATIO, "warn", detail)


def _ratio_finding(found: GroupFairness, by_group: dict[str, report_page.Bar], beside: float | None) -> Finding:
    groups = ", ".join(f"{name} {value:.4f} ({found.group_sizes[name]})" for name, value in found.by_group.items())
    worst, best = (pick(found.by_group, key=found.by_group.__getitem__) for pick in (min, max))
    chance = "overlap" if by_group[worst].high >= by_group[best].low else "do not overlap"
    context = "" if beside is None else f"; {NEIGHBOURS}'s ratio is {beside:.2f}"
    detail = f"{groups}; the intervals of {worst} and {best} {chance}{context}"
    return judge_at_least(found.attribute, "ndcg_ratio", found.ratio, _RATIO_LIMITS, detail)


def _service_widgets(
    found: GroupFairness, ours: dict[str, report_page.Bar], theirs: dict[str, report_page.Bar]
) -> list[object]:
    title = found.attribute.replace("_", " ")
    rows = [
        (name, found.group_sizes[name], bar.value, f"{bar.low:.4f} to {bar.high:.4f}", theirs[name].value)
        for name, bar in ours.items()
    ]
    shown = [f"{name} ({found.group_sizes[name]})" for name in ours]
    series = {MARQUEE: list(ours.values()), NEIGHBOURS: list(theirs.values())}
    return [
        report_page.bars(f"NDCG@{K} by {title}", shown, series, f"NDCG@{K}"),
        report_page.table(
            f"{title.capitalize()}: ratio of the lowest to the highest {found.ratio:.2f}",
            ("group", "subscribers", f"NDCG@{K}", "95% interval", f"{NEIGHBOURS}'s NDCG@{K}"),
            rows,
        ),
    ]


def _bar(values: pd.Series) -> report_page.Bar:
    low, high = bootstrap_interval(values.to_numpy())
    return report_page.Bar(float(values.mean()), low, high)


def _exposure(rows: pd.DataFrame, subscriber_ids: pd.Index, genres: GenreTable) -> Shares:
    return genres.exposure(rows.loc[rows["subscriber_id"].isin(subscriber_ids), "content_id"])


def _exposure_finding(attribute: str, shown: dict[str, Shares], watched: dict[str, Shares]) -> Finding:
    """The largest distance between two groups' genres, beside the largest between their histories."""
    ours, theirs = _largest_distance(shown), _largest_distance(watched)
    detail = f"largest Jensen-Shannon distance between two groups' genres; of their own histories {theirs:.3f}"
    return judge_at_most(attribute, "genre_exposure_distance", ours, Limits(warn=theirs + _EXPOSURE_MARGIN), detail)


def _largest_distance(by_group: dict[str, Shares]) -> float:
    return max(float(distance.jensenshannon(one, other)) for one, other in combinations(by_group.values(), 2))


def _exposure_table(
    attribute: str, genres: tuple[str, ...], shown: dict[str, Shares], watched: dict[str, Shares]
) -> object:
    most = np.argsort(-np.sum(list(watched.values()), axis=0))[:_SHOWN_GENRES]
    return report_page.table(
        f"Genres shown by {attribute.replace('_', ' ')} (share of the group's own history)",
        ("genre", *shown),
        [
            (genres[genre], *(f"{shown[name][genre]:.1%} ({watched[name][genre]:.1%})" for name in shown))
            for genre in most.tolist()
        ],
    )
