"""Where a profit came from: by name and industry, to the cent; by calendar year; by the state of the market.

What a state of the market is belongs here; it is made of sessions before the one it is said of, and of no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Floats
from tokenomics_dagster.research.runs import Run
from tokenomics_dagster.research.statistics import daily_returns, drawdowns

INTEREST = "interest on cash"
UNKNOWN = "unknown"
TREND = 200
"""Sessions of the mean that tells a rising market from a falling one (Faber 2007)."""
_WINDOW, _LEAST = 63, 252
"""Sessions of a volatility; how many earlier ones there must be for terciles of them."""
REGIMES = {
    "rising": f"the market closed above the mean of its last {TREND} closes the day before",
    "falling": "at or under it",
    "calm": f"volatility of {_WINDOW} sessions up to the day before in the lowest third of all those before",
    "middle": "in the middle third",
    "stormy": "in the highest third",
    UNKNOWN: "too few sessions before to tell",
}


class Part(NamedTuple):
    """A name, an industry or the interest, and what it added to the profit, USD, whole cents."""

    of: str
    usd: float


class Year(NamedTuple):
    """Fractions. The first year starts at the capital; `benchmark` None where there is none."""

    year: int
    sessions: int
    total_return: float
    max_drawdown: float
    benchmark: float | None


class Regime(NamedTuple):
    """Compound return of the sessions in one state, and the market's; `share` of all sessions. Fractions. `kind`: what
    the state is told by, "trend" or "volatility"."""

    kind: str
    regime: str
    sessions: int
    share: float
    total_return: float
    market: float


def by_name(run: Run, symbols: Sequence[str]) -> list[Part]:
    """What each name ever held made, costs taken off, and the interest; the most first. The cents add up to the profit.

    Rounded by the largest remainder, so that nobody is off by a whole cent. ExperimentError where the run's parts do
    not add up to its equity.
    """
    held = np.unique(np.concatenate((run.fills.names, np.flatnonzero(run.profit))))
    usd = np.append(run.profit[held], run.interest)
    total = float(run.equity[-1] - run.capital)
    if abs(usd.sum() - total) > 0.005 + 1e-9 * max(run.capital, float(np.abs(usd).sum())):
        raise ExperimentError(
            f"the names made {usd.sum():,.2f} USD together, and equity grew by {total:,.2f} USD: the run does not add "
            "up, and nothing of it may be believed"
        )
    exact = usd * 100
    cents = np.floor(exact)
    missing = round(total * 100) - int(cents.sum())
    # One each to those that lost most by the floor; where rounding of the floats leaves more, round again.
    order = np.argsort(cents - exact, kind="stable")
    whole, rest = divmod(missing, len(cents))
    cents += whole
    cents[order[:rest]] += 1
    labels = [*(symbols[at] for at in held.tolist()), INTEREST]
    parts = [Part(label, cent / 100) for label, cent in zip(labels, cents.tolist(), strict=True)]
    return _sorted([one for one in parts if one.of != INTEREST or one.usd or not held.size])


def by_industry(parts: Sequence[Part], industry: Mapping[str, str]) -> list[Part]:
    """The same cents by industry; a name without one is under `UNKNOWN`, the interest stays by itself."""
    cents: dict[str, int] = {}
    for of, usd in parts:
        key = of if of == INTEREST else industry.get(of) or UNKNOWN
        cents[key] = cents.get(key, 0) + round(usd * 100)
    return _sorted([Part(key, cent / 100) for key, cent in cents.items()])


def by_year(run: Run, benchmark: Floats | None = None) -> list[Year]:
    """The calendar years of a run, which multiply to its total return. `benchmark`: (T,) level."""
    years = run.dates.astype("datetime64[Y]").astype(np.int64) + 1970
    rows = []
    for year in np.unique(years).tolist():
        at = np.flatnonzero(years == year)
        first, last = int(at[0]), int(at[-1])
        start = run.capital if first == 0 else float(run.equity[first - 1])
        falls = drawdowns(start, run.equity[at], run.dates[at])
        other = None if benchmark is None else float(benchmark[last] / benchmark[max(first - 1, 0)] - 1)
        rows.append(Year(year, len(at), float(run.equity[last] / start - 1), falls[0].depth if falls else 0.0, other))
    return rows


def regimes(market: Floats) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """The state of the market in each of its sessions, by trend and by volatility; keys of `REGIMES`, (T,) each.

    `market`: (T,) level, above 0. What is said of session t is made of the closes up to t - 1.
    """
    count = len(market)
    trend = np.full(count, UNKNOWN, dtype="U7")
    sums = np.concatenate(([0.0], np.cumsum(market)))
    for t in range(TREND, count):
        trend[t] = "rising" if market[t - 1] > (sums[t] - sums[t - TREND]) / TREND else "falling"
    storm = np.full(count, UNKNOWN, dtype="U7")
    returns = market[1:] / market[:-1] - 1
    if len(returns) < _WINDOW:
        return trend, storm
    # volatility[i] is known at the close of session i + _WINDOW
    volatility = np.lib.stride_tricks.sliding_window_view(returns, _WINDOW).std(axis=1, ddof=1)
    for t in range(_WINDOW + _LEAST + 1, count):
        known = volatility[: t - _WINDOW]
        low, high = np.quantile(known[:-1], (1 / 3, 2 / 3))
        storm[t] = "calm" if known[-1] <= low else "stormy" if known[-1] > high else "middle"
    return trend, storm


def by_regime(run: Run, market: Floats) -> list[Regime]:
    """How a run did in each state of the market. `market`: its level on the run's sessions and, before them, on as
    many earlier ones as there are: they tell the state of the first.

    The states of one kind hold each daily return once; those of which nothing can be told are `UNKNOWN`.
    """
    if len(market) < len(run.equity):
        raise ValueError(f"the market has {len(market)} sessions, the run {len(run.equity)}")
    returns = daily_returns(run.equity)
    others = daily_returns(market[-len(run.equity) :])
    rows = []
    for kind, states in zip(("trend", "volatility"), regimes(market), strict=True):
        for state in REGIMES:
            there = states[-len(returns) :] == state
            if there.any():
                made, market_made = (float(np.prod(1 + of[there]) - 1) for of in (returns, others))
                rows.append(Regime(kind, state, int(there.sum()), float(there.mean()), made, market_made))
    return rows


def _sorted(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (-part.usd, part.of))
