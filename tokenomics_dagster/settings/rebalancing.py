"""What the portfolio is to be."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tokenomics_dagster.settings.section import Names, Percent, Section


class RebalancingSettings(Section):
    top_n_stocks: Names
    weighting: Literal["score", "equal"]
    max_position_pct: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    min_score: Percent
    rebalance_threshold_pct: Percent
    min_trade_usd: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)]  # the broker refuses buys under 1 USD
    cash_buffer_pct: Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
    first_week: date

    @field_validator("first_week")
    @classmethod
    def _is_a_monday(cls, day: date) -> date:
        if day.weekday() != 0:
            raise ValueError("must be a Monday")
        return day

    def least_drift(self, target_value: Decimal) -> Decimal:
        """The smallest drift from a target that is meant to be traded, USD; exits are, whatever they are worth."""
        threshold = Decimal(str(self.rebalance_threshold_pct)) / 100 * target_value
        return max(threshold, Decimal(str(self.min_trade_usd)))
