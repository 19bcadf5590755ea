"""The tables of the portfolio room: columns, units and what must hold in them; and what belongs to a snapshot of each.

How rows come about stays out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column, symbol_column
from tokenomics_dagster.model.details import Details, Instant, Usd, UsdOrInfinity

DECIMAL = r"^\d+(\.\d+)?$"
_WEIGHT = "target_weights.weight"


def _amount_column(description: str, *made_from: str) -> Any:
    """An exact decimal as text."""
    return column(description, *made_from, nullable=True, str_matches=DECIMAL)


class TargetWeights(Table):
    """The stocks to hold, ordered by rank; what is missing to a sum of 1 is cash."""

    symbol: str = symbol_column("scores.symbol")
    weight: float = column("target share of the portfolio, 0 to 1", "scores.score", gt=0, le=1)
    score: float = column("points, 0 to 100", "scores.score", ge=0, le=100)
    market_cap_musd: float = column(
        "market cap, million USD; decides among equal scores", "scores.market_cap_musd", nullable=True
    )
    rank: int = column(
        "1 = highest score", "scores.score", "scores.market_cap_musd", "scores.symbol", unique=True, ge=1
    )

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


class TargetWeightsDetails(Details):
    scores_as_of: Instant = Field(description="the scores that were weighted")
    universe_as_of: Instant | None = Field(
        default=None, description="the universe of then; earlier versions did not tell it"
    )
    cash_weight: float = Field(description="share of the portfolio that no stock has, 0 to 1")
    rules: Mapping[str, Any] | None = Field(
        default=None, description="RebalancingSettings of then, as a document; earlier versions did not tell them"
    )


class TradePlan(Table):
    """One row per name that is held or wanted: the order to send, or the reason why there is none.

    `qty`, `notional` and `price` are exact decimals as text, for floats do not hold cents. The floats are for reading.
    """

    symbol: str = symbol_column("target_weights.symbol")
    sequence: int = column("order of sending: sells, then buys; last what is not traded", unique=True, ge=1)
    side: str = column("none: nothing is traded", _WEIGHT, isin=["buy", "sell", "none"])
    qty: str = _amount_column("shares to trade; or else notional", _WEIGHT)
    notional: str = _amount_column("USD to buy for; or else qty", _WEIGHT)
    price: str = _amount_column("price that all figures rest on, USD")
    current_value: float = column("value held, USD; missing without a price", nullable=True, ge=0)
    target_value: float = column("value wanted, USD: weight x equity less the cash buffer", _WEIGHT, ge=0)
    current_weight: float = column("current_value / equity", nullable=True, ge=0)
    target_weight: float = column("target_value / equity", _WEIGHT, ge=0, le=1)
    drift: float = column("target_weight - current_weight", _WEIGHT, nullable=True)
    exit: bool = column("held, but not wanted any more", "target_weights.symbol")
    reason: str = column("why nothing is traded, or why less than the drift", _WEIGHT, nullable=True)

    @pa.dataframe_check(name="order_or_reason", description="sells by qty, buys by qty or notional, else a reason")
    @classmethod
    def _order_or_reason(cls, frame: pd.DataFrame) -> pd.Series:
        amounts = frame["qty"].notna().astype(int) + frame["notional"].notna()
        traded = frame["side"] != "none"
        by_notional = frame["notional"].notna()
        return (amounts == traded) & (traded | frame["reason"].notna()) & (~by_notional | (frame["side"] == "buy"))


SeenFields = tuple[Usd | None, Usd | None, Instant, Instant | None, bool]
"""The fields of a doubts.Seen in their order; the first is of shares."""


class PlanInputs(Details):
    """What a plan was decided with, beside its weights, its rows' prices and what the sealed plan tells."""

    target_weights_as_of: Instant = Field(description="the weights that the plan reaches")
    rules: Mapping[str, Any] = Field(description="RebalancingSettings of then, as a document")
    free: Mapping[str, Usd] = Field(description="shares that may be sold, of what is held and not all of it may be")
    whole: Sequence[str] = Field(description="symbols that trade in whole shares only")
    left_alone: Sequence[str] = Field(
        description="symbols that nothing is decided of: not tradable, an order is open for them, or in doubt"
    )


class TradePlanDetails(Details):
    not_planned: Mapping[str, Usd] | None = Field(
        default=None,
        description="by symbol the USD that are meant and left out, below zero to sell; None in earlier versions",
    )
    plan: dict[str, Any] = Field(description="the sealed Plan, as a document")
    foreign: Sequence[str] = Field(
        default=(), description="what the account holds and is not traded here; earlier versions did not tell it"
    )
    bound_cash: Mapping[str, UsdOrInfinity] = Field(
        default_factory=dict,
        description="USD of the cash that are not there to buy with, by what binds them; earlier versions told none",
    )
    doubted: Mapping[str, SeenFields] = Field(
        default_factory=dict, description="by symbol how those in doubt were seen; earlier versions doubted none"
    )
    asset_ids: Mapping[str, str] = Field(
        default_factory=dict, description="the broker's ids of assets by symbol; earlier versions did not keep them"
    )
    renamed: Mapping[str, str] = Field(
        default_factory=dict, description="new symbols by old ones; earlier versions followed no rename"
    )
    own: Mapping[str, Sequence[str]] = Field(
        default_factory=dict,
        description="the broker's ids of the stocks that a sleeve has ever owned, as far as they are known, by each of "
        "their symbols; earlier versions knew none",
    )
    quotes: Mapping[str, tuple[Usd, Usd]] | None = Field(
        default=None,
        description="bid and ask of each name that is traded, when it was decided; earlier versions did not keep them",
    )
    inputs: PlanInputs | None = Field(
        default=None, description="what it was decided with; None: earlier versions did not keep it"
    )

    @property
    def account(self) -> str:
        """The broker's number of the account that is planned for."""
        return str(self.plan["account"])

    @property
    def plan_hash(self) -> str:
        return str(self.plan["plan_hash"])
