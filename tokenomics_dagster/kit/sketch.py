"""The picture that a materialization shows without a click: a drawing without text, so small that it fits.

Dagster's UI shows markdown where it stands only under 1,000 characters (`expandSmallValues` and `mdStr.length < 1000`
in its MetadataEntry.tsx, 1.13.27), and a longer one behind "[Show Markdown]". A PNG of plots.py has 15,000 and more.
What to draw is the room's choice.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite

import dagster as dg

SHOWN = 1_000
"""Characters; what has as many is behind a click."""

_POINTS = 40  # of an SVG that, in base64 and with its text, stays under that
_HEIGHT, _STEP = 48, 6  # units of the drawing


def bars(what: str, values: Iterable[float], scale: str) -> dg.MarkdownMetadataValue:
    """A bar for each value, in their order, those under 0 downwards; of more than 40 each is the mean of its
    neighbours. `what` is read out in place of the picture, `scale` stands under it: the values at its ends, with their
    unit."""
    heights = _thinned(values)
    if not heights:
        return _nothing(what)
    top, bottom = max(*heights, 0.0), min(*heights, 0.0)
    unit = (_HEIGHT - 2) / ((top - bottom) or 1)
    zero = round(1 + top * unit)
    # From bar to bar: to the side, and back to the line that they stand on.
    path, last = f"M3 {zero}", 0
    for position, height in enumerate(heights):
        up = -round(height * unit) or -1
        path += f"v{up}" if position == 0 else f"m{_STEP} {-last}v{up}"
        last = up
    return _picture(what, f'<path stroke="#47a" stroke-width="5" d="{path}"/>', len(heights), scale)


def line(what: str, values: Iterable[float], scale: str) -> dg.MarkdownMetadataValue:
    """One line through the values, in their order, from the lowest to the highest; otherwise as `bars`."""
    heights = _thinned(values)
    if len(heights) < 2:
        return _nothing(what)
    low, high = min(heights), max(heights)
    unit = (_HEIGHT - 4) / ((high - low) or 1)
    points = " ".join(f"{_STEP * n} {round(_HEIGHT - 2 - (one - low) * unit)}" for n, one in enumerate(heights))
    return _picture(what, f'<path fill="none" stroke="#47a" stroke-width="2" d="M{points}"/>', len(heights), scale)


def _thinned(values: Iterable[float]) -> Sequence[float]:
    """At most 40, each the mean of as many neighbours as of any other, give or take one; what is no number is none."""
    there = [float(value) for value in values if isfinite(value)]
    if len(there) <= _POINTS:
        return there
    ends = [round(n * len(there) / _POINTS) for n in range(_POINTS + 1)]
    return [sum(there[a:b]) / (b - a) for a, b in pairwise(ends)]


def _picture(what: str, drawn: str, points: int, scale: str) -> dg.MarkdownMetadataValue:
    # Without a ratio of its own the drawing fills 480 x 96 whatever the number of points. Mid blue is seen on white and
    # on black.
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="96" preserveAspectRatio="none" '
        f'viewBox="0 0 {_STEP * points} {_HEIGHT}">{drawn}</svg>'
    )
    text = f"![{what}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
    return dg.MetadataValue.md(f"{text}\n\n{scale[: SHOWN - len(text) - 3]}")


def _nothing(what: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"{what}: there is nothing to draw")
