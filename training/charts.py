"""Charts of a model card as inline SVG: they need no script, no font and no file beside the page.

In: figures. Out: SVG text whose colours are the page's custom properties `--series-1` to `--series-6`, `--line` and
`--quiet`. A chart is an image with a title; the page has the same figures as a table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# beside the colours, for whoever does not see them apart
_DASHES = ("", "7 3", "2 3", "10 3 2 3", "5 2", "1 3")
_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 190, 16, 40
_LABEL_GAP = 18


@dataclass(frozen=True)
class LossPoint:
    """The mean training loss of one epoch (from 0) of one stage of a training run."""

    stage: str
    epoch: int
    loss: float


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its interval."""

    label: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Points from left to right, and what is written at their end."""

    label: str
    points: Sequence[tuple[float, float]]


def curves(title: str, drawn_curves: Sequence[Curve], across: str, places: dict[float, str], bottom: float) -> str:
    """A line a curve, named at its end, above an axis named `across` with a word at each of `places`.

    Args:
        bottom: where the axis of figures begins.
    """
    first, last = min(places), max(places)
    top = max(figure for curve in drawn_curves for _, figure in curve.points)
    width, height = (last - first) or 1.0, (top - bottom) or 1.0

    def x(place: float) -> float:
        return _LEFT + (place - first) / width * (_WIDTH - _LEFT - _RIGHT)

    def y(figure: float) -> float:
        return _TOP + (top - figure) / height * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [_line(_LEFT, y(value), _WIDTH - _RIGHT, y(value)) for value in _ticks(bottom, top)]
    drawn += [_text(_LEFT - 8, y(value) + 4, f"{value:.3g}", "end") for value in _ticks(bottom, top)]
    drawn += [_text(x(place), _HEIGHT - 18, word, "middle") for place, word in sorted(places.items())]
    drawn.append(_text((x(first) + x(last)) / 2, _HEIGHT - 2, across, "middle"))
    ends = _spread([y(curve.points[-1][1]) for curve in drawn_curves])
    for number, (curve, end) in enumerate(zip(drawn_curves, ends, strict=True)):
        colour = f"var(--series-{number % 6 + 1})"
        path = " ".join(f"{x(place):.1f},{y(figure):.1f}" for place, figure in curve.points)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5" '
            f'stroke-dasharray="{_DASHES[number % len(_DASHES)]}"/>'
        )
        right, down = x(curve.points[-1][0]), y(curve.points[-1][1])
        drawn.append(f'<circle cx="{right:.1f}" cy="{down:.1f}" r="3.5" fill="{colour}"/>')
        drawn.append(
            f'<polyline points="{right + 5:.1f},{down:.1f} {_WIDTH - _RIGHT + 8},{end:.1f}" fill="none" '
            f'stroke="{colour}" stroke-width="1" opacity=".5"/>'
        )
        drawn.append(_text(_WIDTH - _RIGHT + 12, end + 4, curve.label, "start"))
    return _image(title, _WIDTH, _HEIGHT, drawn)


def loss_curves(points: Sequence[LossPoint]) -> str:
    """A line for each stage over its epochs, named at its end."""
    stages = list(dict.fromkeys(point.stage for point in points))
    by_stage = {stage: [point for point in points if point.stage == stage] for stage in stages}
    starts = _starts(points)
    last = max(starts[point.stage] + point.epoch for point in points)
    said = "; ".join(f"{stage} from {of[0].loss:.3f} to {of[-1].loss:.3f}" for stage, of in by_stage.items())
    return curves(
        f"Training loss by epoch: {said}",
        [
            Curve(
                f"{stage}  {of_stage[-1].loss:.3f}", [(starts[stage] + point.epoch, point.loss) for point in of_stage]
            )
            for stage, of_stage in by_stage.items()
        ],
        "epoch",
        {epoch: str(epoch + 1) for epoch in (0, last // 2, last)},
        min(point.loss for point in points),
    )


def intervals(title: str, rows: Sequence[Interval], highlighted: str) -> str:
    """A point and its interval a line, on an axis from zero; `highlighted` names the row in another colour."""
    row_height, left, right = 30, 170, 60
    top = max(row.high for row in rows) or 1.0
    height = row_height * len(rows) + 34

    def x(value: float) -> float:
        return left + value / top * (_WIDTH - left - right)

    base = height - 28
    drawn = [_line(x(value), 4, x(value), base) for value in _ticks(0.0, top)]
    drawn += [_text(x(value), height - 8, f"{value:.3g}", "middle") for value in _ticks(0.0, top)]
    for number, row in enumerate(rows):
        down = row_height * number + 18
        colour = "var(--series-1)" if row.label == highlighted else "var(--quiet)"
        drawn.append(_text(left - 12, down + 4, row.label, "end"))
        drawn.append(
            f'<path d="M{x(row.low):.1f} {down - 6}v12M{x(row.low):.1f} {down}H{x(row.high):.1f}'
            f'M{x(row.high):.1f} {down - 6}v12" stroke="{colour}" stroke-width="2" fill="none"/>'
        )
        drawn.append(f'<circle cx="{x(row.value):.1f}" cy="{down}" r="6" fill="{colour}"/>')
    said = "; ".join(f"{row.label} {row.value:.4f}, from {row.low:.4f} to {row.high:.4f}" for row in rows)
    return _image(f"{title}: {said}", _WIDTH, height, drawn)


def small_interval(value: float, low: float, high: float, beside: float, top: float) -> str:
    """The same for a table's cell, with a tick at `beside`; no title, since the cells next to it say the figures."""
    width, height = 180, 18

    def x(figure: float) -> float:
        return 4 + figure / (top or 1.0) * (width - 8)

    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'{_line(4, 9, width - 4, 9)}<path d="M{x(low):.1f} 9H{x(high):.1f}" stroke="var(--series-1)" '
        f'stroke-width="5" stroke-linecap="round" opacity=".45"/><circle cx="{x(value):.1f}" cy="9" r="4.5" '
        f'fill="var(--series-1)"/><path d="M{x(beside):.1f} 2v14" stroke="var(--text)" stroke-width="2"/></svg>'
    )


def _image(title: str, width: int, height: int, drawn: Sequence[str]) -> str:
    frame = f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="chart"'
    return f"<svg {frame}>{''.join(drawn)}</svg>"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="var(--line)"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" xml:space="preserve">{escape(text)}</text>'


def _ticks(bottom: float, top: float) -> list[float]:
    """Round figures from `bottom` to `top`: about five steps of 1, 2 or 5 and zeros."""
    rough = (top - bottom) / 5 or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [number * step for number in range(math.ceil(bottom / step), math.floor(top / step) + 1)]


def _starts(points: Sequence[LossPoint]) -> dict[str, int]:
    """At which epoch each stage begins: where the stage before it of the same split (`split: stage`) ended."""
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for point in points:
        split = point.stage.partition(":")[0]
        starts.setdefault(point.stage, ends.get(split, 0))
        ends[split] = starts[point.stage] + point.epoch + 1
    return starts


def _spread(places: Sequence[float]) -> list[float]:
    """Where each label stands, in the order of the lines' ends and not over another."""
    found = list(places)
    free = float(_TOP)
    order = sorted(range(len(places)), key=lambda number: places[number])
    for number in order:
        found[number] = max(places[number], free)
        free = found[number] + _LABEL_GAP
    free = float(_HEIGHT - _BOTTOM)
    for number in reversed(order):
        found[number] = min(found[number], free)
        free = found[number] - _LABEL_GAP
    return found
