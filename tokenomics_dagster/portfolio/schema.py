"""The tables of the portfolio room: columns, units and what must hold in them. How rows come about stays out."""

import math

import numpy as np
import pandas as pd
import pandera.pandas as pa

DECIMAL = r"^\d+(\.\d+)?$"


class TargetWeights(pa.DataFrameModel):
    """The stocks to hold, ordered by rank; what is missing to a sum of 1 is cash."""

    symbol: str = pa.Field(
        unique=True, str_length={"min_value": 1}, description="ticker", metadata={"from": ["scores.symbol"]}
    )
    weight: float = pa.Field(
        gt=0, le=1, description="target share of the portfolio, 0 to 1", metadata={"from": ["scores.score"]}
    )
    score: float = pa.Field(ge=0, le=100, description="points, 0 to 100", metadata={"from": ["scores.score"]})
    market_cap_musd: float = pa.Field(
        nullable=True,
        description="market cap, million USD; decides among equal scores",
        metadata={"from": ["scores.market_cap_musd"]},
    )
    rank: int = pa.Field(
        unique=True,
        ge=1,
        description="1 = highest score",
        metadata={"from": ["scores.score", "scores.market_cap_musd", "scores.symbol"]},
    )

    class Config:
        strict = True
        coerce = True

    @pa.dataframe_check(name="weights_fit", description="the weights together are at most 1")
    @classmethod
    def _weights_fit(cls, frame: pd.DataFrame) -> bool:
        return math.fsum(frame["weight"]) <= 1

    @pa.dataframe_check(name="ranks_follow_score", description="ranks are 1..n, by falling score")
    @classmethod
    def _ranks_follow_score(cls, frame: pd.DataFrame) -> bool:
        ordered = frame.sort_values("rank")
        return bool(
            (ordered["rank"].to_numpy() == np.arange(1, len(frame) + 1)).all()
            and ordered["score"].is_monotonic_decreasing
        )


class TradePlan(pa.DataFrameModel):
    """One row per name that is held or wanted: the order to send, or the reason why there is none.

    `qty`, `notional` and `price` are exact decimals as text, for floats do not hold cents. The floats are for reading.
    """

    symbol: str = pa.Field(
        unique=True, str_length={"min_value": 1}, description="ticker", metadata={"from": ["target_weights.symbol"]}
    )
    sequence: int = pa.Field(
        unique=True, ge=1, description="order of sending: sells, then buys; last what is not traded"
    )
    side: str = pa.Field(
        isin=["buy", "sell", "none"],
        description="none: nothing is traded",
        metadata={"from": ["target_weights.weight"]},
    )
    qty: str = pa.Field(
        nullable=True,
        str_matches=DECIMAL,
        description="shares to trade; or else notional",
        metadata={"from": ["target_weights.weight"]},
    )
    notional: str = pa.Field(
        nullable=True,
        str_matches=DECIMAL,
        description="USD to buy for; or else qty",
        metadata={"from": ["target_weights.weight"]},
    )
    price: str = pa.Field(nullable=True, str_matches=DECIMAL, description="price that all figures rest on, USD")
    current_value: float = pa.Field(nullable=True, ge=0, description="value held, USD; missing without a price")
    target_value: float = pa.Field(
        ge=0,
        description="value wanted, USD: weight x equity less the cash buffer",
        metadata={"from": ["target_weights.weight"]},
    )
    current_weight: float = pa.Field(nullable=True, ge=0, description="current_value / equity")
    target_weight: float = pa.Field(
        ge=0, le=1, description="target_value / equity", metadata={"from": ["target_weights.weight"]}
    )
    drift: float = pa.Field(
        nullable=True, description="target_weight - current_weight", metadata={"from": ["target_weights.weight"]}
    )
    exit: bool = pa.Field(description="held, but not wanted any more", metadata={"from": ["target_weights.symbol"]})
    reason: str = pa.Field(
        nullable=True,
        description="why nothing is traded, or why less than the drift",
        metadata={"from": ["target_weights.weight"]},
    )

    class Config:
        strict = True
        coerce = True

    @pa.dataframe_check(name="order_or_reason", description="sells by qty, buys by qty or notional, else a reason")
    @classmethod
    def _order_or_reason(cls, frame: pd.DataFrame) -> pd.Series:
        amounts = frame["qty"].notna().astype(int) + frame["notional"].notna()
        traded = frame["side"] != "none"
        by_notional = frame["notional"].notna()
        return (amounts == traded) & (traded | frame["reason"].notna()) & (~by_notional | (frame["side"] == "buy"))
