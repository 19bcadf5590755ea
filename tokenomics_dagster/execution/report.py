"""Positions against targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pandas as pd

from tokenomics_dagster.execution.schema import PortfolioReport
from tokenomics_dagster.providers.alpaca import Position


def report(targets: Mapping[str, float], positions: Mapping[str, Position], equity: Decimal) -> pd.DataFrame:
    """A `PortfolioReport` of all symbols in `targets` (weights) or `positions`, largest value first, then by symbol."""
    rows = []
    for symbol in sorted({*targets, *positions}):
        position = positions.get(symbol)
        value = position.market_value if position else Decimal(0)
        weight = float(value / equity)
        target = targets.get(symbol, 0.0)
        rows.append(
            (
                symbol,
                float(position.qty) if position else 0.0,
                float(position.price) if position and position.price is not None else None,
                float(value),
                weight,
                target,
                target - weight,
            )
        )
    frame = pd.DataFrame(rows, columns=list(PortfolioReport.to_schema().columns))
    return PortfolioReport.validate(frame.sort_values(["value", "symbol"], ascending=[False, True], ignore_index=True))
