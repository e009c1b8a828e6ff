"""Draws a check's page: Evidently's reports and widgets in one HTML file that needs nothing from elsewhere.

In: frames and metrics for Evidently, tables and bars of our own. Out: widgets, and the text of the page. Nothing is
sent anywhere: Evidently's telemetry belongs to its own server, which is not loaded, and is switched off all the same.
"""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go  # type: ignore[import-untyped]
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import render_widgets
from evidently.core.report import Snapshot
from evidently.legacy.renderers.html_widgets import (
    CounterData,
    WidgetSize,
    counter,
    group_widget,
    plotly_figure,
    table_data,
    text_widget,
)

from monitoring.findings import Finding, worst

# read by Evidently's telemetry whenever it would send something
os.environ.setdefault("DO_NOT_TRACK", "1")

# pixels that Evidently keeps free for a plot
_PLOT_PLACE = 450
# Evidently's cards cut off what is wider than a phone; here it scrolls in its card
_NARROW = ".MuiGrid-root { min-width: 0; max-width: 100%; } .MuiPaper-root { overflow-x: auto !important; }"
_COLOURS = ("#2f5d8a", "#c98a2b", "#8a8f98", "#5b8a5b")
_FROM_WORST = {"fail": 0, "warn": 1, "pass": 2}
_SIMULATED = (
    "**Simulated data.** Events in this warehouse are simulated: the people with their devices, plans, consents and "
    "emails, and in the demo the articles and podcasts. What the demo's people watched is MovieLens-100k's."
)


@dataclass(frozen=True)
class Bar:
    """A mean and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PageHead:
    """What stands above a check's widgets."""

    title: str
    run_key: str
    as_of: str
    is_simulated: bool
    # where it is not the worst of the findings
    verdict: str | None = None
    # Markdown that stands above the findings
    summary: str = ""


def run_report(
    metrics: Sequence[object],
    current: pd.DataFrame,
    reference: pd.DataFrame | None,
    definition: DataDefinition,
    train: pd.DataFrame | None = None,
) -> Snapshot:
    """Let Evidently measure `current` beside `reference`; `train` is what ranking metrics know novelty from."""

    def dataset(frame: pd.DataFrame) -> Dataset:
        return Dataset.from_pandas(frame, data_definition=definition)

    return Report(metrics, include_tests=False).run(
        dataset(current),
        None if reference is None else dataset(reference),
        additional_data=None if train is None else {"current_train_data": dataset(train)},
    )


def widgets_of(snapshot: Snapshot) -> list[object]:
    """Everything that Evidently draws of a report."""
    return list(snapshot.to_snapshot_model().widgets)


def text(markdown: str, title: str = "") -> object:
    return text_widget(text=markdown, title=title)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> object:
    return table_data(title=title, column_names=list(columns), data=[[_shown(cell) for cell in row] for row in rows])


def bars(
    title: str, groups: Sequence[str], series: Mapping[str, Sequence[Bar]], axis: str, *, is_half: bool = False
) -> object:
    """Grouped bars with their intervals: a bar of each series for each group; two half ones stand side by side."""
    figure = go.Figure(
        [
            go.Bar(
                name=name,
                x=list(groups),
                y=[bar.value for bar in of_series],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [bar.high - bar.value for bar in of_series],
                    "arrayminus": [bar.value - bar.low for bar in of_series],
                },
                marker_color=colour,
            )
            for (name, of_series), colour in zip(series.items(), _COLOURS, strict=False)
        ]
    )
    figure.update_layout(barmode="group", yaxis_title=axis, showlegend=True, template="plotly_white")
    return plotly_figure(title=title, figure=figure, size=WidgetSize.HALF if is_half else WidgetSize.FULL)


def ranges(title: str, labels: Sequence[str], values: Sequence[Bar], axis: str, reference: float) -> object:
    """A point and its interval a line, the first on top, beside a line at `reference`."""
    figure = go.Figure(
        go.Scatter(
            x=[bar.value for bar in values],
            y=list(labels),
            mode="markers",
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [bar.high - bar.value for bar in values],
                "arrayminus": [bar.value - bar.low for bar in values],
            },
            marker={"color": _COLOURS[0], "size": 10},
        )
    )
    figure.add_vline(x=reference, line_dash="dot", line_color=_COLOURS[2])
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(
        xaxis_title=axis,
        showlegend=False,
        template="plotly_white",
        height=max(_PLOT_PLACE, 80 + 36 * len(labels)),
        margin={"t": 10, "b": 60},
    )
    return plotly_figure(title=title, figure=figure)


def render(head: PageHead, findings: Sequence[Finding], widgets: Sequence[object]) -> str:
    """The whole page: verdict, findings from the worst on, then the widgets."""
    ordered = sorted(findings, key=lambda finding: (_FROM_WORST[finding.verdict], finding.subject, finding.metric))
    verdict = head.verdict or worst(finding.verdict for finding in findings)
    counts = [
        CounterData(label=name, value=str(sum(finding.verdict == name for finding in findings)))
        for name in ("pass", "warn", "fail")
    ]
    above = [
        counter(counters=[CounterData(label=head.title, value=f"Verdict: {verdict}"), *counts]),
        text(f"Run `{head.run_key}`, as of {head.as_of}."),
        *([text(head.summary)] if head.summary else []),
        *([text(_SIMULATED)] if head.is_simulated else []),
        table(
            "Findings",
            ("verdict", "subject", "metric", "value", "limit", "detail"),
            [(f.verdict, f.subject, f.metric.replace("_", " "), f.value, f.threshold, f.detail) for f in ordered],
        ),
    ]
    page: str = render_widgets([group_widget(title="", widgets=[*above, *widgets])])
    title = html.escape(f"{head.title}: {verdict}")
    above_all = f"<head>\n<title>{title}</title>\n<style>{_NARROW}</style>"
    return page.replace("<html>", '<html lang="en">', 1).replace("<head>", above_all, 1)


def _shown(cell: object) -> str:
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
