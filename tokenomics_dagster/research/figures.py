"""How figures are written for a person: percent, USD, ratios, days. Which of them are shown, and where, stays out."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

Text = Callable[[float | int | None], str]

UNDEFINED = "-"


def percent(value: float | None, digits: int = 1) -> str:
    """Of a fraction."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{100 * value:,.{digits}f} %"


def signed(value: float | None) -> str:
    return UNDEFINED if value is None or not math.isfinite(value) else f"{100 * value:+,.1f} %"


def usd(value: float | None) -> str:
    """Large amounts without cents."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    sign, size = "-" if value < 0 else "", abs(value)
    return f"{sign}{size:,.0f} USD" if size >= 10_000 else f"{sign}{size:,.2f} USD"


def short_usd(value: float) -> str:
    """For the tick of an axis or a narrow column: 1.2 m."""
    sign, size = "-" if value < 0 else "", abs(value)
    for unit, name in ((1e12, " tn"), (1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if size >= unit:
            return f"{sign}{size / unit:,.3g}{name}"
    return f"{sign}{size:,.3g}"


def ratio(value: float | None) -> str:
    """No minus before what is 0.00."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def count(value: float | int | None) -> str:
    return UNDEFINED if value is None else f"{value:,.0f}"


def times(value: float | None) -> str:
    """A multiple of the mean equity a year."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{value:.2f} x a year"


def day(value: date | None) -> str:
    return "not yet" if value is None else value.isoformat()


def chance(p: float) -> str:
    """A probability as a person counts: 43 of 100."""
    return f"{100 * p:.1f} of 100"


class Figure(NamedTuple):
    """What a person calls it, how its value is written, and what it is in a few words; TERMS says it whole."""

    label: str
    text: Text
    short: str


FIGURES = {
    "total_return": Figure("total return", percent, "last equity over the capital, less 1; price return"),
    "cagr": Figure("growth a year", percent, "compound (CAGR), by calendar days; none under 252 sessions"),
    "volatility": Figure("volatility", percent, "deviation of daily returns, a year"),
    "sharpe": Figure("Sharpe", ratio, "mean over deviation of daily returns, a year, rf 0"),
    "sortino": Figure("Sortino", ratio, "mean over root mean square of the days under 0, a year"),
    "calmar": Figure("Calmar", ratio, "growth a year over the largest drawdown"),
    "max_drawdown": Figure("largest drawdown", percent, "fall from an earlier height, at closes"),
    "worst_day": Figure("worst day", percent, "lowest daily return"),
    "best_day": Figure("best day", percent, "highest daily return"),
    "hit_rate": Figure("days won", percent, "part of the sessions with a return above 0"),
    "names_won": Figure("names won", percent, "part of the names ever held that made a profit after costs"),
    "exposure": Figure("exposure", percent, "part of the equity that is invested, mean of the sessions"),
    "turnover": Figure("turnover", times, "bought and sold, both, over the mean equity"),
    "trades": Figure("trades", count, "orders filled"),
    "decisions": Figure("decisions", count, "closes at which the strategy decided"),
    "sessions": Figure("daily returns", count, "close to close"),
    "costs_usd": Figure("costs", usd, "spread, fees and impact, taken off everything else"),
    "profit_usd": Figure("profit", usd, "last equity less the capital"),
    "benchmark_return": Figure("benchmark", percent, "its total return over the same sessions"),
    "active_return": Figure("against it", signed, "total return less the benchmark's, over the whole record"),
    "tracking_error": Figure("tracking error", percent, "deviation of daily returns less the benchmark's, a year"),
    "beta": Figure("beta", ratio, "slope of daily returns on the benchmark's"),
    "information_ratio": Figure("information ratio", ratio, "active return over tracking error; none under 252"),
}
"""Of each figure of `statistics.Metrics`."""


def told(name: str, value: float | int | None) -> str:
    return FIGURES[name].text(value)
