"""Drift: do subscribers' features still look as they did when the champion was trained, and does traffic look as it did
the month before.

In: the champion's reference features, the present ones, interactions of two windows of 28 days. Out: a finding a column
with its score, one for the share of drifted columns. The scores are distances, not p-values, so that they mean the same
for a hundred subscribers and a million: 0.1 is a tenth of the reference's standard deviation (numbers), or a
Jensen-Shannon distance of 0.1 (categories). A month of other traffic warns; only features fail, since only they age a
model.
"""

from datetime import datetime

import numpy as np
import pandas as pd
from evidently import DataDefinition
from evidently.presets import DataDriftPreset
from psycopg import Connection
from psycopg.rows import DictRow
from scipy.spatial import distance

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Finding, Limits, MissingInputError, judge_at_most
from monitoring.warehouse import TRAFFIC_WINDOW, find_champion, read_present_features, read_traffic, require_tables

COLUMN_LIMIT = 0.1
# of the columns: one that moves alone is a campaign or a new kind of title, many together are another audience
SHARE_LIMIT = 0.35

_NUMBERS = (
    "interaction_count_7d", "interaction_count_28d", "interaction_count", "mean_watched_fraction_28d",
    "distinct_genre_count_28d",
)  # fmt: skip
_CATEGORIES = ("top_genre", "last_device_type", "age_band", "gender", "plan", "region", "lifecycle_stage")
_TASTE = "genre_affinity"
# below this, two samples of the same people differ by more than the limit
_MINIMUM_ROWS = 100


def examine_features(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Present features beside those that the champion was trained on."""
    champion = find_champion(connection, as_of, settings)
    reference = champion.read_frame("reference_features.parquet")
    current = read_present_features(connection, as_of)
    _require_rows("subscriber features", reference, current)
    scores = _Scores.of(_typed(reference, _NUMBERS, _CATEGORIES), _typed(current, _NUMBERS, _CATEGORIES))
    detail = f"beside the features of {champion.model_version}"
    findings = [_column_finding(column, score, detail) for column, score in scores.by_column.items()]
    findings.append(_column_finding(_TASTE, _taste_distance(reference, current), detail))
    findings.append(_share_finding(findings))
    intro = report_page.text(
        f"Reference: the features of {len(reference):,} subscribers when {champion.model_version} was trained "
        f"({champion.trained_at:%-d %B %Y}). Current: those of {len(current):,} subscribers. The share of drifted "
        f"columns above counts `{_TASTE}` too, a vector that Evidently's table leaves out.",
        "Features",
    )
    return Examination(findings, [intro, *scores.widgets])


def examine_traffic(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """What was watched on which devices in the last 28 days, beside the 28 days before."""
    del settings
    require_tables(connection, "marts.fct_interactions")
    current, reference = read_traffic(connection, as_of), read_traffic(connection, as_of - TRAFFIC_WINDOW)
    _require_rows("traffic", reference, current)
    categories = ("device_type", "interaction_type")
    numbers = ("watched_fraction",)
    scores = _Scores.of(_typed(reference, numbers, categories), _typed(current, numbers, categories))
    detail = "the last 28 days beside the 28 before"
    findings = [
        judge_at_most(f"traffic {column}", "drift_score", score, Limits(warn=COLUMN_LIMIT), detail)
        for column, score in scores.by_column.items()
    ]
    intro = report_page.text(
        f"Reference: {len(reference):,} interactions of the 28 days before. "
        f"Current: {len(current):,} interactions of the last 28 days.",
        "Traffic",
    )
    return Examination(findings, [intro, *scores.widgets])


PARTS = (examine_features, examine_traffic)


class _Scores:
    """Evidently's drift score of each column, and its table with both distributions."""

    def __init__(self, by_column: dict[str, float], widgets: list[object]) -> None:
        self.by_column = by_column
        self.widgets = widgets

    @classmethod
    def of(cls, reference: pd.DataFrame, current: pd.DataFrame) -> "_Scores":
        columns = [column for column in reference if reference[column].notna().any() and current[column].notna().any()]
        numbers = [column for column in columns if pd.api.types.is_numeric_dtype(reference[column])]
        definition = DataDefinition(
            numerical_columns=numbers, categorical_columns=[column for column in columns if column not in numbers]
        )
        preset = DataDriftPreset(
            drift_share=SHARE_LIMIT,
            num_method="wasserstein",
            cat_method="jensenshannon",
            num_threshold=COLUMN_LIMIT,
            cat_threshold=COLUMN_LIMIT,
        )
        snapshot = report_page.run_report([preset], current[columns], reference[columns], definition)
        found = {
            str(metric["config"]["column"]): float(metric["value"])
            for metric in snapshot.dict()["metrics"]
            if metric["config"]["type"].endswith(":ValueDrift")
        }
        # a column that has become empty on either side cannot be measured, and is said to be so
        by_column = {str(column): found.get(str(column), float("nan")) for column in reference}
        return cls(by_column, report_page.widgets_of(snapshot))


def _typed(frame: pd.DataFrame, numbers: tuple[str, ...], categories: tuple[str, ...]) -> pd.DataFrame:
    """The compared columns as floats and texts; a missing category is one of its own, a missing column stays empty."""
    frame = frame.reindex(columns=[*numbers, *categories])
    typed: dict[str, pd.Series] = {
        column: pd.to_numeric(frame[column], errors="coerce").astype(float) for column in numbers
    }
    for column in categories:
        values = frame[column].astype(object)
        typed[column] = values.where(values.notna(), "none").astype(str) if values.notna().any() else values
    return pd.DataFrame(typed)


def _taste_distance(reference: pd.DataFrame, current: pd.DataFrame) -> float:
    """Jensen-Shannon distance between the mean shares of genres."""
    before, now = (_mean_vector(frame.get(_TASTE, pd.Series(dtype=object))) for frame in (reference, current))
    if before is None or now is None or len(before) != len(now):
        return float("nan")
    return float(distance.jensenshannon(before, now))


def _mean_vector(vectors: pd.Series) -> np.ndarray | None:
    kept = [np.asarray(vector, dtype=float) for vector in vectors if vector is not None and not np.isscalar(vector)]
    return np.mean(kept, axis=0) if kept and len({len(vector) for vector in kept}) == 1 else None


def _column_finding(column: str, score: float, detail: str) -> Finding:
    return judge_at_most(column, "drift_score", score, Limits(warn=COLUMN_LIMIT), detail)


def _share_finding(findings: list[Finding]) -> Finding:
    drifted = sorted(finding.subject for finding in findings if finding.verdict != "pass")
    detail = f"drifted: {', '.join(drifted)}" if drifted else "no column drifted"
    share = len(drifted) / len(findings)
    return judge_at_most("all columns", "drifted_share", share, Limits(fail=SHARE_LIMIT), detail)


def _require_rows(subject: str, reference: pd.DataFrame, current: pd.DataFrame) -> None:
    for side, frame in (("before", reference), ("now", current)):
        if len(frame) < _MINIMUM_ROWS:
            raise MissingInputError(
                subject, f"{len(frame)} rows {side}; below {_MINIMUM_ROWS} chance alone looks like drift"
            )
