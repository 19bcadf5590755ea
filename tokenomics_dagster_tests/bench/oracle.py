"""The oracle of the backtests: plain loops, written from the conventions alone, without a line of the platform's.

What it computes is compared with research/engine.py, and timed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HISTORY = Path("data/history-2021-2026")  # of the shared folder


@dataclass(frozen=True)
class Grids:
    """Sessions x symbols: `price` (NaN: no row), `returns` (C2), `cap` million USD, `volume`."""

    dates: np.ndarray
    symbols: np.ndarray
    price: np.ndarray
    returns: np.ndarray
    cap: np.ndarray
    volume: np.ndarray


@dataclass(frozen=True)
class Targets:
    """Of each decision: its session, and the columns and weights in the order chosen."""

    session: int
    names: np.ndarray
    weights: np.ndarray


def recorded(shared: Path) -> Grids:
    """The recorded panel by C1 and C2."""
    frame = pd.read_parquet(shared / HISTORY / "prices_daily.parquet")
    dates, row = np.unique(frame["date"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    symbols, column = np.unique(frame["symbol"].to_numpy().astype(str), return_inverse=True)

    def grid(name: str) -> np.ndarray:
        made = np.full((len(dates), len(symbols)), np.nan)
        made[row, column] = frame[name].to_numpy(dtype=np.float64)
        return made

    price, change, volume, cap = (grid(name) for name in ("last_price", "change_pct", "volume", "market_cap_musd"))
    repeated = np.zeros(price.shape, dtype=bool)
    same = (price[1:] == price[:-1]) & (change[1:] == change[:-1]) & (volume[1:] == volume[:-1])
    repeated[1:] = same & (change[1:] != 0)
    returns = np.where(np.isnan(change) | (change > 300) | repeated, 0.0, change / 100)
    return Grids(dates, symbols, price, returns, cap, volume)


def first_of_weeks(dates: np.ndarray) -> np.ndarray:
    """Rows of the first date of each ISO week."""
    weeks = (dates.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    return np.flatnonzero(np.r_[True, np.diff(weeks) != 0])


def largest(grids: Grids, t: int, size: int) -> np.ndarray:
    """Columns of the largest tradable names at t, ties by symbol (C3)."""
    able = np.flatnonzero((grids.price[t] > 0) & (grids.cap[t] > 0))
    return able[np.lexsort((able, -grids.cap[t, able]))][:size]


def by_size(grids: Grids, *, equal: bool, top: int = 100) -> list[Targets]:
    """C3: the first hundred of each week, equally or by their market cap."""
    made = []
    for t in first_of_weeks(grids.dates):
        names = largest(grids, t, top)
        caps = grids.cap[t, names]
        made.append(Targets(int(t), names, np.full(len(names), 1 / top) if equal else caps / caps.sum()))
    return made


def by_fundamentals(grids: Grids, shared: Path) -> list[Targets]:
    """C7."""
    frame = pd.read_parquet(shared / HISTORY / "fundamentals_weekly.parquet")
    column = {str(symbol): number for number, symbol in enumerate(grids.symbols)}
    made = []
    for t in first_of_weeks(grids.dates):
        closing = pd.Timestamp(f"{grids.dates[t]} 16:00", tz="America/New_York")
        known = frame[frame["known_at"] <= closing]
        newest = known[known["known_at"] == known["known_at"].max()]
        newest = newest.assign(column=newest["symbol"].map(column))
        able = newest[newest["column"].isin(largest(grids, t, 1500))]
        names, weights = best(able, grids.cap[t])
        if len(names):
            made.append(Targets(int(t), names, weights))
    return made


def best(figures: pd.DataFrame, caps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights of the hundred highest scores of at least 50, proportional to the score, 5 % at most each.

    A row of `figures` for each name that may be chosen, with its `column`; among equal scores the larger cap is first.
    """

    def points(name: str | pd.Series, worst: float, best: float) -> pd.Series:
        values = figures[name] if isinstance(name, str) else name
        return ((values - worst) / (best - worst)).clip(0, 1)

    growth = figures[["revenue_growth_yoy_pct", "eps_growth_yoy_pct"]].mean(axis=1)
    debt = figures["debt_to_equity"].where(figures["debt_to_equity"] >= 0)
    scores = 40 * points("roe_ttm_pct", -20, 40) + 30 * points(debt, 3, 0) + 30 * points(growth, -30, 50)
    scores = scores[scores >= 50]  # NaN, where a part is missing or equity is negative, is not
    columns = figures["column"][scores.index].to_numpy(dtype=np.intp)
    first = np.lexsort((columns, -caps[columns], -scores.to_numpy()))[:100]
    raw = scores.to_numpy()[first]
    return columns[first], _capped(raw / raw.sum(), 0.05) if len(raw) else raw


def _capped(weights: np.ndarray, cap: float) -> np.ndarray:
    """What the cap cuts off goes to the others in proportion, until nobody is above it."""
    weights = weights.copy()
    fixed = np.zeros(len(weights), dtype=bool)
    while (over := (weights > cap) & ~fixed).any():
        fixed |= over
        weights[fixed] = cap
        rest = ~fixed
        if not rest.any():
            break
        weights[rest] *= (1 - cap * fixed.sum()) / weights[rest].sum()
    return weights


def plain(returns: np.ndarray, targets: Sequence[Targets], capital: float = 1e6) -> np.ndarray:
    """C4 and C5: equity of each session; all targets reached at the close, at no cost."""
    equity = np.empty(len(returns))
    held, values, cash = np.empty(0, dtype=np.intp), np.empty(0), capital
    due = iter(targets)
    following = next(due, None)
    for t in range(len(returns)):
        values = values * (1 + returns[t, held])
        total = cash + values.sum()
        if following is not None and following.session == t:
            held, values = following.names, total * following.weights
            cash = total - values.sum()
            following = next(due, None)
        equity[t] = total
    return equity


def anchored(price: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """A of C6, 0 before the first tradable row."""
    there = price > 0
    first = np.where(there.any(axis=0), there.argmax(axis=0), len(price))
    after = np.arange(len(price))[:, None] > first
    p0 = np.array([price[t, c] if t < len(price) else 0.0 for c, t in enumerate(first)]).round(4)
    worth = (p0 * np.cumprod(np.where(after, 1 + returns, 1.0), axis=0)).round(6)
    worth[np.arange(len(price))[:, None] < first] = 0.0
    return worth


def full(
    worth: np.ndarray, targets: Sequence[Targets], capital: float = 1e6, half_spread: float = 0.0005
) -> tuple[np.ndarray, np.ndarray]:
    """C4 and C6: a 20 % band, 100 USD at least, whole shares, costs, cash in order. Equity of each session, and
    (decisions, names) shares bought, below zero sold."""
    equity, orders = np.empty(len(worth)), np.zeros((len(targets), worth.shape[1]))
    shares, cash = np.zeros(worth.shape[1]), capital
    due = 0
    held = np.flatnonzero(shares)
    for t in range(len(worth)):
        if due < len(targets) and targets[due].session == t:
            before = shares.copy()
            cash = _rebalanced(worth[t], targets[due], shares, cash, half_spread)
            orders[due] = shares - before
            held = np.flatnonzero(shares)
            due += 1
        equity[t] = cash + (shares[held] * worth[t, held]).sum()
    return equity, orders


def _rebalanced(price: np.ndarray, target: Targets, shares: np.ndarray, cash: float, half_spread: float) -> float:
    """The cash that is left; `shares` are changed in place."""
    total = cash + (shares * price).sum()
    leaving = shares > 0
    leaving[target.names] = False
    cash += (shares[leaving] * (price[leaving] * (1 - half_spread))).sum()
    shares[leaving] = 0
    wanted, each = target.weights * total, price[target.names]
    drift = wanted - shares[target.names] * each
    count = np.floor(np.abs(drift) / each)
    done = (np.abs(drift) >= 0.2 * wanted) & (np.abs(drift) >= 100) & (count > 0) & (count * each >= 100)
    sold = done & (drift < 0)
    cash += (count[sold] * (each[sold] * (1 - half_spread))).sum()
    shares[target.names[sold]] -= count[sold]
    bought = np.flatnonzero(done & (drift > 0))
    order = bought[np.lexsort((target.names[bought], -drift[bought], -drift[bought] / wanted[bought]))]
    for k in order:
        cost = each[k] * (1 + half_spread)
        number = min(count[k], np.floor(cash / cost))
        if number > 0 and number * each[k] >= 100:
            cash -= number * cost
            shares[target.names[k]] += number
    return cash
