"""Fairness: does the champion serve every group of subscribers alike, and does it show them alike?

In: the champion's leave-last-out lists, the subscribers' groups, the limits of the gate. Out: each ratio of the worst
to the best served group as the gate has it, the groups' figures with intervals, and how far apart the groups' genres
are beside how far apart their own histories were.
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
from monitoring.findings import Examination, Finding, Limits, MissingInputError, VerdictName, judge_at_most, note
from monitoring.recommendations import MARQUEE, NEIGHBOURS, Evaluation, GenreTable
from monitoring.warehouse import find_champion, read_contents, require_tables
from training import fairness
from training.evaluation import K
from training.fairness import UNKNOWN, GroupRatio, NotComparable
from training.thresholds import FairnessThresholds, load_thresholds

_VERDICTS: dict[str, VerdictName] = {"pass": "pass", "warn": "warn", "reject": "fail"}
# lists concentrate on few genres, so groups drift apart in them; this much beyond their histories is a warning
_EXPOSURE_MARGIN = 0.1
_SHOWN_GENRES = 10

Shares = NDArray[np.float64]


def examine_service(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Quality and coverage of each group of subscribers, and the ratio of the lowest to the highest."""
    champion = find_champion(connection, as_of, settings)
    limits = load_thresholds(settings.gate_file).fairness
    last = Evaluation.read(champion, "loo")
    groups = _groups(connection, champion.trained_at, limits)
    findings = [
        size for name in limits.attributes for size in _size_notes(name, _of_listed(groups, last)[name], limits)
    ]
    ours = fairness.ratios(last.as_shown(), last.relevant, groups, limits)
    theirs = fairness.ratios(last.of_model(NEIGHBOURS), last.relevant, groups, limits)
    widgets = [
        report_page.text(
            f"NDCG and recall at {K} on each subscriber's last interaction; coverage is how many different titles the "
            "lists of equally many subscribers of each group show. The figure is the worst served group's over the "
            f"best served group's; groups below {limits.least_subscribers} and `{UNKNOWN}` are left out. A limit "
            "counts where the whole 95% interval lies below it.",
            "Quality and coverage by group",
        )
    ]
    for found, beside in zip(ours, theirs, strict=True):
        if isinstance(found, NotComparable):
            findings.append(Finding(found.attribute, f"{found.metric}_ratio", None, None, "warn", found.reason))
            continue
        findings.append(_ratio_finding(found, beside, limits))
        widgets.extend(_service_widgets(found, beside))
    return Examination(findings, widgets)


def examine_exposure(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Genres shown to each group, beside the genres of the group's own history."""
    champion = find_champion(connection, as_of, settings)
    limits = load_thresholds(settings.gate_file).fairness
    last = Evaluation.read(champion, "loo")
    genres = GenreTable.of(read_contents(connection))
    lists = last.as_shown()
    groups = _of_listed(_groups(connection, champion.trained_at, limits), last)
    findings: list[Finding] = []
    widgets: list[object] = []
    for attribute in limits.attributes:
        column = groups[attribute]
        names = fairness.judged_groups(column, limits.least_subscribers)
        if len(names) < 2:
            continue
        members = {name: column.index[column == name] for name in names}
        shown = {name: _exposure(lists, ids, genres) for name, ids in members.items()}
        watched = {name: _exposure(last.seen, ids, genres) for name, ids in members.items()}
        findings.append(_exposure_finding(attribute, shown, watched))
        widgets.append(_exposure_table(attribute, genres.genres, shown, watched))
    return Examination(findings, widgets)


PARTS = (examine_service, examine_exposure)


def _groups(connection: Connection[DictRow], at: datetime, limits: FairnessThresholds) -> pd.DataFrame:
    require_tables(connection, "marts.dim_subscribers")
    groups = fairness.read_groups(connection, at, limits)
    if groups.empty:
        raise MissingInputError("marts.dim_subscribers", "marts.dim_subscribers holds no subscriber yet")
    return groups


def _of_listed(groups: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """The groups of whom a list was made."""
    return groups.reindex(pd.Index(evaluation.relevant["subscriber_id"].unique())).fillna(UNKNOWN)


def _size_notes(attribute: str, column: pd.Series, limits: FairnessThresholds) -> list[Finding]:
    """Each group that is left out, with its size."""
    judged = fairness.judged_groups(column, limits.least_subscribers)
    return [
        note(
            f"{attribute} {name}",
            "group_size",
            float(size),
            "not known, so no group"
            if name == UNKNOWN
            else f"too few to judge ({limits.least_subscribers} are needed)",
        )
        for name, size in column.value_counts().items()
        if name not in judged
    ]


def _ratio_finding(found: GroupRatio, beside: GroupRatio | NotComparable, limits: FairnessThresholds) -> Finding:
    levels = limits.attributes[found.attribute][found.metric]
    verdict = _VERDICTS[fairness.judge(found, levels)]
    context = f"; {NEIGHBOURS}'s ratio is {beside.ratio:.2f}" if isinstance(beside, GroupRatio) else ""
    return Finding(
        found.attribute,
        f"{found.metric}_ratio",
        found.ratio,
        levels.fail if verdict == "fail" else levels.warn,
        verdict,
        fairness.in_words(found, levels) + context,
    )


def _service_widgets(ours: GroupRatio, theirs: GroupRatio | NotComparable) -> list[object]:
    metric = "different titles" if ours.metric == "coverage" else f"{ours.metric}@{K}"
    title = f"{metric} by {ours.attribute.replace('_', ' ')}"
    series = {MARQUEE: [report_page.Bar(group.value, group.low, group.high) for group in ours.by_group.values()]}
    if isinstance(theirs, GroupRatio):
        series[NEIGHBOURS] = [report_page.Bar(group.value, group.low, group.high) for group in theirs.by_group.values()]
    shown = [f"{name} ({group.size})" for name, group in ours.by_group.items()]
    heading = f"{title}: ratio of the lowest to the highest {ours.ratio:.2f} ({ours.low:.2f} to {ours.high:.2f})"
    return [report_page.bars(heading[0].upper() + heading[1:], shown, series, metric, is_half=True)]


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
