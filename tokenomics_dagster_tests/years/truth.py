"""What is true in the simulated world, kept beside the platform, and what of its doings contradicts it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from tokenomics_dagster.sandbox.server import SandboxHandle

CENT = Decimal("0.01")
FIGURES = {
    "roe_ttm_pct": ("roeTTM",),
    "debt_to_equity": ("totalDebt/totalEquityQuarterly", "totalDebt/totalEquityAnnual"),
    "revenue_growth_yoy_pct": ("revenueGrowthTTMYoy",),
    "eps_growth_yoy_pct": ("epsGrowthTTMYoy",),
}
KEPT = 3
"""Figures of this many sweeps may be behind a score: what failed keeps its last ones while they are young."""


def figures(metric: Mapping[str, Any]) -> tuple[float | None, ...]:
    """The figures behind a score as the platform reads them, in the order of FIGURES."""
    return tuple(
        next((float(metric[key]) for key in keys if isinstance(metric.get(key), int | float)), None)
        for keys in FIGURES.values()
    )


@dataclass
class Truth:
    """By symbol the true figures, newest last."""

    sandbox: SandboxHandle
    known: dict[str, list[tuple[float | None, ...]]] = field(default_factory=lambda: defaultdict(list))
    gone: dict[str, str] = field(default_factory=dict)
    """Symbols that are not traded any more, and what became of them."""
    renamed: dict[str, str] = field(default_factory=dict)

    def read(self, symbols: Iterable[str]) -> None:
        """Notes the figures of now, once a week."""
        for symbol in symbols:
            if symbol not in self.gone and symbol not in self.renamed:
                self.known[symbol].append(figures(self.sandbox.admin("GET", f"/sandbox/listings/{symbol}")["metric"]))

    def rename(self, old: str, new: str) -> None:
        self.renamed[old] = new
        self.known[new] = list(self.known[old])

    def now(self, symbol: str) -> str:
        """Its symbol of now."""
        while symbol in self.renamed:
            symbol = self.renamed[symbol]
        return symbol

    def of(self, symbol: str) -> list[tuple[float | None, ...]]:
        """Its figures, by whatever symbol it is called: one that was renamed has those of its new symbol since."""
        return self.known[self.now(symbol)]

    def untrue(self, scores: pd.DataFrame) -> list[str]:
        """Scores that were made of figures that the stock never had of late."""
        found = []
        for row in scores[scores["score"].notna()].to_dict("records"):
            seen = tuple(None if row[name] != row[name] else float(row[name]) for name in FIGURES)
            known = self.of(row["symbol"]) if row["symbol"] in self.known else []
            if known and not any(all(_same(a, b) for a, b in zip(seen, true, strict=True)) for true in known[-KEPT:]):
                found.append(f"{row['symbol']} was scored by {seen}, its figures are {known[-1]}")
        return found


def _same(a: float | None, b: float | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and abs(a - b) <= 1e-9 * max(1.0, abs(b)))


@dataclass(frozen=True)
class Book:
    """The account as the broker itself has it, past every proxy."""

    at: datetime
    cash: Decimal
    equity: Decimal
    positions: dict[str, tuple[Decimal, Decimal]]
    """Shares and value by symbol."""


def moved(activity: Mapping[str, Any]) -> Decimal:
    """The cash that an activity moved, USD."""
    if activity["activity_type"] == "FILL":
        amount = (Decimal(activity["qty"]) * Decimal(activity["price"])).quantize(CENT, ROUND_HALF_UP)
        return amount if activity["side"] != "buy" else -amount
    return Decimal(activity["net_amount"])


def unexplained(
    before: Book, now: Book, activities: Iterable[Mapping[str, Any]], ours: Collection[str], kept: Collection[str]
) -> list[str]:
    """What cash and shares do that no activity explains, to the cent; and fills of ours that nobody kept.

    `activities` are the broker's own since `before`, `ours` the broker's ids of the platform's orders, `kept` the ids
    of the fills that the platform has recorded.
    """
    found = []
    listed = list(activities)
    cash = before.cash + sum((moved(one) for one in listed), Decimal(0))
    if cash != now.cash:
        found.append(f"cash is {now.cash}, activities make {cash} of {before.cash}")
    qty: dict[str, Decimal] = defaultdict(Decimal, {s: shares for s, (shares, _) in before.positions.items()})
    for one in listed:
        if one["activity_type"] == "FILL":
            qty[one["symbol"]] += Decimal(one["qty"]) * (1 if one["side"] == "buy" else -1)
        elif one.get("qty") and one.get("symbol") and one["activity_type"] != "DIV":
            qty[one["symbol"]] += Decimal(one["qty"])
    for symbol in qty.keys() | now.positions.keys():
        have = now.positions.get(symbol, (Decimal(0), Decimal(0)))[0]
        if abs(have - qty[symbol]) > Decimal("5e-10"):
            found.append(f"{symbol}: {have} shares are there, activities make {qty[symbol]}")
    value = sum((value for _, value in now.positions.values()), Decimal(0))
    if abs(now.cash + value - now.equity) > CENT:
        found.append(f"equity is {now.equity}, cash and positions make {now.cash + value}")
    return found + [
        f"fill {one['id']} of {one['symbol']} was not kept"
        for one in listed
        if one["activity_type"] == "FILL" and one["order_id"] in ours and one["id"] not in kept
    ]
