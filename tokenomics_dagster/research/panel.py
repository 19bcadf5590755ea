"""A market's history as arrays: one row per session, one column per name. How it is read and judged stays out.

Columns are in the order of the symbols, so that an index breaks ties as the symbol does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Days = NDArray[np.datetime64]


def where(mask: Bools) -> tuple[Ints, Ints]:
    """np.nonzero of two dimensions, three times as fast."""
    first, second = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return first, second


@dataclass(frozen=True, slots=True)
class Panel:
    """T sessions x N names; every grid is (T, N), read-only.

    `dates`: T days, increasing. `symbols`: N, increasing. `price`: USD as traded at the close, NaN where the name has
    no row. `returns`: of the session against the close before as a fraction, splits and dividends that the source knows
    taken into account; 0 where there is none. `market_cap`: million USD, NaN unknown. `volume`: shares, NaN unknown.
    `open`: USD as traded, None where the source has none. `split`: new shares for one old one on its first day (1 on
    all others), None where the source does not tell them: then shares are counted in those of the name's first row.
    `dividend`: USD a share on its ex-day, on that day's shares; None unknown. `halted`: a row, and no trade.
    `exchange`: "NYSE", "NASDAQ" or "" by name, `industry` likewise, where known.
    `quarantined`: why a cell must not be used, by symbol: (first day, last day, reason); `warnings`: whole sentences.
    """

    dates: Days
    symbols: tuple[str, ...]
    price: Floats
    returns: Floats
    market_cap: Floats
    volume: Floats
    open: Floats | None = None
    split: Floats | None = None
    dividend: Floats | None = None
    halted: Bools | None = None
    barred: Bools | None = None
    """Where a name is in quarantine: it may be held, and is not chosen."""
    exchange: Mapping[str, str] = field(default_factory=dict)
    industry: Mapping[str, str] = field(default_factory=dict)
    quarantined: tuple[Quarantined, ...] = ()
    warnings: tuple[str, ...] = ()
    data_hash: str = ""
    """SHA-256 of what it was read from."""

    @property
    def tradable(self) -> Bools:
        """A row with a price, and no halt."""
        there = self.price > 0
        return there if self.halted is None else there & ~self.halted


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A name that must not be chosen from `first` to `last`, both inclusive, and why: one sentence."""

    symbol: str
    first: date
    last: date
    reason: str


@dataclass(frozen=True, slots=True)
class Fundamentals:
    """Point-in-time figures, one row per (known_at, symbol) in the order of both.

    `known_at`: datetime64[ns] UTC; `symbol`: strings. ROE and growth in percent, debt/equity a ratio, book value USD a
    share; NaN is missing. A decision at an instant uses rows with known_at <= it and no others.
    `newest_only`: True where rows are complete snapshots: only those of the newest snapshot count (C7); False where
    rows are single filings: the last row of each symbol counts, for `max_age_days` at most.
    """

    known_at: NDArray[np.datetime64]
    symbol: NDArray[np.str_]
    roe_ttm_pct: Floats
    debt_to_equity: Floats
    revenue_growth_yoy_pct: Floats
    eps_growth_yoy_pct: Floats
    book_value_per_share: Floats
    snapshots: bool = True
    max_age_days: float = 400.0
    data_hash: str = ""
    warnings: tuple[str, ...] = ()
