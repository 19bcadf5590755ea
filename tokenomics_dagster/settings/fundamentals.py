"""How figures become scores, and which figures are believed."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tokenomics_dagster.settings.section import Days, DaysOrNone, Percent, Section, Size


class LinearScore(Section):
    weight: Percent
    worst: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
    best: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.worst == self.best:
            raise ValueError("worst and best must differ")
        return self


class ScoreSettings(Section):
    roe_pct: LinearScore
    debt_to_equity: LinearScore
    growth_pct: LinearScore

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        total = self.roe_pct.weight + self.debt_to_equity.weight + self.growth_pct.weight
        if abs(total - 100) > 1e-9:
            raise ValueError(f"the weights must add up to 100, not {total:g}")
        return self


class Band(Section):
    low: Size
    high: Size

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be under high")
        return self


class MetricBands(Section):
    roe_ttm_pct: Band
    debt_to_equity: Band
    revenue_growth_yoy_pct: Band
    eps_growth_yoy_pct: Band
    book_value_per_share: Band
    market_cap_musd: Band


class PlausibleSizes(Section):
    roe_ttm_pct: Size
    debt_to_equity: Size
    revenue_growth_yoy_pct: Size
    eps_growth_yoy_pct: Size
    book_value_per_share: Size


class FundamentalsSettings(Section):
    refresh_days: DaysOrNone
    max_report_age_days: Days
    score: ScoreSettings
    bands: MetricBands
    plausible: PlausibleSizes
