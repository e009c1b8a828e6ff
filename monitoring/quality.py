"""Quality: how good, how wide and how varied the champion's lists are, beside the baselines, overall and by segment.

In: the champion's evaluation, the catalogue, the subscribers' segments. Out: findings, and Evidently's ranking metrics
of Marquee beside item-kNN. What serving answered lately is examined by `monitoring.live_quality`.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from evidently import DataDefinition, Recsys
from evidently.core.metric_types import Metric
from evidently.metrics.recsys import MRR, NDCG, HitRate, Novelty, Personalization, PopularityBiasMetric
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring import live_quality, profiles, report_page
from monitoring.findings import Examination, Finding, Limits, judge_at_least, note
from monitoring.recommendations import MARQUEE, NEIGHBOURS, POPULARITY, Evaluation, GenreTable
from monitoring.warehouse import find_champion, read_contents, read_subscribers
from training.evaluation import K
from training.metrics import bootstrap_interval

# of the catalogue; in the demo popularity reaches 0.06 of it, by leaving out what a subscriber has seen, item-kNN 0.13
_COVERAGE_LIMIT = 0.2
# lists may be this much less varied than item-kNN's before it is a warning
_DIVERSITY_SHARE = 0.75
_PERSONALIZATION_LIMIT = 0.5
# a smaller segment's mean is noise
_LEAST_SUBSCRIBERS = 30
_SEGMENTS = ("lifecycle_stage", "plan", "activity")
_ACTIVITY_BANDS = {"light (under 30)": 0, "regular (30 to 99)": 30, "heavy (100 or more)": 100}


def examine_offline(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Marquee beside item-kNN and popularity on the held-out interactions."""
    champion = find_champion(connection, as_of, settings)
    contents = read_contents(connection)
    last = Evaluation.read(champion, "loo")
    calendar = Evaluation.read(champion, "temporal")
    genres = GenreTable.of(contents)
    catalogue_size = int((~contents["is_simulated"]).sum()) or len(contents)
    summaries = {model: _summarise(last, model, genres, catalogue_size) for model in last.models()}
    evidently = _Evidently(last, contents)
    findings = [
        _beside_neighbours(last),
        _beside_popularity(calendar),
        *_breadth_findings(summaries),
        *evidently.findings(),
    ]
    widgets = [
        report_page.text(
            f"Champion {champion.model_version}, trained {champion.trained_at:%-d %B %Y}. NDCG@{K} with 95% bootstrap "
            "intervals over subscribers. `loo`: each subscriber's last interaction is to be found. `temporal`: all "
            "after a date.",
            "Offline quality",
        ),
        _model_bars(last, calendar),
        report_page.table(
            "Breadth of the lists (loo)",
            ("model", f"coverage@{K}", "genre diversity in a list"),
            [(model, summary.coverage, summary.diversity) for model, summary in summaries.items()],
        ),
        report_page.text(
            f"Evidently's ranking metrics on `loo`: current is {MARQUEE}, reference is {NEIGHBOURS}.", "Ranking metrics"
        ),
        *evidently.widgets,
    ]
    return Examination(findings, widgets)


def examine_segments(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """NDCG of Marquee and item-kNN by lifecycle stage, plan and activity; a segment that clearly loses is a warning."""
    champion = find_champion(connection, as_of, settings)
    last = Evaluation.read(champion, "loo")
    ours, theirs = last.ndcg(MARQUEE), last.ndcg(NEIGHBOURS)
    segments = _segments(read_subscribers(connection), last, ours.index)
    findings: list[Finding] = []
    widgets: list[object] = []
    for attribute in _SEGMENTS:
        column = segments[attribute]
        by_name = {
            str(name): (ours[column == name], theirs[column == name]) for name in sorted(column.unique().tolist())
        }
        findings.extend(_segment_finding(attribute, name, *values) for name, values in by_name.items())
        widgets.append(_segment_bars(attribute, by_name))
    return Examination(findings, widgets)


PARTS = (
    examine_offline,
    examine_segments,
    live_quality.examine_answers,
    profiles.examine_contents,
    profiles.examine_paths,
)


@dataclass(frozen=True)
class _Summary:
    coverage: float
    diversity: float


def _summarise(evaluation: Evaluation, model: str, genres: GenreTable, catalogue_size: int) -> _Summary:
    lists = evaluation.of_model(model)
    return _Summary(lists["content_id"].nunique() / catalogue_size, float(genres.list_diversity(lists).mean()))


def _beside_neighbours(evaluation: Evaluation) -> Finding:
    ours, theirs = (float(evaluation.ndcg(model).mean()) for model in (MARQUEE, NEIGHBOURS))
    return judge_at_least(
        MARQUEE, f"ndcg@{K}_loo", ours, Limits(fail=theirs), f"the limit is {NEIGHBOURS} on the same subscribers"
    )


def _beside_popularity(evaluation: Evaluation) -> Finding:
    ours = evaluation.ndcg(MARQUEE)
    theirs = float(evaluation.ndcg(POPULARITY).mean())
    _, high = bootstrap_interval(ours.to_numpy())
    detail = (
        f"upper bound of {ours.mean():.4f}; the limit is {POPULARITY} on the same {len(ours)} subscribers: so few that "
        "only a clear loss counts"
    )
    return judge_at_least(MARQUEE, f"ndcg@{K}_temporal_upper_bound", high, Limits(fail=theirs), detail)


def _breadth_findings(summaries: dict[str, _Summary]) -> list[Finding]:
    ours = summaries[MARQUEE]
    limit = _DIVERSITY_SHARE * summaries[NEIGHBOURS].diversity if NEIGHBOURS in summaries else None
    return [
        judge_at_least(
            MARQUEE, f"coverage@{K}", ours.coverage, Limits(warn=_COVERAGE_LIMIT), "share of the catalogue in any list"
        ),
        judge_at_least(
            MARQUEE,
            "genre_diversity",
            ours.diversity,
            Limits(warn=limit),
            f"within a list; the limit is {_DIVERSITY_SHARE:.0%} of {NEIGHBOURS}'s",
        ),
    ]


class _Evidently:
    """Evidently's ranking metrics: their values for Marquee and item-kNN, and their widgets."""

    def __init__(self, evaluation: Evaluation, contents: pd.DataFrame) -> None:
        self.values: dict[str, tuple[float, float]] = {}
        self.widgets: list[object] = []
        titles = contents["title"] + " [" + contents.index + "]"
        train = _named(evaluation.seen, titles).assign(target=1, prediction=0.0)
        ours, theirs = (_with_misses(evaluation, model, titles) for model in (MARQUEE, NEIGHBOURS))
        self._measure((NDCG(k=K), MRR(k=K), HitRate(k=K)), ours, theirs, train)
        # these count every row as shown, so the misses stay out
        shown = (Personalization(k=K), Novelty(k=K), PopularityBiasMetric(k=K))
        self._measure(shown, _without_misses(ours), _without_misses(theirs), train)

    def _measure(
        self, metrics: tuple[Metric, ...], ours: pd.DataFrame, theirs: pd.DataFrame, train: pd.DataFrame
    ) -> None:
        definition = DataDefinition(
            numerical_columns=["prediction", "target"],
            categorical_columns=["user_id", "item_id"],
            ranking=[Recsys(recommendations_type="rank")],
        )
        snapshot = report_page.run_report(metrics, ours, theirs, definition, train=train)
        for metric in metrics:
            here, beside = (
                snapshot.context.get_metric_result(metric),
                snapshot.context.get_reference_metric_result(metric.metric_id),
            )
            self.values[type(metric).__name__] = (_at_k(here), _at_k(beside))
        self.widgets.extend(report_page.widgets_of(snapshot))

    def findings(self) -> list[Finding]:
        ours, theirs = self.values["Personalization"]
        beside = f"{NEIGHBOURS}: {{:.4g}}"
        return [
            judge_at_least(
                MARQUEE, "personalization", ours, Limits(warn=_PERSONALIZATION_LIMIT), beside.format(theirs)
            ),
            note(MARQUEE, "novelty", self.values["Novelty"][0], beside.format(self.values["Novelty"][1])),
            note(
                MARQUEE,
                "mean_popularity",
                self.values["PopularityBiasMetric"][0],
                "subscribers who had consumed a listed title; " + beside.format(self.values["PopularityBiasMetric"][1]),
            ),
        ]


def _with_misses(evaluation: Evaluation, model: str, titles: pd.Series) -> pd.DataFrame:
    """A model's lists with what they should have held and do not, below the last place.

    Evidently takes the ideal list, and who counts at all, from the rows that it sees.
    """
    key = ["subscriber_id", "content_id"]
    lists = evaluation.of_model(model)[[*key, "rank"]]
    rows = lists.merge(evaluation.relevant[key].assign(target=1), on=key, how="outer")
    rows["target"] = rows["target"].fillna(0).astype(int)
    rows["prediction"] = rows.pop("rank").fillna(K + 1).astype("int64")
    return _named(rows, titles, "target", "prediction")


def _without_misses(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["prediction"] <= K]


def _named(rows: pd.DataFrame, titles: pd.Series, *others: str) -> pd.DataFrame:
    names = rows["content_id"].map(titles).fillna(rows["content_id"])
    return rows[list(others)].assign(user_id=rows["subscriber_id"], item_id=names)


def _at_k(result: object) -> float:
    """A figure of Evidently's: a number, or a table with a row for each length of list."""
    value = result.to_dict()["value"]  # type: ignore[attr-defined]
    return float(value["value"][K - 1]) if isinstance(value, dict) else float(value)


def _model_bars(last: Evaluation, calendar: Evaluation) -> object:
    models = last.models()
    series = {e.protocol: [_bar(e.ndcg(model)) for model in models] for e in (last, calendar)}
    return report_page.bars(f"NDCG@{K} by model", models, series, f"NDCG@{K}")


def _bar(values: pd.Series) -> report_page.Bar:
    low, high = bootstrap_interval(values.to_numpy())
    return report_page.Bar(float(values.mean()), low, high)


def _segments(subscribers: pd.DataFrame, evaluation: Evaluation, index: pd.Index) -> pd.DataFrame:
    """lifecycle stage, plan and activity band of the subscribers in `index`."""
    known = evaluation.seen.groupby("subscriber_id").size().reindex(index).fillna(0)
    bands = np.array(list(_ACTIVITY_BANDS))
    at = np.searchsorted(list(_ACTIVITY_BANDS.values()), known.to_numpy(), side="right") - 1
    segments = subscribers[["lifecycle_stage", "plan"]].reindex(index).fillna("unknown")
    return segments.assign(activity=bands[at])


def _segment_finding(attribute: str, name: str, ours: pd.Series, theirs: pd.Series) -> Finding:
    subject, metric, size = f"{attribute} {name}", f"ndcg@{K}_loo_upper_bound", len(ours)
    if size < _LEAST_SUBSCRIBERS:
        return note(subject, metric, None, f"{size} subscribers, too few to judge ({_LEAST_SUBSCRIBERS} are needed)")
    bar = _bar(ours)
    detail = f"upper bound of {bar.value:.4f} over {size} subscribers; the limit is {NEIGHBOURS} in this segment"
    return judge_at_least(subject, metric, bar.high, Limits(warn=float(theirs.mean())), detail)


def _segment_bars(attribute: str, by_name: dict[str, tuple[pd.Series, pd.Series]]) -> object:
    return report_page.bars(
        f"NDCG@{K} by {attribute.replace('_', ' ')}",
        [f"{name} ({len(ours)})" for name, (ours, _) in by_name.items()],
        {
            MARQUEE: [_bar(ours) for ours, _ in by_name.values()],
            NEIGHBOURS: [_bar(theirs) for _, theirs in by_name.values()],
        },
        f"NDCG@{K}",
    )
