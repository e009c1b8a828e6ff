"""The model card of a version: what it is for and not for, what it learnt from, how good and how even it is, and where
it fails; one HTML page that needs nothing from elsewhere.

In: what training knows of the version. Out: the page's text; `export` puts it into the artefact. The order of the
sections is that of Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993).
"""

import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import ModuleType

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from feature_repo.candidates import FRESH_DAYS, FRESH_SHARE, TRENDING_SHARE
from training import charts, ranker, towers
from training.charts import Interval, LossPoint
from training.evaluation import K, MetricRow
from training.manifest import CARD, LOSSES, Manifest
from training.ranker import HEADS
from training.segments import ATTRIBUTES, MODEL, PROTOCOL, SegmentRow, Segments

_PROTOCOLS = {
    "loo": ("Leave-last-out", "The last interaction of each subscriber with two or more is to be found."),
    "temporal": ("Temporal", "What happened after a moment is to be found, of whoever was there before it."),
}
# the four-fifths rule of the US employment guidelines (29 CFR 1607.4)
_EVEN_RATIO = 0.8


@dataclass(frozen=True)
class DataSummary:
    """How much a version learnt from, and how much of it was simulated.

    Attributes:
        contents: by content type, all and simulated ones.
    """

    interaction_count: int
    simulated_interaction_count: int
    subscriber_count: int
    simulated_subscriber_count: int
    contents: dict[str, tuple[int, int]]

    @property
    def is_simulated(self) -> bool:
        return bool(
            self.simulated_interaction_count
            or self.simulated_subscriber_count
            or any(simulated for _, simulated in self.contents.values())
        )


@dataclass(frozen=True)
class Quality:
    """One protocol's metrics by model: the figures at K by name, best NDCG first."""

    name: str
    meaning: str
    user_count: int
    models: dict[str, dict[str, MetricRow]]
    chart: str


def summarise(interactions: pd.DataFrame, contents: pd.DataFrame, subscribers: pd.DataFrame) -> DataSummary:
    """Count what the frames of a training set hold."""
    people = interactions["subscriber_id"].unique()
    simulated = subscribers.loc[subscribers["is_simulated"].astype(bool), "subscriber_id"]
    by_type = contents.groupby("content_type")["is_simulated"].agg(["size", "sum"])
    return DataSummary(
        len(interactions),
        int(interactions["is_simulated"].sum()),
        len(people),
        int(pd.Series(people).isin(simulated).sum()),
        {str(name): (int(row["size"]), int(row["sum"])) for name, row in by_type.iterrows()},
    )


def documents(
    manifest: Manifest, metrics: list[MetricRow], segments: Segments, losses: list[LossPoint], data: DataSummary
) -> dict[str, str]:
    """The card and the figures that it is drawn from, as files of the artefact: their text by path."""
    return {
        CARD: render(manifest, metrics, segments, losses, data),
        LOSSES: json.dumps([asdict(point) for point in losses]),
        "evaluation/segments.json": json.dumps(asdict(segments)),
        "data.json": json.dumps(asdict(data)),
    }


def render(
    manifest: Manifest, metrics: list[MetricRow], segments: Segments, losses: list[LossPoint], data: DataSummary
) -> str:
    """The card's page."""
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["words"] = _words
    environment.globals["small_interval"] = charts.small_interval
    environment.filters["listed"] = _listed
    known = [row for row in segments.rows if row.value is not None]
    # of the ranker's inputs none is about the person
    personal_inputs = [name for name in str(manifest.parameters["profile_columns"]).split(", ") if name]
    return environment.get_template("model_card.html.j2").render(
        manifest=manifest,
        data=data,
        k=K,
        model=MODEL,
        qualities=_qualities(metrics),
        headline=_headline(metrics),
        is_composed=any(row.model == "marquee_composed" for row in metrics),
        foreseen=_foreseen(metrics),
        personal_inputs=personal_inputs,
        other_attributes=[name for name in ATTRIBUTES if name not in personal_inputs],
        trending_count=round(manifest.candidate_count * TRENDING_SHARE),
        fresh_count=round(manifest.candidate_count * FRESH_SHARE),
        fresh_days=FRESH_DAYS,
        descriptions=[_description(module) for module in (towers, ranker)],
        dimensions=_by_dimension(segments.rows),
        top=max((row.high or 0.0 for row in known), default=1.0),
        worst=min(known, key=lambda row: row.value or 0.0, default=None),
        behind=[row for row in known if (row.value or 0.0) < (row.beside or 0.0)],
        segments=segments,
        even_ratio=_EVEN_RATIO,
        losses=losses,
        loss_chart=charts.loss_curves(losses) if losses else "",
    )


def _qualities(metrics: list[MetricRow]) -> list[Quality]:
    found = []
    for protocol, (name, meaning) in _PROTOCOLS.items():
        by_model: dict[str, dict[str, MetricRow]] = {}
        for row in metrics:
            if (row.protocol, row.k) == (protocol, K):
                by_model.setdefault(row.model, {})[row.metric] = row
        if not by_model:
            continue
        ordered = dict(sorted(by_model.items(), key=lambda pair: -pair[1]["ndcg"].value))
        rows = [
            Interval(model, row.value, row.low or row.value, row.high or row.value)
            for model, row in ((model, figures["ndcg"]) for model, figures in ordered.items())
        ]
        user_count = next(iter(ordered.values()))["ndcg"].user_count
        chart = charts.intervals(f"NDCG@{K} by model, {name.lower()}", rows, MODEL)
        found.append(Quality(name, meaning, user_count, ordered, chart))
    return found


def _foreseen(metrics: list[MetricRow]) -> list[tuple[str, str, dict[str, float]]]:
    """By protocol and head: how true its probabilities are."""
    values = {(row.protocol, row.metric): row.value for row in metrics if row.model == MODEL}
    return [
        (name, head, {figure: values[protocol, f"{head}_{figure}"] for figure in ("ece", "brier", "base_brier", "auc")})
        for protocol, (name, _) in _PROTOCOLS.items()
        for head in HEADS
        if (protocol, f"{head}_ece") in values
    ]


def _headline(metrics: list[MetricRow]) -> dict[str, MetricRow]:
    """The re-ranker's figures on the protocol that the segments are of."""
    return {row.metric: row for row in metrics if (row.protocol, row.model, row.k) == (PROTOCOL, MODEL, K)}


def _by_dimension(rows: list[SegmentRow]) -> dict[str, list[SegmentRow]]:
    found: dict[str, list[SegmentRow]] = {}
    for row in rows:
        found.setdefault(row.dimension, []).append(row)
    return found


def _words(name: str) -> str:
    """A name of the warehouse for people: `age_band` as "age band", `25_34` as "25 to 34"."""
    return re.sub(r"(?<=\d)_(?=\d)", " to ", name).replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    """Names of the warehouse in a sentence: "age band, gender and region"."""
    *first, last = map(_words, names)
    return f"{', '.join(first)} and {last}" if first else last


def _description(module: ModuleType) -> str:
    """The first paragraph in which a module says what it is, so that the card says what the code does."""
    return " ".join((inspect.getdoc(module) or "").split("\n\n")[0].replace("`", "").split())
