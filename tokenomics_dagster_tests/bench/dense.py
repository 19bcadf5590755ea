"""Made markets of the bench: dense, of any size, with events or without; and portfolios by lot. Nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenomics_dagster.research.panel import Floats, Fundamentals, Panel
from tokenomics_dagster.research.runs import Decisions
from tokenomics_dagster_tests.bench import oracle
from tokenomics_dagster_tests.bench.oracle import Targets

HELD = 100


@dataclass(frozen=True)
class Dense:
    """A panel without gaps on weekdays, and its hundred largest of each week, equally weighted."""

    panel: Panel
    targets: list[Targets]

    @property
    def bytes(self) -> int:
        panel = self.panel
        return sum(grid.nbytes for grid in (panel.price, panel.returns, panel.market_cap, panel.volume))

    @property
    def years(self) -> float:
        return len(self.panel.dates) / 252


def dense(sessions: int, names: int) -> Dense:
    """Returns of 2 % a day; market caps so far apart that some 200 of 1,500 names are ever among the largest."""
    rng = np.random.default_rng(11)
    returns = rng.standard_normal((sessions, names))
    returns *= 0.02
    returns += 0.0003
    price: Floats = np.cumprod(1 + returns, axis=0, dtype=np.float64)
    price *= rng.uniform(20, 200, names)
    cap: Floats = price * np.exp(rng.standard_normal(names) * 1.5) * 100
    dates = np.busday_offset(np.datetime64("2014-01-01", "D"), np.arange(sessions), roll="forward")
    panel = Panel(dates, tuple(f"S{number:05d}" for number in range(names)), price, returns, cap, volume=cap)
    return Dense(panel, by_size(panel))


def by_size(panel: Panel) -> list[Targets]:
    made = []
    for t in oracle.first_of_weeks(panel.dates):
        names = np.argsort(-panel.market_cap[t], kind="stable")[:HELD]
        made.append(Targets(int(t), names, np.full(HELD, 1 / HELD)))
    return made


def first_sessions(market: Dense, sessions: int) -> Dense:
    """Its first sessions, as grids of their own."""
    panel = market.panel
    grids = {name: getattr(panel, name)[:sessions].copy() for name in ("price", "returns", "market_cap", "volume")}
    cut = replace(panel, dates=panel.dates[:sessions], **grids)
    return Dense(cut, [target for target in market.targets if target.session < sessions])


def with_events(panel: Panel) -> Panel:
    """The panel with a split of a name in 20 years and four dividends a year, prices as traded."""
    rng = np.random.default_rng(12)
    split = np.where(rng.random(panel.price.shape) < 1 / 5000, 2.0, 1.0)
    dividend = np.where(rng.random(panel.price.shape) < 1 / 63, 0.1, 0.0)
    return replace(panel, price=panel.price / np.cumprod(split, axis=0), split=split, dividend=dividend)


def by_lot(market: Dense, seed: int) -> list[Targets]:
    """A hundred names by lot, of which three are exchanged each week."""
    rng = np.random.default_rng(seed)
    everybody = rng.permutation(len(market.panel.symbols))
    held, waiting = everybody[:HELD].copy(), everybody[HELD:].copy()
    made = []
    for target in market.targets:
        leave, come = rng.integers(0, HELD, 3), rng.integers(0, len(waiting), 3)
        for out, into in zip(leave, come, strict=True):
            held[out], waiting[into] = waiting[into], held[out]
        made.append(Targets(target.session, held.copy(), np.full(HELD, 1 / HELD)))
    return made


def decided(targets: Sequence[Targets]) -> Decisions:
    counts = np.array([len(target.names) for target in targets], dtype=np.int64)
    return Decisions(
        sessions=np.array([target.session for target in targets], dtype=np.int64),
        starts=np.concatenate(([0], np.cumsum(counts))),
        names=np.concatenate([target.names for target in targets]),
        weights=np.concatenate([target.weights for target in targets]),
        eligible=counts,
        refused=np.zeros(len(targets), dtype=np.bool_),
    )


def figures(panel: Panel) -> Fundamentals:
    """A snapshot of everybody's at noon UTC of each decision's day."""
    rng = np.random.default_rng(13)
    sessions = oracle.first_of_weeks(panel.dates)
    instants = panel.dates[sessions].astype("datetime64[ns]") + np.timedelta64(12, "h")
    n = len(instants) * len(panel.symbols)
    return Fundamentals(
        known_at=np.repeat(instants, len(panel.symbols)),
        symbol=np.tile(np.array(panel.symbols), len(instants)),
        roe_ttm_pct=rng.normal(12, 15, n),
        debt_to_equity=rng.lognormal(-0.5, 1, n),
        revenue_growth_yoy_pct=rng.normal(6, 15, n),
        eps_growth_yoy_pct=rng.normal(8, 40, n),
        book_value_per_share=np.full(n, np.nan),
    )
