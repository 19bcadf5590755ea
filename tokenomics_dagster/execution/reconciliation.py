"""Whether the books agree after a rebalance: positions before + fills = positions now, and the same for cash. Pure.

What was booked without an order (dividends, fees, deposits, corporate actions) explains itself by the activities.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import SHARES_PER_CONTRACT, Activity, Holdings, booked, explaining, parse_option
from tokenomics_dagster.settings.guards import GuardSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import FillRow, LedgerOrder

# Half of the ninth decimal, the finest that the broker keeps.
QTY_TOLERANCE = Decimal("5e-10")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Amounts in USD, quantities in shares. `flaws` are sentences; empty when the books agree.

    `explained` are sentences, too: what no order moved, and what the broker booked for it.
    """

    fills: int
    cash_expected: Decimal
    cash_found: Decimal
    positions: int
    discrepancies: list[str]
    explained: list[str] = field(default_factory=list)

    def to_document(self) -> dict[str, Any]:
        # Records of the audit have called them so since the first.
        return {"flaws" if name == "discrepancies" else name: value for name, value in asdict(self).items()}


def reconcile(
    plan: Plan,
    fills: Iterable[FillRow],
    orders: Iterable[LedgerOrder],
    holdings: Holdings,
    cash: Decimal,
    guards: GuardSettings,
    activities: Iterable[Activity] = (),
) -> Reconciliation:
    """Compares, per symbol, the plan's positions plus all fills since with what is held, each order's fills with the
    ledger, and cash with what the fills and the other activities moved.

    `fills` and `activities` are those of the whole account since the plan was made, so that trades of somebody else
    explain themselves. Shares are explained by any action on their symbol, for brokers tell its quantity in several
    ways; cash by its amount. Of what is foreign to the plan, foreign or disputed in `holdings` only
    the cash counts.
    An activity of the plan's day that does not tell its hour may lie before the plan: it counts if it explains cash.
    Positions must agree to the ninth decimal, cash to guards.max_cash_difference_usd (a fee comes a day later).
    """
    positions, others = holdings.ours, {*holdings.disputed, *plan.foreign, *(row.symbol for row in holdings.foreign)}
    expected = dict(plan.positions)
    by_order: dict[str, Decimal] = {}
    moved = Decimal(0)
    count = 0
    for fill in fills:
        count += 1
        sign = 1 if fill.side == "buy" else -1
        expected[fill.symbol] = expected.get(fill.symbol, Decimal(0)) + sign * fill.qty
        units = SHARES_PER_CONTRACT if parse_option(fill.symbol) else 1
        moved -= sign * booked(units * fill.qty, fill.price)
        by_order[fill.broker_order_id] = by_order.get(fill.broker_order_id, Decimal(0)) + fill.qty
    known = list(activities)
    causes = {one.symbol: f"{one.type} {one.sub_type}".strip() for one in known if one.moves_shares}
    entered = explaining(known, plan.created_at, cash - plan.cash - moved)
    discrepancies, explained = [], [str(one) for one in entered if one.cash]
    for symbol in sorted({*expected, *positions} - others):
        want = expected.get(symbol, Decimal(0))
        have = positions[symbol].qty if symbol in positions else Decimal(0)
        # Sold without having been held: crypto or an option of somebody else, of which nothing is left to know it by.
        strange = symbol not in plan.positions and symbol not in positions and want < 0
        if abs(want - have) <= QTY_TOLERANCE or strange:
            continue
        sentence = f"{symbol}: {have} shares are held, the fills make {want}"
        if symbol in causes:
            explained.append(f"{sentence}; {causes[symbol]} explains it")
        else:
            discrepancies.append(sentence)
    for order in orders:
        filled = by_order.get(order.broker_id or "", Decimal(0))
        if abs(filled - order.filled_qty) > QTY_TOLERANCE:
            discrepancies.append(
                f"{order.client_order_id}: the ledger has {order.filled_qty} shares filled, the activities {filled}"
            )
    cash_expected = plan.cash + moved + sum((one.cash for one in entered), Decimal(0))
    if abs(cash - cash_expected) > Decimal(str(guards.max_cash_difference_usd)):
        discrepancies.append(
            f"cash is {cash:,.2f} USD, fills and other activities make {cash_expected:,.2f}; "
            f"guards.max_cash_difference_usd is {guards.max_cash_difference_usd:g}"
        )
    return Reconciliation(count, cash_expected, cash, len(positions), discrepancies, explained)
