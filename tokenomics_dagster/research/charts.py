"""Pictures of a result as SVG inside a page: drawn by numbers alone, coloured by the page's own style, light or dark.

Every text is escaped; each picture has a title that is read where it cannot be seen. What is drawn, and why, is
tear_sheet.py's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from tokenomics_dagster.research.panel import Days, Floats

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720.0, 300.0, 62.0, 12.0, 10.0, 26.0
_POINTS = 600
"""Points of a line that are drawn: a picture of 720 has no room for more."""


class Line(NamedTuple):
    """A curve (T,), its name, and its class in the page's style (`c0` to `c3`)."""

    name: str
    values: Floats
    style: str


def lines(title: str, dates: Days, curves: Sequence[Line], *, log: bool, told: Callable[[float], str]) -> str:
    """Curves over the same sessions; `told` writes a tick. Values that are not finite, or not above 0 on a log axis,
    leave a gap."""
    rows = np.unique(np.linspace(0, len(dates) - 1, _POINTS).round().astype(np.int64))
    scaled = [np.log(np.where(one.values > 0, one.values, np.nan)) if log else one.values for one in curves]
    finite = np.concatenate([one[np.isfinite(one)] for one in scaled])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    parts = _frame(low, high, dates, lambda value: told(math.exp(value) if log else value))
    for one, values in zip(reversed(curves), reversed(scaled), strict=True):
        points = [(_x(row, len(dates)), _y(float(values[row]), low, high)) for row in rows.tolist()]
        parts += [f'<path class="{one.style}" d="{path}"/>' for path in _paths(points)]
    return _svg(title, parts)


def area(title: str, dates: Days, values: Floats, told: Callable[[float], str]) -> str:
    """What lies between 0 and values (T,) at or under it."""
    rows = np.unique(np.linspace(0, len(dates) - 1, _POINTS).round().astype(np.int64))
    # The deepest may lie between two points that are drawn.
    rows = np.unique(np.append(rows, int(np.argmin(values))))
    low = min(float(values.min()), -1e-9)
    parts = _frame(low, 0.0, dates, told)
    points = [(_x(row, len(dates)), _y(float(values[row]), low, 0.0)) for row in rows.tolist()]
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    top = _y(0.0, low, 0.0)
    parts.append(
        f'<polygon class="fill" points="{points[0][0]:.1f},{top:.1f} {outline} {points[-1][0]:.1f},{top:.1f}"/>'
    )
    return _svg(title, parts)


def histogram(title: str, values: Floats, mark: float, told: Callable[[float], str], label: str) -> str:
    """How often values (S,) come, and where `mark` lies among them."""
    seen = values[np.isfinite(values)]
    low, high = float(min(seen.min(), mark)), float(max(seen.max(), mark))
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(seen, bins=40, range=(low, high))
    tall = 180.0
    wide = _WIDTH - 2 * _RIGHT
    parts = []
    for count, left in zip(counts.tolist(), edges[:-1].tolist(), strict=True):
        height = (tall - 50) * count / max(counts.max(), 1)
        x = _RIGHT + wide * (left - low) / (high - low)
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{tall - 24 - height:.1f}" width="{wide / 40 - 1:.1f}" '
            f'height="{height:.1f}"/>'
        )
    x = _RIGHT + wide * (mark - low) / (high - low)
    side = "end" if x > _WIDTH / 2 else "start"
    parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{tall - 24:.1f}"/>')
    shift = -6 if side == "end" else 6
    parts.append(f'<text x="{x + shift:.1f}" y="18" text-anchor="{side}" class="strong">{escape(label)}</text>')
    for at, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        where = _RIGHT + wide * (at - low) / (high - low)
        parts.append(f'<text x="{where:.1f}" y="{tall - 8:.1f}" text-anchor="{anchor}">{escape(told(at))}</text>')
    return _svg(title, parts, height=tall)


class Span(NamedTuple):
    """A row of `spans`: what it is of, from where to where, where its figure lies, and what else lies on it."""

    label: str
    low: float
    high: float
    at: float
    others: Sequence[float] = ()


def spans(title: str, rows: Sequence[Span], told: Callable[[float], str]) -> str:
    """A band for each row on one axis, its figure as a dot."""
    ends = [value for row in rows for value in (row.low, row.high, row.at, 0.0) if math.isfinite(value)]
    low, high = min(ends), max(ends)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    left, step = 190.0, 30.0
    wide = _WIDTH - left - 70

    def at(value: float) -> float:
        return left + wide * (value - low) / (high - low)

    parts = [f'<line class="zero" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="4" y2="{step * len(rows) + 4:.1f}"/>']
    for order, row in enumerate(rows):
        y = step * order + 20
        parts.append(f'<text x="{left - 12:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(row.label))}</text>')
        if not all(math.isfinite(value) for value in (row.low, row.high, row.at)):
            continue
        parts.append(
            f'<rect class="band" x="{at(row.low):.1f}" y="{y - 6:.1f}" height="12" rx="3" '
            f'width="{max(at(row.high) - at(row.low), 1):.1f}"/>'
        )
        parts += [f'<circle class="other" cx="{at(one):.1f}" cy="{y:.1f}" r="3"/>' for one in row.others]
        parts.append(f'<circle class="dot" cx="{at(row.at):.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text x="{at(max(row.high, row.at)) + 9:.1f}" y="{y + 4:.1f}">{escape(told(row.at))}</text>')
    bottom = step * len(rows) + 22
    parts.append(f'<text x="{at(low):.1f}" y="{bottom:.1f}" text-anchor="start">{escape(told(low))}</text>')
    parts.append(f'<text x="{at(high):.1f}" y="{bottom:.1f}" text-anchor="end">{escape(told(high))}</text>')
    return _svg(title, parts, height=bottom + 8)


def _frame(low: float, high: float, dates: Days, told: Callable[[float], str]) -> list[str]:
    """Four lines across with what they stand for, and the years below."""
    parts = []
    for value in np.linspace(low, high, 5).tolist():
        y = _y(value, low, high)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(told(value))}</text>')
    for row, label in _ticks(dates):
        x = _x(row, len(dates))
        anchor = "start" if row == 0 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{label}</text>')
    return parts


def _ticks(dates: Days) -> list[tuple[int, str]]:
    """The first session of each year or, of a record within two, of each month; at most nine, evenly left out."""
    unit = "Y" if (dates[-1] - dates[0]) / np.timedelta64(1, "D") > 700 else "M"
    periods = dates.astype(f"datetime64[{unit}]")
    firsts = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist()]
    firsts = [row for row in firsts if row == 0 or row > len(dates) * 0.07]
    kept = firsts[:: max(1, math.ceil(len(firsts) / 9))]
    return [(row, str(dates[row].astype("datetime64[M]") if row == 0 else periods[row])) for row in kept]


def _paths(points: Sequence[tuple[float, float]]) -> list[str]:
    """A path for each stretch without a gap."""
    found: list[str] = []
    stretch: list[str] = []
    for x, y in [*points, (math.nan, math.nan)]:
        if math.isfinite(y):
            stretch.append(f"{'L' if stretch else 'M'}{x:.1f} {y:.1f}")
        elif stretch:
            found.append("".join(stretch))
            stretch = []
    return found


def _x(row: int, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * row / max(count - 1, 1)


def _y(value: float, low: float, high: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)


def _short(text: str) -> str:
    return text if len(text) <= 28 else text[:26] + "..."


def _svg(title: str, parts: Sequence[str], height: float = _HEIGHT) -> str:
    told = escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{told}"><title>{told}</title>'
        f"{''.join(parts)}</svg>"
    )
