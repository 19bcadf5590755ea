"""What the portfolio is to be."""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator

from tokenomics_dagster.settings.section import NameCount, Percent, Section


class RebalancingSettings(Section):
    top_n_stocks: NameCount = Field(100, description="names held at most")
    weighting: Literal["score", "equal"] = Field("score", description="score: proportional to the score; equal")
    max_position_pct: float = Field(
        5.0, gt=0, le=100, description="percent of equity; no weight ever exceeds it, what does not fit stays cash"
    )
    min_score: Percent = Field(50.0, description="points, 0 to 100")
    rebalance_threshold_pct: Percent = Field(
        20.0, description="percent of the target weight; a smaller drift is not traded (exits are)"
    )
    min_trade_usd: float = Field(
        100.0,
        ge=1,  # the broker refuses buys under 1 USD
        le=1e6,
        description="USD; a smaller trade is skipped (exits are not)",
    )
    cash_buffer_pct: float = Field(
        0.25,
        ge=0,
        lt=100,
        description="percent of equity kept as cash: market orders fill a little beside the price that was "
        "planned with",
    )
    first_week: date = Field(
        date(2026, 1, 5),
        description="a Monday; the first weekly partition, in `tokenomics init` the account's first: none before it is "
        "in the UI",
    )

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
