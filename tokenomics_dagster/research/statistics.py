"""What a record of equity says about itself: return, risk, drawdowns, and against a benchmark. Arrays and dates in.

How sure any of it is stands in bootstrap.py and trials.py; where the profit came from in contributions.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypedDict

import numpy as np

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Days, Floats
from tokenomics_dagster.research.runs import Run

YEAR = 252
"""Sessions. Under so many nothing is told as a rate of a year (GIPS 2020, 5.A.4)."""
_CONSTANT = 1e-12
"""A standard deviation of a session under this is rounding: equity that grows by the same percent leaves 1e-17."""


class NotEnough(ExperimentError):
    """The record is too short, or has too few trials, for what is asked; the text says how many are needed."""


class Metrics(TypedDict):
    """Fractions, not percent, but for what `TERMS` says is in USD or counts; None is undefined, `undefined` says why.

    Each key is explained in `TERMS`.
    """

    sessions: int
    decisions: int
    trades: int
    profit_usd: float
    costs_usd: float
    total_return: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    worst_day: float
    best_day: float
    hit_rate: float
    names_won: float | None
    exposure: float
    turnover: float
    benchmark_return: float | None
    active_return: float | None
    tracking_error: float | None
    beta: float | None
    information_ratio: float | None
    undefined: dict[str, str]


TERMS = {
    "sessions": "daily returns in the record, close to close",
    "decisions": "closes at which the strategy decided what to hold",
    "trades": "orders filled",
    "profit_usd": "last equity less the capital, USD",
    "costs_usd": "spread, fees and impact paid, USD; they are taken off everything else here",
    "total_return": "last equity over the capital, less 1; price return where the data has no dividends",
    "cagr": "compound annual growth rate, by calendar days of 365.25 a year",
    "volatility": "standard deviation of daily returns (n - 1), times the root of 252",
    "sharpe": "mean daily return over its standard deviation (n - 1), times the root of 252; risk-free rate 0",
    "sortino": "mean daily return over the root mean square of the returns under 0, times the root of 252",
    "calmar": "CAGR over the largest drawdown",
    "max_drawdown": "largest fall of equity at the close from an earlier height, the capital included, as part of it",
    "worst_day": "lowest daily return",
    "best_day": "highest daily return",
    "hit_rate": "part of the sessions with a return above 0; a return of 0 is not won",
    "names_won": "part of the names ever held that made a profit after costs; a profit of 0 is not won",
    "exposure": "part of the equity that is invested at the close, mean of the sessions",
    "turnover": "USD bought and USD sold, both, over the mean equity, a year of 252 sessions",
    "benchmark_return": "of the benchmark over the same sessions",
    "active_return": "total return less the benchmark's, over the whole record, not a year's",
    "tracking_error": "standard deviation of daily returns less the benchmark's (n - 1), times the root of 252",
    "beta": "slope of daily returns on the benchmark's, with an intercept",
    "information_ratio": "mean over standard deviation of daily returns less the benchmark's, times the root of 252",
}
"""What each figure of `Metrics` is, in one line, as it is printed where the figure stands."""


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall from a height and the way back. `depth`: part of the height that was lost, 0 to 1, at `trough`.

    `peak`: the last session at that height (the first session where it is the capital); `recovered`: the first session
    at or above it again, None where there is none yet. `sessions`: from peak to recovery, or to the end.
    """

    depth: float
    peak: date
    trough: date
    recovered: date | None
    sessions: int


def daily_returns(equity: Floats) -> Floats:
    """(T - 1,) returns from close to close of an equity (T,).

    What was paid in the first session is part of the total return and of the drawdown, and of no day: there is no close
    before it. ExperimentError where equity is not finite or not above 0: no return follows from that.
    """
    if len(equity) < 2:
        raise NotEnough(f"a return needs two sessions, and the record has {len(equity)}; give more data")
    bad = np.flatnonzero(~(np.isfinite(equity) & (equity > 0)))
    if bad.size:
        raise ExperimentError(
            f"equity of session {bad[0]} is {equity[bad[0]]}: returns need equity above 0; see that session's prices"
        )
    return equity[1:] / equity[:-1] - 1


def sharpe(returns: Floats) -> float | None:
    """Annual Sharpe ratio of daily returns (n,), risk-free rate 0, ddof 1; None where they do not differ."""
    deviation = _deviation(returns)
    return None if deviation is None else float(returns.mean() / deviation * math.sqrt(YEAR))


def sortino(returns: Floats) -> float | None:
    """Annual Sortino ratio with the target 0 a day (Sortino and Price 1994); None where no return is under it."""
    below = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(returns.mean()) / below * math.sqrt(YEAR) if below > _CONSTANT else None


def volatility(returns: Floats) -> float | None:
    """Annual, of daily returns (n,), ddof 1; None under two returns."""
    return float(returns.std(ddof=1)) * math.sqrt(YEAR) if len(returns) > 1 else None


def of_a_year(figure: Callable[[Floats], float | None], returns: Floats) -> float | None:
    """What `sharpe`, `sortino` or `volatility` makes of daily returns (n,); None under 252, which are no year."""
    return figure(returns) if len(returns) >= YEAR else None


def growth(capital: float, equity: Floats, dates: Days) -> float | None:
    """Compound annual growth by calendar days of 365.25; None under 252 returns."""
    if len(equity) - 1 < YEAR:
        return None
    days = int((dates[-1] - dates[0]) / np.timedelta64(1, "D"))
    return float((equity[-1] / capital) ** (365.25 / days) - 1)


def drawdowns(capital: float, equity: Floats, dates: Days) -> list[Drawdown]:
    """Every fall from a height to the next time at it, the deepest first; the capital is the first height."""
    path = np.concatenate(([capital], equity))
    days = [as_day(dates[0]), *(as_day(day) for day in dates)]
    height = np.maximum.accumulate(path)
    under = path < height
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    found = []
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = first + int(np.argmin(path[first:after]))
        back = after < len(path)
        found.append(
            Drawdown(
                depth=float(1 - path[trough] / height[trough]),
                peak=days[first - 1],
                trough=days[trough],
                recovered=days[after] if back else None,
                sessions=(after if back else len(path) - 1) - max(first - 1, 1),
            )
        )
    return sorted(found, key=lambda one: (-one.depth, one.peak))


def worst_days(returns: Floats, dates: Days, count: int = 5) -> list[tuple[date, float]]:
    """The lowest daily returns and their days, the worst first. `returns` (T - 1,), `dates` (T,)."""
    order = np.argsort(returns, kind="stable")[:count]
    return [(as_day(dates[1 + at]), float(returns[at])) for at in order.tolist()]


def measure(run: Run, benchmark: Floats | None = None) -> Metrics:
    """All of `Metrics`. `benchmark`: (T,) its level on the run's sessions, above 0; None where there is none."""
    returns = daily_returns(run.equity)
    falls = drawdowns(run.capital, run.equity, run.dates)
    depth = falls[0].depth if falls else 0.0
    cagr = growth(run.capital, run.equity, run.dates)
    ever = np.unique(run.fills.names)
    metrics = Metrics(
        sessions=len(returns),
        decisions=len(run.decided),
        trades=len(run.fills.names),
        profit_usd=float(run.equity[-1] - run.capital),
        costs_usd=float(run.costs.sum()),
        total_return=float(run.equity[-1] / run.capital - 1),
        cagr=cagr,
        volatility=of_a_year(volatility, returns),
        sharpe=of_a_year(sharpe, returns),
        sortino=of_a_year(sortino, returns),
        calmar=cagr / depth if cagr is not None and depth > 0 else None,
        max_drawdown=depth,
        worst_day=float(returns.min()),
        best_day=float(returns.max()),
        hit_rate=float(np.mean(returns > 0)),
        names_won=float(np.mean(run.profit[ever] > 0)) if ever.size else None,
        exposure=float(np.mean(1 - run.cash / run.equity)),
        turnover=run.turnover,
        benchmark_return=None,
        active_return=None,
        tracking_error=None,
        beta=None,
        information_ratio=None,
        undefined={},
    )
    if benchmark is not None:
        _against(metrics, returns, benchmark)
    metrics["undefined"].update(_why(metrics, benchmark is not None))
    return metrics


def beta(returns: Floats, against: Floats) -> float | None:
    """Slope of the least squares line of returns (n,) on others (n,); None where those do not differ."""
    if _deviation(against) is None:
        return None
    off = against - against.mean()
    return float(off @ (returns - returns.mean()) / (off @ off))


def as_day(stamp: np.datetime64) -> date:
    return date.fromisoformat(str(stamp.astype("datetime64[D]")))


def _against(metrics: Metrics, returns: Floats, benchmark: Floats) -> None:
    if len(benchmark) != len(returns) + 1:
        raise ValueError(f"the benchmark has {len(benchmark)} sessions, the run {len(returns) + 1}")
    others = daily_returns(benchmark)
    active = returns - others
    benchmark_return = float(benchmark[-1] / benchmark[0] - 1)
    metrics["benchmark_return"] = benchmark_return
    metrics["active_return"] = metrics["total_return"] - benchmark_return
    metrics["tracking_error"] = of_a_year(volatility, active)
    metrics["beta"] = beta(returns, others)
    metrics["information_ratio"] = of_a_year(sharpe, active)


def _why(metrics: Metrics, compared: bool) -> dict[str, str]:
    """The reason of each figure that is None."""
    short = f"{metrics['sessions']} daily returns are less than a year of {YEAR}"
    year = short if metrics["sessions"] < YEAR else None
    alone = None if compared else "there is no benchmark to compare with"
    reasons = {
        "cagr": year,
        "volatility": year,
        "sharpe": year or "the daily returns do not differ from each other",
        "sortino": year or "no daily return is under 0",
        "calmar": year or "there was no drawdown",
        "names_won": "nothing was ever held",
        "benchmark_return": alone,
        "active_return": alone,
        "tracking_error": alone or year,
        "beta": alone or "the benchmark's daily returns do not differ from each other",
        "information_ratio": alone or year or "the returns do not differ from the benchmark's but by a constant",
    }
    return {name: reason for name, reason in reasons.items() if reason and metrics.get(name) is None}


def _deviation(returns: Floats) -> float | None:
    """Standard deviation, ddof 1; None where it is undefined or nothing but rounding."""
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return deviation if deviation > _CONSTANT else None
