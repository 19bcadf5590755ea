"""Whether the books agree after a rebalance: positions before + fills = positions now, and the same for cash. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.portfolio.plan import Plan
from tokenomics_dagster.providers.holdings import Position
from tokenomics_dagster.settings import GuardSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import FillRow, LedgerOrder

# Half of the ninth decimal, the finest that the broker keeps.
QTY_TOLERANCE = Decimal("5e-10")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Amounts in USD, quantities in shares. `flaws` are sentences; empty when the books agree."""

    fills: int
    cash_expected: Decimal
    cash_found: Decimal
    positions: int
    flaws: list[str]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def reconcile(
    plan: Plan,
    fills: Iterable[FillRow],
    orders: Iterable[LedgerOrder],
    positions: Mapping[str, Position],
    cash: Decimal,
    guards: GuardSettings,
) -> Reconciliation:
    """Compares, per symbol, the plan's positions plus all fills since with what is held, each order's fills with the
    ledger, and cash with what the fills moved.

    `fills` are those of the whole account since the plan was made, so that trades of somebody else explain themselves.
    Positions must agree to the ninth decimal, cash to guards.max_cash_difference_usd (regulatory fees).
    """
    expected = dict(plan.positions)
    by_order: dict[str, Decimal] = {}
    moved = Decimal(0)
    count = 0
    for fill in fills:
        count += 1
        sign = 1 if fill.side == "buy" else -1
        expected[fill.symbol] = expected.get(fill.symbol, Decimal(0)) + sign * fill.qty
        moved -= sign * (fill.qty * fill.price).quantize(_CENT, ROUND_HALF_UP)
        by_order[fill.broker_order_id] = by_order.get(fill.broker_order_id, Decimal(0)) + fill.qty
    flaws = []
    for symbol in sorted({*expected, *positions}):
        want = expected.get(symbol, Decimal(0))
        have = positions[symbol].qty if symbol in positions else Decimal(0)
        if abs(want - have) > QTY_TOLERANCE:
            flaws.append(f"{symbol}: {have} shares are held, the fills make {want}")
    for order in orders:
        filled = by_order.get(order.broker_id or "", Decimal(0))
        if abs(filled - order.filled_qty) > QTY_TOLERANCE:
            flaws.append(
                f"{order.client_order_id}: the ledger has {order.filled_qty} shares filled, the activities {filled}"
            )
    cash_expected = plan.cash + moved
    if abs(cash - cash_expected) > Decimal(str(guards.max_cash_difference_usd)):
        flaws.append(
            f"cash is {cash:,.2f} USD, the fills make {cash_expected:,.2f}; guards.max_cash_difference_usd is "
            f"{guards.max_cash_difference_usd:g}"
        )
    return Reconciliation(count, cash_expected, cash, len(positions), flaws)
