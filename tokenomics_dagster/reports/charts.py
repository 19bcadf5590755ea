"""Pictures as SVG inside a page: drawn by numbers alone, coloured by the page's own style, light or dark.

Places along a picture are percents of its width and texts are never scaled, so that a phone shows them as large as a
wide screen does. Every text is escaped; each picture has a title and a description that are read where it cannot be
seen. What is drawn, and why, is the pages'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

_WIDTH, _TALL = 720.0, 240.0
"""Of the box that a curve's points lie in, which is stretched to the picture."""
_TOP, _BOTTOM = 16.0, 26.0
_POINTS = 600
"""Points of a line that are drawn: a picture has no room for more."""
_TICKS = 5
"""Dates below a picture: more of them touch each other on a phone of 360 pixels."""
_LETTER = 0.024
"""Width of a digit of 13 pixels, 8 of them, as part of a picture on such a phone."""


class Line(NamedTuple):
    """A curve (T,), its name, and its class in the page's style (`c0` to `c3`)."""

    name: str
    values: Floats
    style: str


def lines(
    title: str, dates: Days, curves: Sequence[Line], *, log: bool, told: Callable[[float], str], what: str = ""
) -> str:
    """Curves over the same days (T,), `what` describes them; `told` writes a tick. Values that are not finite, or not
    above 0 on a log axis, leave a gap."""
    rows = np.unique(np.linspace(0, len(dates) - 1, _POINTS).round().astype(np.int64))
    scaled = [np.log(np.where(one.values > 0, one.values, np.nan)) if log else one.values for one in curves]
    finite = np.concatenate([one[np.isfinite(one)] for one in scaled])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    marks = np.linspace(low, high, 5).tolist() if log else _round_numbers(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    plot = []
    for one, values in zip(reversed(curves), reversed(scaled), strict=True):
        points = [(_x(dates, row), _y(float(values[row]), low, high)) for row in rows.tolist()]
        plot += [f'<path class="{one.style}" d="{path}"/>' for path in _paths(points)]
    words = {value: told(math.exp(value) if log else value) for value in marks}
    return _over_time(title, what, dates, plot, (low, high), words)


def area(title: str, dates: Days, values: Floats, told: Callable[[float], str], what: str = "") -> str:
    """What lies between 0 and values (T,) at or under it."""
    rows = np.unique(np.linspace(0, len(dates) - 1, _POINTS).round().astype(np.int64))
    # The deepest may lie between two points that are drawn.
    rows = np.unique(np.append(rows, int(np.argmin(values))))
    low = min(float(values.min()), -1e-9)
    marks = _round_numbers(low, 0.0)
    low = min(low, marks[0])
    points = [(_x(dates, row), _y(float(values[row]), low, 0.0)) for row in rows.tolist()]
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    top = _y(0.0, low, 0.0)
    plot = [f'<polygon class="fill" points="{points[0][0]:.1f},{top:.1f} {outline} {points[-1][0]:.1f},{top:.1f}"/>']
    return _over_time(title, what, dates, plot, (low, 0.0), {value: told(value) for value in marks})


def histogram(title: str, values: Floats, mark: float, told: Callable[[float], str], label: str, what: str = "") -> str:
    """How often values (S,) come, and where `mark` lies among them."""
    seen = values[np.isfinite(values)]
    low, high = float(min(seen.min(), mark)), float(max(seen.max(), mark))
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(seen, bins=40, range=(low, high))
    tall = 180.0
    parts = []
    for count, left in zip(counts.tolist(), edges[:-1].tolist(), strict=True):
        height = (tall - 50) * count / max(counts.max(), 1)
        parts.append(
            f'<rect class="bar" x="{_part(left, low, high)}" y="{tall - 24 - height:.1f}" width="2.3%" '
            f'height="{height:.1f}"/>'
        )
    x = _part(mark, low, high)
    side = "end" if 2 * mark > low + high else "start"
    parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="6" y2="{tall - 24:.1f}"/>')
    shift = -6 if side == "end" else 6
    parts.append(f'<text x="{x}" dx="{shift}" y="18" text-anchor="{side}" class="strong">{escape(label)}</text>')
    for at, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(
            f'<text x="{_part(at, low, high)}" y="{tall - 8:.1f}" text-anchor="{anchor}">{escape(told(at))}</text>'
        )
    return _svg(title, what, parts, tall)


class Span(NamedTuple):
    """A row of `spans`: what it is of, from where to where, where its figure lies, and what else lies on it."""

    label: str
    low: float
    high: float
    at: float
    others: Sequence[float] = ()


def spans(title: str, rows: Sequence[Span], told: Callable[[float], str], what: str = "") -> str:
    """A band for each row on one axis, its figure as a dot; what it is of stands above it."""
    ends = [value for row in rows for value in (row.low, row.high, row.at, 0.0) if math.isfinite(value)]
    low, high = min(ends), max(ends)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    step, bottom = 44.0, 44.0 * len(rows) + 20

    def at(value: float) -> str:
        return f"{1 + 97 * (value - low) / (high - low):.2f}%"

    parts = [f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="4" y2="{step * len(rows) + 4:.1f}"/>']
    for order, row in enumerate(rows):
        y = step * order + 34
        parts.append(f'<text x="0" y="{y - 14:.1f}">{escape(row.label)}</text>')
        if not all(math.isfinite(value) for value in (row.low, row.high, row.at)):
            continue
        wide = max(97 * (row.high - row.low) / (high - low), 0.2)
        parts.append(f'<text x="100%" y="{y - 14:.1f}" text-anchor="end" class="strong">{escape(told(row.at))}</text>')
        parts.append(f'<rect class="band" x="{at(row.low)}" y="{y - 6:.1f}" height="12" rx="3" width="{wide:.2f}%"/>')
        parts += [f'<circle class="other" cx="{at(one)}" cy="{y:.1f}" r="3"/>' for one in row.others]
        parts.append(f'<circle class="dot" cx="{at(row.at)}" cy="{y:.1f}" r="5"/>')
    parts.append(f'<text x="0" y="{bottom:.1f}">{escape(told(low))}</text>')
    parts.append(f'<text x="100%" y="{bottom:.1f}" text-anchor="end">{escape(told(high))}</text>')
    return _svg(title, what, parts, bottom + 8)


class Bar(NamedTuple):
    """A row of `bars`: its name, the lengths that follow each other, its figure in words, and where a mark lies."""

    label: str
    lengths: Sequence[float]
    text: str
    mark: float | None = None


def bars(title: str, rows: Sequence[Bar], *, most: float, what: str = "", above: bool = False) -> str:
    """Bars to the right on one axis from 0 to `most`, at least 0 each, in the styles `b0`, `b1`, ... one after another.

    `above`: long names stand above their bars, short ones beside them.
    """
    left, room, step = (0.0, 80.0, 38.0) if above else (21.0, 58.0, 22.0)
    scale = room / most if most > 0 else 0.0
    parts = []
    for order, row in enumerate(rows):
        y = step * order + (18 if above else 4)
        text = y - 5 if above else y + 12
        parts.append(f'<text x="0" y="{text:.0f}">{escape(row.label)}</text>')
        x = left
        for at, length in enumerate(row.lengths):
            wide = min(max(length * scale, 0.0), left + room - x)
            parts.append(f'<rect class="b{at}" x="{x:.2f}%" y="{y:.0f}" width="{wide:.2f}%" height="14"/>')
            x += wide
        if row.mark is not None:
            at_mark = left + min(row.mark * scale, room)
            parts.append(
                f'<line class="mark" x1="{at_mark:.2f}%" x2="{at_mark:.2f}%" y1="{y - 2:.0f}" y2="{y + 16:.0f}"/>'
            )
        parts.append(f'<text x="100%" y="{y + 12:.0f}" text-anchor="end" class="strong">{escape(row.text)}</text>')
    return _svg(title, what, parts, step * len(rows) + 6)


def _over_time(
    title: str,
    what: str,
    dates: Days,
    plot: Sequence[str],
    ends: tuple[float, float],
    marks: Mapping[float, str],
) -> str:
    """Lines across with what they stand for above them, the dates below, and the plot stretched behind."""
    parts, words = [], []
    for value, told in marks.items():
        y = _TOP + _y(value, *ends)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        words.append(f'<text x="0" y="{y - 4:.1f}">{escape(told)}</text>')
    for part, label in _ticks(dates):
        anchor = _anchor(part)
        words.append(
            f'<text x="{100 * part:.1f}%" y="{_TOP + _TALL + 18:.0f}" text-anchor="{anchor}">{escape(label)}</text>'
        )
    stretched = (
        f'<svg class="plot" x="0" y="{_TOP:.0f}" width="100%" height="{_TALL:.0f}" overflow="visible" '
        f'viewBox="0 0 {_WIDTH:.0f} {_TALL:.0f}" preserveAspectRatio="none">{"".join(plot)}</svg>'
    )
    return _svg(title, what, [*parts, stretched, *words], _TOP + _TALL + _BOTTOM)


def _round_numbers(low: float, high: float) -> list[float]:
    """Three to six of them, a step of 1, 2 or 5 apart, that hold all from `low` to `high`."""
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * one for one in (1, 2, 5, 10) if unit * one >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * one for one in range(first, last + 1)]


def _ticks(dates: Days) -> list[tuple[float, str]]:
    """The first day of each year; of a record within two, of each month; within ten weeks, single days. Evenly left
    out, and none that touches the one before. Each with where it lies, 0 to 1."""
    length = (dates[-1] - dates[0]) / np.timedelta64(1, "D")
    unit = "Y" if length > 700 else "M" if length > 70 else "D"
    periods = dates.astype(f"datetime64[{unit}]")
    firsts = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist()]
    firsts = [row for row in firsts if row == 0 or _x(dates, row) > 0.16 * _WIDTH]
    kept: list[tuple[float, str]] = []
    end = -1.0
    for row in firsts[:: max(1, math.ceil(len(firsts) / _TICKS))]:
        part = _x(dates, row) / _WIDTH
        label = str(dates[row].astype("datetime64[M]") if row == 0 and unit == "Y" else periods[row])
        wide = _LETTER * len(label)
        left = part - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[_anchor(part)]
        if left > end:
            kept.append((part, label))
            end = left + wide + _LETTER
    return kept


def _anchor(part: float) -> str:
    """What of a text lies at its place: at the edges it must not leave the picture."""
    return "start" if part < 0.05 else "end" if part > 0.95 else "middle"


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


def _x(dates: Days, row: int) -> float:
    """By the day, not by the row: records are not always a day apart."""
    length = (dates[-1] - dates[0]) / np.timedelta64(1, "D")
    return float(_WIDTH * ((dates[row] - dates[0]) / np.timedelta64(1, "D")) / max(length, 1e-9))


def _y(value: float, low: float, high: float) -> float:
    return _TALL * (high - value) / (high - low)


def _part(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"


def _svg(title: str, what: str, parts: Sequence[str], height: float) -> str:
    told = escape(title, quote=True)
    described = f"<desc>{escape(what)}</desc>" if what else ""
    return (
        f'<svg style="height:{height:.0f}px" role="img" aria-label="{told}"><title>{told}</title>{described}'
        f"{''.join(parts)}</svg>"
    )
