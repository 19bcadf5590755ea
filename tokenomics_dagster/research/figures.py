"""Which figures of a result are shown, what a person calls each, and how its value is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tokenomics_dagster.reports.figures import count, percent, ratio, signed, times, usd

Text = Callable[[float | int | None], str]


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
