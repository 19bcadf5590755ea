"""The tables of the execution room: columns, units and what must hold in them."""

from tokenomics_dagster.kit.tables import Table, column


class Orders(Table):
    """One row per order of a plan, as the ledger has it when the rebalance ends. Amounts are exact decimals as text."""

    client_order_id: str = column(
        "strategy, week, symbol, side, attempt", "trade_plan.symbol", "trade_plan.side", unique=True
    )
    symbol: str = column("ticker", "trade_plan.symbol")
    side: str = column("of the order", "trade_plan.side", isin=["buy", "sell"])
    qty: str = column("shares asked for; missing for an order by amount", "trade_plan.qty", nullable=True)
    notional: str = column("USD asked for; missing for an order by shares", "trade_plan.notional", nullable=True)
    status: str = column("the broker's status, or refused: the broker took no order")
    filled_qty: str = column("shares")
    filled_avg_price: str = column("USD", nullable=True)
    note: str = column("why the order is where it is", nullable=True)


class PortfolioReport(Table):
    """One row per symbol that is held or meant to be held, after the rebalance."""

    symbol: str = column("ticker", "target_weights.symbol", unique=True)
    qty: float = column("shares", ge=0)
    price: float = column("USD, as the broker values the position", nullable=True, gt=0)
    value: float = column("USD; missing while the broker knows no price", nullable=True, ge=0)
    weight: float = column("value / equity of the account", nullable=True, ge=0)
    target_weight: float = column("share of the equity that is meant", "target_weights.weight", ge=0, le=1)
    drift: float = column("target_weight - weight", "target_weights.weight", nullable=True)
