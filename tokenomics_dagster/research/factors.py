"""How much of a record the market, size, momentum and low volatility explain, and what is left. Factor returns are made
of the panel itself: nobody's library of factors is at hand, and theirs hold other names.

At the close of each month's last session the day's universe is cut in thirds by a characteristic that was known then;
until the next one a factor is the mean return of one third less that of the other (Fama and French 1993 in spirit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tokenomics_dagster.research.known import universe
from tokenomics_dagster.research.panel import Bools, Days, Floats, Ints, Panel
from tokenomics_dagster.research.statistics import YEAR, NotEnough
from tokenomics_dagster.research.strategies import LowVolatility, Market, Momentum

FACTORS = {
    "market": "the day's universe, weighted by market cap",
    "size": "the smallest third of the universe less the largest",
    "momentum": "the third that grew most from 12 months to one month before, less the third that grew least",
    "low volatility": "the third that moved least over 12 months, less the third that moved most",
}
_LEAST_NAMES = 30
"""Under ten names in a third, one name's accident is the factor."""


@dataclass(frozen=True, slots=True)
class Loading:
    """On one factor: `beta`, its standard error, and the interval of 95 %."""

    factor: str
    beta: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Exposures:
    """A least squares line of daily returns on the factors, with errors that allow for memory of `lags` sessions
    (Newey and West 1987). `alpha`: what is left, a year (252 times the daily), its interval of 95 % and the probability
    `p` of one as far from 0 by luck. `sessions` used; `left_out` are those for which a factor could not be made.
    """

    loadings: tuple[Loading, ...]
    alpha: float
    alpha_low: float
    alpha_high: float
    p: float
    r_squared: float
    lags: int
    sessions: int
    left_out: int


def factor_returns(panel: Panel, size: int) -> Floats:
    """(T, 4) daily returns in the order of `FACTORS`, NaN where one could not be made yet. `size`: of the universe.

    What is held on a session was chosen at the close of an earlier one. A name without a row returns 0.
    """
    scores = np.full(len(panel.symbols), np.nan)
    market = Market(panel.price, panel.returns, panel.market_cap, lambda _: scores)
    ranks = [lambda row: -panel.market_cap[row], Momentum().ranks(market), LowVolatility().ranks(market)]
    made = np.full((len(panel.dates), len(FACTORS)), np.nan)
    for row, end in _months(panel.dates):
        there = universe(panel, row, size)
        if there.sum() < _LEAST_NAMES:
            continue
        days = panel.returns[row + 1 : end + 1]
        caps = np.where(there, panel.market_cap[row], 0.0)
        made[row + 1 : end + 1, 0] = days @ (caps / caps.sum())
        for at, rank in enumerate(ranks, start=1):
            legs = _thirds(rank(row), there)
            if legs is not None:
                high, low = legs
                made[row + 1 : end + 1, at] = days[:, high].mean(axis=1) - days[:, low].mean(axis=1)
    return made


def exposures(returns: Floats, factors: Floats) -> Exposures:
    """Of daily returns (n,) on the factors of the same sessions (n, 4). NotEnough where under 252 have all of them."""
    from statsmodels.api import OLS, add_constant

    if len(returns) != len(factors):
        raise ValueError(f"returns of {len(returns)} sessions and factors of {len(factors)}")
    there = np.isfinite(factors).all(axis=1)
    count = int(there.sum())
    if count < YEAR:
        raise NotEnough(
            f"exposures need {YEAR} sessions with all of the factors, and there are {count}; momentum and volatility "
            f"are made of the {YEAR} sessions before each"
        )
    lags = int(4 * (count / 100) ** (2 / 9))  # Newey and West 1994
    line = OLS(returns[there], add_constant(factors[there], has_constant="add"))
    fit = line.fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True)
    low, high = fit.conf_int(0.05).T
    loadings = (
        Loading(name, *map(float, (fit.params[at], fit.bse[at], low[at], high[at])))
        for at, name in enumerate(FACTORS, start=1)
    )
    return Exposures(
        loadings=tuple(loadings),
        alpha=float(fit.params[0]) * YEAR,
        alpha_low=float(low[0]) * YEAR,
        alpha_high=float(high[0]) * YEAR,
        p=float(fit.pvalues[0]),
        r_squared=float(fit.rsquared),
        lags=lags,
        sessions=count,
        left_out=len(returns) - count,
    )


def _months(days: Days) -> Iterator[tuple[int, int]]:
    """The row of each month's last session and of the last session of the next one; the first row stands for a month
    before, so that a record has a market from its second session on."""
    ends = np.flatnonzero(np.diff(days.astype("datetime64[M]").astype(np.int64)))
    rows = np.unique(np.concatenate(([0], ends, [len(days) - 1]))).tolist()
    return pairwise(rows)


def _thirds(rank: Floats, there: Bools) -> tuple[Ints, Ints] | None:
    """Columns of the highest and the lowest third of those that have a rank, ties by column; None for too few."""
    names = np.flatnonzero(there & np.isfinite(rank))
    if len(names) < _LEAST_NAMES:
        return None
    order = names[np.argsort(rank[names], kind="stable")]
    third = len(order) // 3
    return order[-third:], order[:third]
