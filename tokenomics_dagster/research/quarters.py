"""From fiscal quarters by the day of their filing to figures as they were known after each. Pure; reading stays out.

Of a quarter the newest filing counts, of its company what was filed up to the day before: a filing has a date and no
hour. Definitions, held against a vendor's figures of 2026-05-23 (rank correlation, names):
- ROE, trailing twelve months: net income of four quarters in a row / equity at the end of the last (0.95, 387);
- growth, year over year: the quarter against the one a year before, which must be above zero
  (revenue 0.95, 1,155; EPS 0.94, 903);
- debt/equity: total debt without leases / equity, of one quarter (0.96, 76); book value: equity / diluted shares.
What a company has not filed for its newest quarter is taken from the one before, and from none that is older.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.research.panel import Floats, Fundamentals, Ints

_HOUR = 5
"""UTC: midnight in New York, or one o'clock."""
MAX_AGE_DAYS = 180.0
"""From the filing to a decision: a next quarter is filed after 91 days, a year's last one 45 later."""
_QUARTER_DAYS = 91.31
_TOLERANCE_DAYS = 25.0
"""Quarters of 12 and of 14 weeks are a quarter, too; 133 gaps of the recorded ones are over 110 days."""
_SAME_SHARES = 1.5
"""EPS are on the shares of their filing: across a split they say nothing of growth."""
_ROE, _DEBT, _REVENUE, _EPS, _BOOK = range(5)

Quarter = tuple[float, ...]
"""net income, equity, total debt, revenue, EPS, shares."""


def figures(
    symbols: NDArray[np.str_], ends: Ints, filed: Ints, values: Mapping[str, Floats], **told: Any
) -> Fundamentals:
    """One row per symbol and day on which it filed, known from the day after at 05:00 UTC.

    Of R rows, a later one of the same quarter the newer: symbols, days since 1970 of the quarter's end and of the
    filing, and by the names of `schema.Quarters` USD or shares, NaN missing. `told` goes into the result.
    """
    columns = [
        values[name].tolist()
        for name in ("net_income", "equity", "total_debt", "revenue", "eps_diluted", "shares_diluted")
    ]
    rows = list(zip(*columns, strict=True))
    order = np.lexsort((np.arange(len(filed)), filed, symbols)).tolist()
    known: dict[int, Quarter] = {}
    found: list[tuple[int, str, tuple[float, ...]]] = []
    for place, row in enumerate(order):
        known[int(ends[row])] = rows[row]
        following = order[place + 1] if place + 1 < len(order) else None
        if following is None or symbols[following] != symbols[row] or filed[following] != filed[row]:
            found.append((int(filed[row]) + 1, str(symbols[row]), _figures(known)))
        if following is None or symbols[following] != symbols[row]:
            known = {}
    found.sort(key=lambda one: one[:2])
    days = np.array([day for day, _, _ in found], np.int64)
    table = np.array([figures for _, _, figures in found]).reshape(-1, 5)
    return Fundamentals(
        known_at=(days * 24 + _HOUR).astype("datetime64[h]").astype("datetime64[ns]"),
        symbol=np.array([symbol for _, symbol, _ in found], np.str_),
        roe_ttm_pct=table[:, _ROE],
        debt_to_equity=table[:, _DEBT],
        revenue_growth_yoy_pct=table[:, _REVENUE],
        eps_growth_yoy_pct=table[:, _EPS],
        book_value_per_share=table[:, _BOOK],
        snapshots=False,
        max_age_days=MAX_AGE_DAYS,
        **told,
    )


def _figures(known: Mapping[int, Quarter]) -> tuple[float, ...]:
    """Of the newest quarter or, figure by figure, of the one before it."""
    newest = max(known)
    quarters = [_quarter(known, newest, back) for back in range(6)]
    both = [_of_quarter(quarters[shift : shift + 5]) for shift in range(2)]
    return tuple(now if now == now else before for now, before in zip(*both, strict=True))


def _quarter(known: Mapping[int, Quarter], newest: int, back: int) -> Quarter | None:
    wanted = newest - back * _QUARTER_DAYS
    nearest = min(known, key=lambda end: abs(end - wanted))
    return known[nearest] if abs(nearest - wanted) <= _TOLERANCE_DAYS else None


def _of_quarter(quarters: list[Quarter | None]) -> tuple[float, ...]:
    """Of a quarter and the four before it, the newest first. Where equity is negative there is no ROE; debt/equity and
    book value are then negative, which the rules of the score take for what it is."""
    now, year_before = quarters[0], quarters[4]
    nan = float("nan")
    if now is None:
        return (nan,) * 5
    income = sum(nan if quarter is None else quarter[0] for quarter in quarters[:4])
    equity, debt, shares = now[1], now[2], now[5]
    roe = income / equity * 100 if equity > 0 else nan
    to_equity = debt / equity if equity != 0 else nan
    if year_before is None:
        return roe, to_equity, nan, nan, equity / shares
    by_shares = shares / year_before[5]
    of_other_shares = by_shares > _SAME_SHARES or by_shares < 1 / _SAME_SHARES
    eps_growth = nan if of_other_shares else _growth(now[4], year_before[4])
    return roe, to_equity, _growth(now[3], year_before[3]), eps_growth, equity / shares


def _growth(now: float, before: float) -> float:
    return (now / before - 1) * 100 if before > 0 else float("nan")
