"""What the account holds against its targets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from tokenomics_dagster.execution.schema import PortfolioReport
from tokenomics_dagster.model.trading import Account, Holdings, Position
from tokenomics_dagster.universe.renames import renamed


@dataclass(frozen=True, slots=True)
class Report:
    """`frame` is a `PortfolioReport`; `equity` and `cash` are the whole account's, `cash_meant` what the targets leave
    of it as cash, with what binds cash for others. USD. `others`: what is held and left alone, and why.
    """

    frame: pd.DataFrame
    equity: Decimal
    cash: Decimal
    cash_meant: Decimal
    others: list[tuple[str, str]]


def stand(
    account: Account,
    holdings: Holdings,
    targets: pd.DataFrame,
    links: Mapping[str, str],
    cash_weight: float,
    cash_buffer_pct: float,
    without_market: Collection[str],
) -> Report:
    """`targets` is a `TargetWeights` frame, `links` the new symbols of those that the plan knows to be renamed."""
    equity = holdings.investable(account)
    meant = cash_meant(equity, cash_weight, cash_buffer_pct)
    if holdings.secured.is_finite():
        meant += holdings.secured
    wanted = renamed(targets, {old: new for old, new in links.items() if old not in holdings.ours})
    weights = dict(zip(wanted["symbol"], wanted["weight"], strict=True))
    frame = report(weights, holdings.ours, equity, without_market, holdings.disputed)
    others = [(str(row), row.reason) for row in holdings.foreign]
    return Report(frame, account.equity, account.cash, meant, [*others, *holdings.disputed.items()])


def cash_meant(equity: Decimal, cash_weight: float, buffer_pct: float) -> Decimal:
    """What the targets leave as cash, USD: the buffer, and the weight that no name has of the rest."""
    buffer = equity * Decimal(str(buffer_pct)) / 100
    return buffer + (equity - buffer) * Decimal(str(cash_weight))


def report(
    targets: Mapping[str, float],
    positions: Mapping[str, Position],
    equity: Decimal,
    without_market: Collection[str] = (),
    disputed: Collection[str] = (),
) -> pd.DataFrame:
    """A `PortfolioReport` of all symbols in `targets` (weights) or `positions`, largest value first, then by symbol.

    `equity` in USD is what the weights are of. What is in `without_market` and has no price is valued 0, as the broker
    does with it: a delisted stock may stay for years. What is held of the symbols in `disputed` is not known.
    """
    rows = []
    for symbol in sorted({*targets, *positions, *disputed}):
        position, target = positions.get(symbol), targets.get(symbol, 0.0)
        qty = position.qty if position else Decimal(0)
        price = position.price or None if position else None
        value = position.market_value if position else None if symbol in disputed else Decimal(0)
        if value is None and symbol in without_market:
            value = Decimal(0)
        weight = None if value is None or equity <= 0 else float(value / equity)
        rows.append(
            (
                symbol,
                float(qty),
                None if price is None else float(price),
                None if value is None else float(value),
                weight,
                target,
                None if weight is None else target - weight,
            )
        )
    frame = pd.DataFrame(rows, columns=list(PortfolioReport.to_schema().columns))
    return PortfolioReport.validate(frame.sort_values(["value", "symbol"], ascending=[False, True], ignore_index=True))
