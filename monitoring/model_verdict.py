"""The page of a model's verdict: what was decided on a training run's version, why, and every figure behind it.

In: the run's checks and verdict. Out: an HTML file among the reports, and its path with the verdict.
"""

from collections.abc import Sequence

from marquee import database
from marquee.settings import Settings
from monitoring import report_files, report_page
from monitoring.findings import Finding, VerdictName
from monitoring.warehouse import is_simulated
from training import checks, registry, verdicts
from training.checks import Check
from training.verdicts import ModelVerdict

_FINDINGS: dict[str, VerdictName] = {"pass": "pass", "warn": "warn", "hold": "warn", "reject": "fail"}
_FOLLOWS = {
    "promote": "It takes the champion's place.",
    "hold": "Nothing is proven against it, but not enough for it: the champion goes on serving.",
    "reject": "It never serves: the champion goes on serving.",
}


def write_page(run_key: str, settings: Settings) -> str:
    """Draw the page of a run's verdict and return its path below the reports folder; drawing again replaces it.

    Raises:
        training.verdicts.VerdictError: the run has no verdict.
    """
    with database.connect(settings) as connection:
        verdict = verdicts.of_run(connection, run_key)
        found = checks.read(connection, run_key)
        figures = registry.ndcg(connection, verdict.model_version)
        head = report_page.PageHead(
            f"Model {verdict.model_version}",
            run_key,
            f"{verdict.decided_at:%-d %B %Y, %H:%M %Z}",
            is_simulated(connection),
            verdict.verdict,
            _words(verdict),
        )
        findings = [
            Finding(f"{check.step}: {check.subject}", check.metric, check.value, check.threshold,
                    _FINDINGS[check.outcome], check.detail)
            for check in found
            if not _is_group(check)
        ]  # fmt: skip
        widgets = [_models(figures), *_groups(found), _all_figures(found)]
        report = report_files.write(report_page.render(head, findings, widgets), "model_verdict", run_key, settings)
        connection.execute("update ops.model_verdicts set report = %s where run_key = %s", (report, run_key))
    return report


def _words(verdict: ModelVerdict) -> str:
    beside = f"The champion was {verdict.champion_version}." if verdict.champion_version else "No version served."
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    return f"**{verdict.verdict.capitalize()}.** {_FOLLOWS[verdict.verdict]} {beside}\n\n{reasons}"


def _models(figures: dict[tuple[str, str], registry.Figure]) -> object:
    protocols = sorted({protocol for protocol, _ in figures})
    models = list(dict.fromkeys(model for _, model in figures))
    empty = registry.Figure(0.0, 0.0, 0.0)
    series = {protocol: [_bar(figures.get((protocol, model), empty)) for model in models] for protocol in protocols}
    return report_page.bars("NDCG@10 by model", models, series, "NDCG@10")


def _bar(figure: registry.Figure) -> report_page.Bar:
    return report_page.Bar(figure.value, figure.low, figure.high)


def _groups(found: Sequence[Check]) -> list[object]:
    """A chart for each attribute and metric: the groups with their intervals."""
    widgets: list[object] = []
    for ratio in sorted(found, key=lambda check: check.subject):
        if ratio.step != "fairness" or ratio.value is None or _is_group(ratio):
            continue
        metric = ratio.metric.removesuffix("_ratio")
        groups = sorted(
            (check for check in found if _is_group(check) and check.metric == metric
             and check.subject.split(" ", 1)[0] == ratio.subject),
            key=lambda check: check.subject,
        )  # fmt: skip
        labels = [f"{group.subject.split(' ', 1)[1]} ({group.detail.split(' ')[0]})" for group in groups]
        bars = [report_page.Bar(group.value or 0.0, group.low or 0.0, group.high or 0.0) for group in groups]
        axis = "different titles" if metric == "coverage" else f"{metric}@10"
        widgets.append(
            report_page.bars(
                f"{axis.capitalize()} by {ratio.subject.replace('_', ' ')}: ratio {ratio.value:.2f} "
                f"({ratio.low:.2f} to {ratio.high:.2f})",
                labels,
                {"marquee": bars},
                axis,
                is_half=True,
            )
        )
    return widgets


def _all_figures(found: Sequence[Check]) -> object:
    return report_page.table(
        "Every figure",
        ("step", "outcome", "subject", "metric", "value", "low", "high", "limit"),
        [
            (check.step, check.outcome, check.subject, check.metric.replace("_", " "), check.value, check.low,
             check.high, check.threshold)
            for check in found
        ],
    )  # fmt: skip


def _is_group(check: Check) -> bool:
    """One group's figure, beside the ratio of all."""
    return check.step == "fairness" and not check.metric.endswith("_ratio")
