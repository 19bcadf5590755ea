"""The tables of the execution room: columns, units and what must hold; and what belongs to a snapshot of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column
from tokenomics_dagster.model.details import Details, Instant, Usd


class Orders(Table):
    """One row per order of the week, of whichever of its plans, as the ledger has it when the rebalance ends.

    Amounts are exact decimals as text. Which plan an order is of stands in the details.
    """

    client_order_id: str = column(
        "sleeve, period, symbol, side, attempt", "trade_plan.symbol", "trade_plan.side", unique=True
    )
    symbol: str = column("ticker", "trade_plan.symbol")
    side: str = column("of the order", "trade_plan.side", isin=["buy", "sell"])
    qty: str = column("shares asked for; missing for an order by amount", "trade_plan.qty", nullable=True)
    notional: str = column("USD asked for; missing for an order by shares", "trade_plan.notional", nullable=True)
    status: str = column("the broker's status, or refused: the broker took no order")
    filled_qty: str = column("shares")
    filled_avg_price: str = column("USD", nullable=True)
    note: str = column("why the order is where it is", nullable=True)


class OrdersDetails(Details):
    plan_id: str = Field(description="of the plan that was carried out last")
    plans: Mapping[str, str] | None = Field(
        default=None,
        description="the plan of each order, by client order id; None: earlier versions had but the last plan's",
    )
    skipped: Mapping[str, str] = Field(description="symbols of the plan that were not sent, and why")
    stuck: Sequence[str] = Field(description="orders that stayed open")
    reconciliation_flaws: Sequence[str] = Field(description="what does not agree with the broker's books, in sentences")
    fulfilment: Mapping[str, Any] | None = Field(
        default=None, description="the Fulfilment, as a document; None: earlier versions did not tell what was traded"
    )

    def of_last_plan(self, client_order_id: str) -> bool:
        """Whether an order of the table was sent, or tried, for the plan that was carried out last."""
        return self.plans is None or self.plans.get(client_order_id) == self.plan_id


class PortfolioReport(Table):
    """One row per symbol that is held or meant to be held, after the rebalance."""

    symbol: str = column("ticker", "target_weights.symbol", unique=True)
    qty: float = column("shares", ge=0)
    price: float = column("USD, as the broker values the position", nullable=True, gt=0)
    value: float = column("USD; missing while the broker knows no price", nullable=True, ge=0)
    weight: float = column("value / equity of the account", nullable=True, ge=0)
    target_weight: float = column("share of the equity that is meant", "target_weights.weight", ge=0, le=1)
    drift: float = column("target_weight - weight", "target_weights.weight", nullable=True)


class PaidIn(Details):
    """Money or shares that came to the account, or went, by their owner's wish: neither gain nor loss."""

    id: str = Field(description="the broker's, of the activity")
    at: Instant = Field(description="when it was booked; of one that is told by its day alone the beginning of that")
    usd: Usd = Field(description="below 0 what went")
    what: str = Field(description="the activity in words")
    by_day: bool = Field(default=False, description="whether only its day in New York is told")
    shares: bool = Field(default=False, description="whether it moved shares, whose value the broker does not tell")


class PortfolioReportDetails(Details):
    account: str = Field(description="the broker's number of it")
    equity: Usd = Field(description="of the whole account, USD")
    cash: Usd = Field(description="of the whole account, USD")
    cash_meant: Usd | None = Field(
        default=None, description="what of it the targets leave as cash, USD; earlier versions did not tell it"
    )
    foreign: Sequence[str] = Field(
        default=(), description="what is held and left alone, and why; earlier versions did not tell it"
    )
    flows_since: Instant | None = Field(
        default=None, description="since when `flows` tells all; None: earlier versions did not tell them"
    )
    flows: Sequence[PaidIn] = Field(
        default=(),
        description="what was paid in and out since then; what is told by its day alone may stand in two reports. "
        "earlier versions told none",
    )
