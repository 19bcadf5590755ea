"""The tables of the execution room: columns, units and what must hold in them."""

import pandera.pandas as pa


class Orders(pa.DataFrameModel):
    """One row per order of a plan, as the ledger has it when the rebalance ends. Amounts are exact decimals as text."""

    client_order_id: str = pa.Field(
        unique=True,
        description="strategy, week, symbol, side, attempt",
        metadata={"from": ["trade_plan.symbol", "trade_plan.side"]},
    )
    symbol: str = pa.Field(description="ticker", metadata={"from": ["trade_plan.symbol"]})
    side: str = pa.Field(isin=["buy", "sell"], description="of the order", metadata={"from": ["trade_plan.side"]})
    qty: str = pa.Field(
        nullable=True,
        description="shares asked for; missing for an order by amount",
        metadata={"from": ["trade_plan.qty"]},
    )
    notional: str = pa.Field(
        nullable=True,
        description="USD asked for; missing for an order by shares",
        metadata={"from": ["trade_plan.notional"]},
    )
    status: str = pa.Field(description="the broker's status, or refused: the broker took no order")
    filled_qty: str = pa.Field(description="shares")
    filled_avg_price: str = pa.Field(nullable=True, description="USD")
    note: str = pa.Field(nullable=True, description="why the order is where it is")

    class Config:
        strict = True
        coerce = True


class PortfolioReport(pa.DataFrameModel):
    """One row per symbol that is held or meant to be held, after the rebalance."""

    symbol: str = pa.Field(unique=True, description="ticker", metadata={"from": ["target_weights.symbol"]})
    qty: float = pa.Field(ge=0, description="shares")
    price: float = pa.Field(nullable=True, gt=0, description="USD, as the broker values the position")
    value: float = pa.Field(nullable=True, ge=0, description="USD; missing while the broker knows no price")
    weight: float = pa.Field(nullable=True, ge=0, description="value / equity of the account")
    target_weight: float = pa.Field(
        ge=0, le=1, description="share of the equity that is meant", metadata={"from": ["target_weights.weight"]}
    )
    drift: float = pa.Field(
        nullable=True, description="target_weight - weight", metadata={"from": ["target_weights.weight"]}
    )

    class Config:
        strict = True
        coerce = True
