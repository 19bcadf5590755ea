"""Plots of one materialization as PNG bytes: what is drawn, and how it looks. Where it is shown is the asset's choice.

Pure: the same input gives the same bytes, whatever the user's matplotlibrc says. Missing and infinite figures are left
out; without any figure left the picture says so. Dark on white of its own, so that it reads on a dark page, too. At
most 40 KB as base64 and 0.2 s each. From several threads at once: one after the other, for matplotlib is not made for
more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Floats = NDArray[np.float64]

_INK, _GRID, _GREY, _BLUE, _ORANGE = "#1f2933", "#e3e7ec", "#9aa5b1", "#2f6db3", "#d9660b"
_WIDTH, _HEIGHT, _DPI = 8.0, 4.4, 100  # inches, inches, pixels per inch
_INKED = (
    ("text", "color"), ("axes", "edgecolor"), ("axes", "labelcolor"), ("axes", "titlecolor"), ("xtick", "color"),
    ("ytick", "color"),
)  # fmt: skip
_COLOURS = 32  # of the palette
_LABEL = 30  # characters
_BARS, _INDUSTRIES, _NAMES, _DOTS = 30, 16, 25, 1_500  # drawn at most

# What lies beyond is drawn at the edge: an axis over 600 powers of ten shows nothing, and overflows.
_CAPS_MUSD = (1e-3, 1e9)
_SHARES = (-10.0, 10.0)
_POINTS = (0.0, 100.0)

_drawing = threading.Lock()
# A home that cannot be written costs a run 0.3 s for a list of fonts in a temporary folder, nothing to warn about.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def score_distribution(scores: ArrayLike, last: ArrayLike = ()) -> bytes:
    """Histogram of `scores` (points, 0 to 100), with the outline of the `last` snapshot's scaled to as many stocks."""
    found, before = (points[np.isfinite(points)] for points in (_floats(scores, _POINTS), _floats(last, _POINTS)))

    def draw(axes: Axes) -> None:
        bins = range(0, 101, 5)
        axes.hist(found, bins=bins, color=_BLUE, edgecolor="white", label=f"now: {len(found):,} stocks")
        if len(before):
            share = np.full(len(before), len(found) / len(before))
            axes.hist(
                before, bins=bins, weights=share, histtype="step", color=_ORANGE, linewidth=1.8,
                label=f"last snapshot: {len(before):,}, scaled",
            )  # fmt: skip
        axes.axvline(np.median(found), color=_INK, linestyle="--", linewidth=1, label=f"median {np.median(found):.1f}")
        axes.set_xlim(0, 100)

    return _png(draw, "Scores", "score, points", "stocks, number", drawn=len(found) > 0)


def weight_bars(weights: Mapping[str, float], cap: float) -> bytes:
    """The 30 largest target weights by symbol, with the line that none may pass; both as shares of equity, 0 to 1."""
    listed = _largest(weights)
    top = listed[:_BARS]

    def draw(axes: Axes) -> None:
        axes.bar(range(len(top)), [100 * weight for _, weight in top], color=_BLUE)
        axes.axhline(100 * cap, color=_ORANGE, linewidth=1.8, label=f"cap {100 * cap:g} %")
        axes.set_xticks(range(len(top)), [_label(symbol) for symbol, _ in top], rotation=90)

    return _png(
        draw, f"Target weights: {len(top)} largest of {len(listed):,}", "symbol", "weight, percent of equity",
        drawn=bool(top), bottom=0.25,
    )  # fmt: skip


def industry_shares(shares: Mapping[str, float], limit: float | None = None, of: str = "equity") -> bytes:
    """Shares (0 to 1) by industry, largest first, the last bar being the rest; `limit` is the share to warn from."""
    listed = _largest(shares)
    shown = listed if len(listed) <= _INDUSTRIES else listed[: _INDUSTRIES - 1]
    if len(shown) < len(listed):
        others = listed[len(shown) :]
        shown = [*shown, (f"{len(others)} others", sum(share for _, share in others))]

    def draw(axes: Axes) -> None:
        _lines(axes, shown)
        _limit_line(axes, limit)

    return _png(draw, "Industries", f"share, percent of {of}", "industry", drawn=bool(shown), left=0.3)


def missing_values(shares: Mapping[str, float], limit: float | None = None) -> bytes:
    """Share of the stocks (0 to 1) of which each metric is missing, in the given order; `limit` is the most allowed."""
    known = dict(_largest(shares))
    listed = [(name, known[name]) for name in shares if name in known]

    def draw(axes: Axes) -> None:
        _lines(axes, listed)
        _limit_line(axes, limit)
        axes.set_xlim(0, 112)

    return _png(draw, "Missing values", "missing, percent of the stocks", "metric", drawn=bool(listed), left=0.3)


def cap_and_score(symbols: Iterable[str], caps_musd: ArrayLike, scores: ArrayLike, held: Iterable[str]) -> bytes:
    """Score (points) against market cap (million USD, on a log axis) of each symbol; `held` ones stand out."""
    caps, points = _usd(caps_musd), _floats(scores, _POINTS)
    chosen = frozenset(held)
    marked = np.array([symbol in chosen for symbol in symbols], dtype=bool)
    drawn = np.isfinite(caps) & np.isfinite(points)

    def draw(axes: Axes) -> None:
        for rows, colour, size, name in ((~marked, _GREY, 2.6, "not held"), (marked, _ORANGE, 3.8, "held")):
            found = np.flatnonzero(rows & drawn)
            shown = found[np.argsort(-caps[found], kind="stable")][:_DOTS]
            label = f"{name}: {len(found):,}" if len(found) == len(shown) else f"{name}: largest {_DOTS:,}"
            axes.plot(caps[shown], points[shown], "o", markersize=size, color=colour, markeredgewidth=0, label=label)
        axes.set_xscale("log")
        _decades(axes.xaxis, caps[drawn].min(), caps[drawn].max(), _dollars)
        axes.set_ylim(-2, 102)

    return _png(draw, "Market cap and score", "market cap, USD", "score, points", drawn=bool(drawn.any()))


def drift_before_and_after(
    before: Mapping[str, float], after: Mapping[str, float], limit: float | None = None
) -> bytes:
    """Target less held weight (shares of equity) of the 25 names farthest off, before and after the rebalance."""
    symbols = sorted({*before, *after})
    pairs = np.stack(
        [_floats([side.get(symbol, np.nan) for symbol in symbols], _SHARES) for side in (before, after)], axis=1
    )
    off = dict(zip(symbols, np.fmax(*np.abs(pairs).T), strict=True))
    names = [symbol for symbol, _ in _largest(off)]
    top = names[:_NAMES]
    pairs = 100 * pairs[[symbols.index(symbol) for symbol in top]]

    def draw(axes: Axes) -> None:
        rows = np.arange(len(top))
        axes.axvline(0, color=_INK, linewidth=0.8)
        if limit is not None:
            axes.axvline(100 * limit, color=_INK, linewidth=1, linestyle="--", label=f"limit {100 * limit:g} %")
            axes.axvline(-100 * limit, color=_INK, linewidth=1, linestyle="--")
        axes.hlines(rows, pairs[:, 0], pairs[:, 1], color=_GREY, linewidth=1.5)
        axes.plot(pairs[:, 0], rows, "o", color=_BLUE, markersize=5, fillstyle="none", label="before")
        axes.plot(pairs[:, 1], rows, "o", color=_ORANGE, markersize=5, label="after")
        axes.set_yticks(rows, [_label(symbol) for symbol in top], fontsize=7)
        axes.set_ylim(len(top) - 0.5, -0.5)

    return _png(
        draw, f"Drift: {len(top)} farthest off of {len(names):,}", "target less held, percent of equity",
        "symbol", drawn=bool(top),
    )  # fmt: skip


def caps_by_rank(caps_musd: ArrayLike, last: ArrayLike = ()) -> bytes:
    """Market caps (million USD) by rank, both axes log; a kink or a step is an error in the data."""
    curves = [
        (np.sort(usd[np.isfinite(usd)])[::-1], colour, style, name)
        for usd, colour, style, name in (
            (_usd(last), _ORANGE, "--", "last snapshot"),
            (_usd(caps_musd), _BLUE, "-", "now"),
        )
    ]

    def draw(axes: Axes) -> None:
        for caps, colour, style, name in curves:
            if len(caps):
                marker = "." if len(caps) < 30 else ""
                axes.plot(
                    np.arange(1, len(caps) + 1), caps, style, marker=marker, color=colour, linewidth=1.8,
                    label=f"{name}: {len(caps):,} stocks",
                )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        _decades(axes.xaxis, 1.0, max(len(caps) for caps, *_ in curves), "{:,.0f}".format)
        shown = np.concatenate([caps for caps, *_ in curves])
        _decades(axes.yaxis, shown.min(), shown.max(), _dollars)

    return _png(draw, "Market caps by rank", "rank, 1 = largest", "market cap, USD", drawn=len(curves[1][0]) > 0)


def equity_curves(days: NDArray[np.datetime64], curves: Mapping[str, ArrayLike]) -> bytes:
    """USD on a log axis of several accounts over the same days (T,), the first in front; a loss of all is at the edge.

    At most 500 points of each are drawn: more would only make lines as thick as they are wild.
    """
    shown = {name: _usd(np.asarray(usd, dtype=np.float64) / 1e6) for name, usd in curves.items()}
    found = {name: usd for name, usd in shown.items() if np.isfinite(usd).any()}
    rows = np.unique(np.linspace(0, max(len(days) - 1, 0), 500).round().astype(np.int64))

    def draw(axes: Axes) -> None:
        colours = [_BLUE, _ORANGE, _INK, _GREY]
        for order, (name, usd) in enumerate(found.items()):
            axes.plot(
                days[rows].astype("datetime64[D]").astype(object), usd[rows], color=colours[min(order, 3)],
                linewidth=1.8 if order == 0 else 1.1, zorder=3 - order / 10, label=_label(name),
            )  # fmt: skip
        axes.set_yscale("log")
        low = min(float(np.nanmin(usd)) for usd in found.values())
        high = max(float(np.nanmax(usd)) for usd in found.values())
        ticks = np.unique(np.geomspace(low, max(high, low * 1.01), 5))
        axes.set_yticks(ticks, [f"{usd:,.0f}" for usd in ticks])
        axes.set_yticks([], minor=True)

    return _png(draw, "Equity", "session", "USD, log axis", drawn=bool(found) and len(days) > 1, left=0.15)


def underwater(days: NDArray[np.datetime64], equity: ArrayLike) -> bytes:
    """How far an account (T,), USD, was under its highest so far, percent, on each of its days."""
    usd = np.asarray(equity, dtype=np.float64)
    under = 100 * (usd / np.fmax.accumulate(usd) - 1) if len(usd) else usd
    drawn = len(usd) > 1 and bool(np.isfinite(under).all())

    def draw(axes: Axes) -> None:
        axes.fill_between(days.astype("datetime64[D]").astype(object), under, 0, color=_BLUE, linewidth=0)
        axes.margins(y=0)

    return _png(draw, "Drawdowns", "session", "under the highest so far, percent", drawn=drawn)


def _png(
    draw: Callable[[Axes], None], title: str, x: str, y: str, *, drawn: bool, left: float = 0.12, bottom: float = 0.13
) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    # "$" in a name is no formula.
    style: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    style |= {"text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    style |= {f"{part}.{key}": _INK for part, key in _INKED}
    with _drawing, mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((left, bottom, 0.97 - left, 0.91 - bottom))
        axes.set_axisbelow(True)
        axes.grid(color=_GRID, linewidth=0.8)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
        if drawn:
            draw(axes)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.985), ncols=3, borderaxespad=0.3)
        else:
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=_INK, fontsize=14)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        canvas.draw()
        image = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    out = BytesIO()
    # The default, median cut, takes 20 ms instead of 3.
    palette = image.convert("RGB").quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette.save(out, "png")
    return out.getvalue()


def _lines(axes: Axes, shares: list[tuple[str, float]]) -> None:
    """Horizontal bars from the top, each with its figure; `shares` are 0 to 1."""
    rows, percent = range(len(shares)), [100 * share for _, share in shares]
    bars = axes.barh(rows, percent, color=_BLUE)
    axes.bar_label(bars, [f"{value:.1f}" for value in percent], padding=3, fontsize=8, color=_INK)
    axes.set_yticks(rows, [_label(name) for name, _ in shares], fontsize=8)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.margins(x=0.1)


def _limit_line(axes: Axes, limit: float | None) -> None:
    if limit is not None:
        axes.axvline(100 * limit, color=_ORANGE, linewidth=1.8, label=f"limit {100 * limit:g} %")


def _decades(axis: Axis, low: float, high: float, text: Callable[[float], str]) -> None:
    """A log axis from power of ten to power of ten, one tick each."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    ticks = [10.0**power for power in range(first, max(last, first + 1) + 1)]
    axis.set_ticks(ticks, [text(tick) for tick in ticks])
    axis.set_ticks([], minor=True)
    axis.set_view_interval(0.9 * ticks[0], 1.1 * ticks[-1], ignore=True)


def _dollars(usd: float) -> str:
    for size, unit in ((1e12, " tn"), (1e9, " bn"), (1e6, " m")):
        if usd >= size:
            return f"{usd / size:,.0f}{unit}"
    return f"{usd:,.0f}"


def _label(text: str) -> str:
    """Short, and without characters that the font has not, which matplotlib would warn about."""
    plain = "".join(c if c.isprintable() and ord(c) < 0x250 else "?" for c in text)
    return plain if len(plain) <= _LABEL else plain[: _LABEL - 3] + "..."


def _largest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """The finite ones, largest first, then by name."""
    values = _floats(list(shares.values()), _SHARES)
    known = [(name, float(v)) for name, v in zip(shares, values, strict=True) if np.isfinite(v)]
    return sorted(known, key=lambda item: (-item[1], item[0]))


def _floats(values: ArrayLike, within: tuple[float, float]) -> Floats:
    """As floats inside the range; NaN where missing or infinite."""
    floats = np.asarray(values, dtype=np.float64)
    return np.clip(np.where(np.isfinite(floats), floats, np.nan), *within)


def _usd(caps_musd: ArrayLike) -> Floats:
    caps = np.asarray(caps_musd, dtype=np.float64)
    return 1e6 * _floats(np.where(caps > 0, caps, np.nan), _CAPS_MUSD)
