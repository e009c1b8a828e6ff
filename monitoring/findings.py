"""What a check says: findings with a verdict each, and what is missing when there is nothing to look at.

In: measured values and limits. Out: `Finding`s, which `monitoring.verdicts` keeps as rows of ops.quality_verdicts.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from marquee.errors import MarqueeError

Kind = Literal["drift", "quality", "fairness", "freshness", "identity"]
VerdictName = Literal["pass", "warn", "fail"]

_FROM_WORST: tuple[VerdictName, ...] = ("fail", "warn", "pass")


@dataclass(frozen=True)
class Finding:
    """One figure of one subject, and whether it holds; `value` is none where there is nothing to measure."""

    subject: str
    metric: str
    value: float | None
    threshold: float | None
    verdict: VerdictName
    detail: str = ""


class MissingInputError(MarqueeError):
    """A check has nothing to look at; it becomes a finding of its own, so that the rest of the check goes on."""

    def __init__(self, subject: str, message: str, verdict: VerdictName = "warn") -> None:
        super().__init__(message)
        self.finding = Finding(subject, "availability", None, None, verdict, message)


@dataclass(frozen=True)
class Limits:
    """From where on a value is a warning, and from where on a failure; none means never."""

    warn: float | None = None
    fail: float | None = None


def judge_at_most(subject: str, metric: str, value: float, limits: Limits, detail: str = "") -> Finding:
    """A value that should be small: beyond a limit it counts."""
    return _judge(subject, metric, value, limits, detail, is_beyond=lambda limit: value > limit)


def judge_at_least(subject: str, metric: str, value: float, limits: Limits, detail: str = "") -> Finding:
    """A value that should be large: below a limit it counts."""
    return _judge(subject, metric, value, limits, detail, is_beyond=lambda limit: value < limit)


def note(subject: str, metric: str, value: float | None, detail: str = "") -> Finding:
    """A figure without a limit, kept for whoever compares runs."""
    return Finding(subject, metric, _number(value), None, "pass", detail)


def worst(verdicts: Iterable[str]) -> VerdictName:
    """The worst of some verdicts; `pass` where there are none."""
    found = set(verdicts)
    return next((verdict for verdict in _FROM_WORST if verdict in found), "pass")


@dataclass(frozen=True)
class Examination:
    """What a part of a check found, and the widgets that show it on the report's page."""

    findings: list[Finding]
    widgets: list[object] = field(default_factory=list)


def _judge(
    subject: str, metric: str, value: float, limits: Limits, detail: str, *, is_beyond: Callable[[float], bool]
) -> Finding:
    if math.isnan(value):
        return Finding(subject, metric, None, limits.warn, "warn", detail or "there is nothing to measure")
    if limits.fail is not None and is_beyond(limits.fail):
        return Finding(subject, metric, value, limits.fail, "fail", detail)
    if limits.warn is not None and is_beyond(limits.warn):
        return Finding(subject, metric, value, limits.warn, "warn", detail)
    nearest = limits.warn if limits.warn is not None else limits.fail
    return Finding(subject, metric, value, nearest, "pass", detail)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
