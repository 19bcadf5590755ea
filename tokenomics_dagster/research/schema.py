"""The Parquet files that a backtest reads: columns, units and what must hold in them. How they are read stays out.

A file of prices has one row per session and name, a file of figures one per instant and name (`Figures`) or one per
filing, quarter and name (`Quarters`). Columns with a default of none may be missing; others than these are not read.
"""

import numpy as np

from tokenomics_dagster.kit.tables import Table, UtcInstant, column

TICKER = r"^[A-Z0-9][A-Z0-9.\-/=]{0,15}$"
_TICKER = column("ticker; share classes as BRK.B", str_matches=TICKER)
_FINITE = {"gt": -np.inf, "lt": np.inf}


class Prices(Table):
    """A market's sessions, each (date, symbol) once. Where a value is outside its limits the loader takes it out."""

    date: np.datetime64 = column("session, day in New York")
    symbol: str = _TICKER
    last_price: float = column("close as traded, USD, not adjusted for splits", nullable=True, gt=0, lt=np.inf)
    change_pct: float = column(
        "percent against the close before, adjusted for that day's split and, where the source does so, dividend",
        nullable=True,
        gt=-100,
        lt=np.inf,
    )
    volume: float = column("shares traded", nullable=True, ge=0, lt=np.inf)
    market_cap_musd: float = column("market cap, million USD; 0 or missing: not known", nullable=True, ge=0, lt=np.inf)
    open: float | None = column("open as traded, USD", nullable=True, gt=0, lt=np.inf)
    split: float | None = column(
        "new shares for one old one, on their first day; else 1", nullable=True, gt=0, lt=np.inf
    )
    dividend: float | None = column("USD a share, on the ex-day; else 0", nullable=True, ge=0, lt=np.inf)
    halted: bool | None = column("whether the name did not trade; its price is the last one before", nullable=True)
    currency: str | None = column("of price and market cap (ISO 4217); missing: USD", nullable=True, isin=["USD"])
    exchange: str | None = column("NYSE, NASDAQ or AMEX", nullable=True)
    industry: str | None = column("industry, by any one classification", nullable=True)


class Figures(Table):
    """Company figures by the instant from which they could be seen: whole snapshots, as weekly files hold them."""

    known_at: UtcInstant = column("when the values could first be seen")
    symbol: str = _TICKER
    roe_ttm_pct: float = column("return on equity, trailing twelve months, percent", nullable=True, **_FINITE)
    debt_to_equity: float = column("total debt / total equity, ratio", nullable=True, **_FINITE)
    revenue_growth_yoy_pct: float = column("revenue growth, year over year, percent", nullable=True, **_FINITE)
    eps_growth_yoy_pct: float = column("EPS growth, year over year, percent", nullable=True, **_FINITE)
    book_value_per_share: float | None = column("book value per share, USD", nullable=True, **_FINITE)


class Quarters(Table):
    """Fiscal quarters by the day of their filing; a later row of the same quarter is what a later filing made of it."""

    symbol: str = _TICKER
    fiscal_period_end: np.datetime64 = column("last day of the quarter")
    filed_at: np.datetime64 = column("day on which the values could first be seen; known the day after")
    net_income: float = column("USD of the quarter alone", nullable=True, **_FINITE)
    equity: float = column("parent's equity at the period end, USD", nullable=True, **_FINITE)
    total_debt: float = column("without leases, USD; missing is unknown, never zero", nullable=True, ge=0, lt=np.inf)
    revenue: float = column("USD of the quarter alone", nullable=True, **_FINITE)
    eps_diluted: float = column("USD a share", nullable=True, **_FINITE)
    shares_diluted: float = column("shares", nullable=True, gt=0, lt=np.inf)
    currency: str | None = column("of all amounts (ISO 4217); missing: USD", nullable=True, isin=["USD"])
    vintage: str | None = column("latest: as known today; else as first filed", nullable=True)
