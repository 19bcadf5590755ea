"""Small markets and decisions for the engine's tests, and an account that is kept by hand from the trades made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tokenomics_dagster.research.experiment import Costs
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.runs import Decisions, Rules, Run

NAN = float("nan")
FREE = Costs(half_spread_bps=0)
PLAIN = Rules("close", "fractional", 1e6, FREE, threshold_pct=0, min_trade_usd=0, cash_buffer_pct=0)
FULL = Rules("close", "whole", 1e6, Costs(), threshold_pct=20, min_trade_usd=100, cash_buffer_pct=0)


def market(
    prices: Mapping[str, Sequence[float]], first: str = "2024-01-01", **grids: Mapping[str, Sequence[float]]
) -> Panel:
    """A panel of closes by symbol, one a day; returns are those of the closes, without splits. `grids` by symbol, too;
    who is not in one of them has its neutral value."""
    symbols = tuple(sorted(prices))
    price = np.array([prices[symbol] for symbol in symbols], dtype=np.float64).T.copy()
    neutral = {"split": 1.0, "dividend": 0.0, "halted": 0.0, "open": 0.0, "volume": 1e6, "returns": 0.0}
    given: dict[str, Any] = {}
    for name, by_symbol in grids.items():
        columns = [by_symbol.get(symbol, [neutral[name]] * len(price)) for symbol in symbols]
        given[name] = np.array(columns, dtype=np.bool_ if name == "halted" else np.float64).T.copy()
    dates = np.datetime64(first) + np.arange(len(price))
    given.setdefault("volume", np.full(price.shape, 1e6))
    given.setdefault("returns", returns_of(price))
    return Panel(dates, symbols, price, market_cap=price * 1e3, **given)


def returns_of(price: np.ndarray) -> np.ndarray:
    """Against the last row before, 0 where there is none."""
    made, last = np.zeros(price.shape), np.full(price.shape[1], NAN)
    for t, row in enumerate(price):
        both = (row > 0) & (last > 0)
        made[t, both] = row[both] / last[both] - 1
        last = np.where(row > 0, row, last)
    return made


def decided(panel: Panel, wanted: Mapping[int, Mapping[str, float] | None]) -> Decisions:
    """By session the weights by symbol; None where nothing could be decided."""
    column = {symbol: number for number, symbol in enumerate(panel.symbols)}
    each = [list((weights or {}).items()) for weights in wanted.values()]
    return Decisions(
        sessions=np.array(list(wanted), dtype=np.int64),
        starts=np.cumsum([0, *(len(one) for one in each)]),
        names=np.array([column[symbol] for one in each for symbol, _ in one], dtype=np.int64),
        weights=np.array([weight for one in each for _, weight in one], dtype=np.float64),
        eligible=np.array([len(one) for one in each], dtype=np.int64),
        refused=np.array([weights is None for weights in wanted.values()], dtype=np.bool_),
    )


def random_market(seed: int, sessions: int = 60, names: int = 12, *, events: bool = True) -> Panel:
    """Names that come late, go early, halt, miss rows, split and pay; prices as traded, opens beside the closes."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((sessions, names)) * 0.03
    there = rng.random(returns.shape) > 0.03
    there &= np.arange(sessions)[:, None] >= rng.integers(0, sessions // 3, names)
    there &= np.arange(sessions)[:, None] <= rng.integers(sessions // 2, 2 * sessions, names)
    split = np.where(rng.random(returns.shape) < 0.02, rng.choice([0.1, 1.5, 2.0, 3.0], returns.shape), 1.0)
    split[1:][~there[:-1]] = 1.0  # what a fraction is paid with after a gap depends on the haircut ...
    price = rng.uniform(5, 200, names) * np.cumprod((1 + returns) / (split if events else 1.0), axis=0)
    opened = np.where(rng.random(price.shape) > 0.03, price * (1 + rng.standard_normal(price.shape) * 0.01), NAN)
    dividend = np.where(rng.random(price.shape) < 0.02, 0.3, 0.0)
    dates = np.datetime64("2023-12-29") + np.cumsum(rng.choice([1, 1, 1, 1, 3], sessions))
    volume = np.where(rng.random(price.shape) > 0.1, rng.integers(0, 20_000, price.shape), NAN)
    halted = there & (rng.random(price.shape) < 0.05)
    halted[:-1] &= split[1:] == 1.0  # ... and no price is believed under a halt
    return Panel(
        dates=dates,
        symbols=tuple(f"N{number:02}" for number in range(names)),
        price=np.where(there, price, NAN),
        returns=np.where(there, returns, 0.0),
        market_cap=np.where(there, price, NAN),
        volume=volume,
        open=np.where(there, opened, NAN),
        split=split if events else None,
        dividend=dividend if events else None,
        halted=halted,
    )


def random_decisions(panel: Panel, seed: int, every: int = 5, top: int = 6) -> Decisions:
    """Names and weights by lot, one in ten refused."""
    rng = np.random.default_rng(seed)
    wanted: dict[int, Mapping[str, float] | None] = {}
    for t in range(0, len(panel.dates), every):
        names = rng.choice(panel.symbols, rng.integers(1, top + 1), replace=False).tolist()
        weights = rng.dirichlet(np.ones(len(names))) * rng.uniform(0.5, 1)
        wanted[t] = dict(zip(names, weights.tolist(), strict=True)) if rng.random() > 0.1 else None
    return decided(panel, wanted)


def kept_by_hand(panel: Panel, rules: Rules, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Cash and shares (T, N) after each session, from the trades alone: what was paid, splits, dividends, interest."""
    cash, shares = np.empty(len(panel.dates)), np.zeros(panel.price.shape)
    money, held = rules.capital, np.zeros(len(panel.symbols))
    mark = np.zeros(len(panel.symbols))
    days = np.diff(panel.dates.astype(np.int64), prepend=panel.dates[0].astype(np.int64))
    for t in range(len(panel.dates)):
        money += money * rules.interest_pct / 100 / 365.25 * days[t]
        if panel.split is not None:
            mark /= panel.split[t]
            after = held * panel.split[t]
            held = after if rules.shares == "fractional" else np.floor(after * (1 + 1e-9))
            money += ((after - held) * mark).sum()
            if panel.dividend is not None:
                money += (held * panel.dividend[t]).sum()
        for k in np.flatnonzero(run.fills.sessions == t):
            name = run.fills.names[k]
            held[name] += run.fills.shares[k]
            money -= run.fills.shares[k] * run.fills.price[k] + run.fills.cost[k]
            mark[name] = run.fills.price[k]
        known = panel.tradable[t]
        mark[known] = panel.price[t, known]
        cash[t], shares[t] = money, held
    return cash, shares


def under(rules: Rules, **changes: Any) -> Rules:
    return replace(rules, **changes)
