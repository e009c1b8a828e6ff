"""What a version must hold to serve: a clean batch, quality beside baselines, fairness, no loss to the champion of
quality or evenness.

In: a run's training set, a registered version, the limits of gate.yml. Out: rows of ops.model_checks, a step's at a
time. A step can run again alone; `training.verdicts` sums them up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import structlog

from marquee import database
from marquee.settings import Settings
from training import checks, fairness, poisoning, registry
from training.checks import EVENNESS, Check, Outcome, Step
from training.evaluation import K, as_shown
from training.metrics import bootstrap_interval
from training.thresholds import BatchThresholds, FairnessThresholds, Thresholds, load_thresholds

_log = structlog.get_logger()
_PROTOCOL, _MODEL = "loo", "marquee"
_NDCG = f"ndcg@{K}"


def check_version(step: Step, run_key: str, model_version: str, settings: Settings) -> Outcome:
    """Run one step, keep what it found, and return its worst outcome.

    Raises:
        registry.RegistryError: the version is not there.
        pipeline.TrainingDataError: the step needs the run's training set, and it is gone.
        thresholds.ThresholdsError: the file of the limits is wrong.
    """
    run = _Run(run_key, model_version, load_thresholds(settings.gate_file), settings)
    found = _STEPS[step](run)
    with database.connect(settings) as connection:
        checks.replace(connection, run_key, step, found)
    for check in found:
        if check.outcome != "pass":
            _log.warning("gate.concern", step=step, outcome=check.outcome, subject=check.subject, detail=check.detail)
    return max((check.outcome for check in found), key=checks.OUTCOMES.index)


@dataclass(frozen=True)
class _Run:
    run_key: str
    model_version: str
    thresholds: Thresholds
    settings: Settings


def check_batch(run: _Run) -> list[Check]:
    """How much of the training set was set aside as poison, in all and of what the champion has not seen."""
    from training import pipeline  # brings torch along

    sifted, _ = pipeline.read_training_set(run.run_key, run.settings)
    with database.connect(run.settings) as connection:
        serving = registry.champion(connection)
        since = None if serving is None else registry.find(connection, serving).data_until
    return batch_checks(sifted, since, run.thresholds.batch)


def batch_checks(sifted: poisoning.Sifted, since: datetime | None, limits: BatchThresholds) -> list[Check]:
    """A figure for each reason, and the shares that decide; `since` is the end of the champion's data."""
    by_reason = {name: sifted.aside[sifted.aside["reason"] == name] for name in poisoning.REASONS}
    found = [
        Check(
            "batch", name, "set_aside_count", "pass", float(len(rows)),
            detail=f"{poisoning.REASONS[name]}; of {rows['subscriber_id'].nunique():,} subscribers",
        )
        for name, rows in by_reason.items()
    ]  # fmt: skip
    said = ", ".join(f"{len(rows):,} {name.replace('_', ' ')}" for name, rows in by_reason.items() if len(rows))
    found.append(_share("training set", len(sifted.aside), len(sifted.kept), said, limits))
    if since is not None:
        aside, kept = (int((frame["occurred_at"] > since).sum()) for frame in (sifted.aside, sifted.kept))
        if aside + kept >= limits.least_new_interactions:
            found.append(_share("new since the champion", aside, kept, said, limits))
    return found


def _share(subject: str, aside: int, kept: int, said: str, limits: BatchThresholds) -> Check:
    share, levels = aside / max(aside + kept, 1), limits.set_aside_share
    outcome: Outcome = "reject" if share > levels.fail else "warn" if share > levels.warn else "pass"
    detail = f"{aside:,} of {aside + kept:,} interactions ({share:.2%}) were set aside"
    detail += f" ({said} in all)" if said else ""
    if outcome == "reject":
        detail = f"poisoned batch: {detail}; at most {levels.fail:.2%} may be. Find where they come from first"
    threshold = levels.fail if outcome == "reject" else levels.warn
    return Check("batch", subject, "set_aside_share", outcome, share, threshold=threshold, detail=detail)


def check_quality(run: _Run) -> list[Check]:
    """NDCG@10 beside the declared baselines: worse for certain rejects, worse within chance holds."""
    with database.connect(run.settings) as connection:
        figures = registry.ndcg(connection, run.model_version)
    baselines = run.thresholds.quality
    found = []
    for protocol, baseline in (("loo", baselines.loo), ("temporal", baselines.temporal)):
        # a short history has no calendar split
        if (protocol, _MODEL) not in figures:
            continue
        ours, theirs = figures[protocol, _MODEL], figures[protocol, baseline]
        outcome: Outcome = "pass" if ours.value >= theirs.value else "reject" if ours.high < theirs.value else "hold"
        words = {"pass": "at least", "hold": "below, though perhaps by chance:", "reject": "clearly below"}[outcome]
        detail = f"{_NDCG} {protocol} {ours.value:.4f} ({ours.low:.4f} to {ours.high:.4f}) is {words} {baseline}'s"
        found.append(
            Check(
                "quality", f"{protocol} beside {baseline}", _NDCG, outcome, ours.value, ours.low, ours.high,
                theirs.value, f"{detail} {theirs.value:.4f}",
            )
        )  # fmt: skip
    return found


def check_fairness(run: _Run) -> list[Check]:
    """Each attribute's ratio of the worst to the best served group, of every declared metric, and the groups' own."""
    folder = registry.artefact_dir(run.model_version, run.settings) / "evaluation"
    topk, relevant = (pd.read_parquet(folder / f"{name}.parquet") for name in ("topk", "relevant"))
    lists = as_shown(topk[(topk["protocol"] == _PROTOCOL) & (topk["rank"] <= K)])
    limits = run.thresholds.fairness
    with database.connect(run.settings) as connection:
        groups = fairness.read_groups(connection, registry.find(connection, run.model_version).trained_at, limits)
    return fairness_checks(lists, relevant[relevant["protocol"] == _PROTOCOL], groups, limits)


def fairness_checks(
    lists: pd.DataFrame, relevant: pd.DataFrame, groups: pd.DataFrame, limits: FairnessThresholds
) -> list[Check]:
    """See `check_fairness`; `groups` by subscriber_id, a column an attribute."""
    found = []
    for ratio in fairness.ratios(lists, relevant, groups, limits):
        if isinstance(ratio, fairness.NotComparable):
            found.append(Check("fairness", ratio.attribute, f"{ratio.metric}_ratio", "warn", detail=ratio.reason))
            continue
        levels = limits.attributes[ratio.attribute][ratio.metric]
        outcome = fairness.judge(ratio, levels)
        found.append(
            Check(
                "fairness", ratio.attribute, f"{ratio.metric}_ratio", outcome, ratio.ratio, ratio.low, ratio.high,
                levels.fail if outcome == "reject" else levels.warn, fairness.in_words(ratio, levels),
            )
        )  # fmt: skip
        found.extend(
            Check(
                "fairness", f"{ratio.attribute} {name}", ratio.metric, "pass", group.value, group.low, group.high,
                detail=f"{group.size} subscribers",
            )
            for name, group in ratio.by_group.items()
        )  # fmt: skip
    return found


def check_champion(run: _Run) -> list[Check]:
    """The champion beside the version, on the same window where there is one."""
    with database.connect(run.settings) as connection:
        serving = registry.champion(connection)
        if serving is None:
            return [_about_champion("pass", "no version serves yet: there is nothing to compare with")]
        if serving == run.model_version:
            return [_about_champion("pass", "it serves already")]
        if registry.has_served(connection, run.model_version):
            return [
                _about_champion(
                    "hold",
                    f"it served before, and {serving} was put in its place; `marquee models promote "
                    f"{run.model_version}` brings it back",
                )
            ]
        champion, version = registry.find(connection, serving), registry.find(connection, run.model_version)
        if champion.data_until > version.data_until:
            return [
                _about_champion(
                    "hold",
                    f"the champion {serving} knows data until {champion.data_until:%Y-%m-%d %H:%M}, "
                    f"this version only until {version.data_until:%Y-%m-%d %H:%M}",
                )
            ]
        ours, theirs = (registry.ndcg(connection, name)[_PROTOCOL, _MODEL] for name in (run.model_version, serving))
    from training.champion import same_window  # brings torch along

    limits = run.thresholds.champion
    window = same_window(run.run_key, run.model_version, serving, champion.data_until, run.settings)
    problem = "" if window.problem is None else f"; it could not be asked again: {window.problem}"
    if len(window.ours) >= limits.least_subscribers:
        with database.connect(run.settings) as connection:
            groups = fairness.read_groups(connection, version.trained_at, run.thresholds.fairness)
        return [
            _on_same_window(serving, window.ours, window.theirs, window.asked_count, problem, limits.tolerance),
            *evenness_checks(window.ours, window.theirs, groups, run.thresholds),
        ]
    few = f"only {len(window.ours)} subscribers can be compared on the same window{problem}; each on its own"
    return [_on_own_windows(serving, ours, theirs, few, limits.tolerance)]


def _about_champion(outcome: Outcome, detail: str) -> Check:
    return Check("champion", "champion", "comparison", outcome, detail=detail)


def _on_same_window(
    serving: str, ours: pd.Series, theirs: pd.Series, asked_count: int, problem: str, tolerance: float
) -> Check:
    difference = float((ours - theirs).mean())
    low, high = bootstrap_interval((ours - theirs).to_numpy())
    limit = -tolerance * float(theirs.mean())
    outcome: Outcome = "pass" if difference >= limit else "reject" if high < 0 else "hold"
    detail = (
        f"{_NDCG} {ours.mean():.4f} beside the champion's {theirs.mean():.4f} on the last interactions of the same "
        f"{len(ours):,} subscribers ({asked_count:,} of them newer than its data): {difference:+.4f} "
        f"({low:+.4f} to {high:+.4f}){problem}; {_WORDS[outcome]}"
    )
    return Check("champion", f"beside {serving}", f"{_NDCG}_difference", outcome, difference, low, high, limit, detail)


def evenness_checks(ours: pd.Series, theirs: pd.Series, groups: pd.DataFrame, thresholds: Thresholds) -> list[Check]:
    """How evenly a version serves the groups of each attribute beside the champion; what has no two groups is left out.

    Args:
        ours, theirs: (E,) NDCG of the same subscribers, by subscriber_id.
        groups: by subscriber_id, a column an attribute.
    """
    limits, drop = thresholds.fairness, thresholds.champion.ratio_drop
    columns = groups.reindex(ours.index).fillna(fairness.UNKNOWN)
    found = []
    for attribute, levels in limits.attributes.items():
        if "ndcg" not in levels:
            continue
        change = fairness.ratio_change(ours, theirs, attribute, columns[attribute], limits.least_subscribers)
        if change is None:
            continue
        outcome: Outcome = "hold" if change.high < -drop else "pass"
        detail = (
            f"{'' if outcome == 'hold' else 'not '}clearly less even than the champion by {attribute}: the worst "
            f"served group's {_NDCG} is {change.ours:.2f} of the best served group's, "
            f"with the champion {change.theirs:.2f}: {change.difference:+.2f} ({change.low:+.2f} to {change.high:+.2f})"
        )
        found.append(
            Check(
                "champion", attribute, EVENNESS, outcome, change.difference, change.low, change.high, -drop, detail
            )
        )  # fmt: skip
    return found


def _on_own_windows(serving: str, ours: registry.Figure, theirs: registry.Figure, few: str, tolerance: float) -> Check:
    limit = theirs.value * (1 - tolerance)
    outcome: Outcome = "pass" if ours.value >= limit else "reject" if ours.high < theirs.low else "hold"
    detail = (
        f"{few}: {_NDCG} {ours.value:.4f} ({ours.low:.4f} to {ours.high:.4f}) beside the champion's {theirs.value:.4f} "
        f"({theirs.low:.4f} to {theirs.high:.4f}); {_WORDS[outcome]}"
    )
    return Check("champion", f"beside {serving}", _NDCG, outcome, ours.value, ours.low, ours.high, limit, detail)


_WORDS: dict[Outcome, str] = {
    "pass": "not below what is tolerated",
    "hold": "below what is tolerated, though perhaps by chance",
    "reject": "clearly worse",
}
_STEPS: dict[Step, Callable[[_Run], list[Check]]] = {
    "batch": check_batch,
    "quality": check_quality,
    "fairness": check_fairness,
    "champion": check_champion,
}
