"""How figures become scores, and which figures are believed."""

from typing import Self

from pydantic import Field, model_validator

from tokenomics_dagster.settings.section import Days, DaysOrNone, Percent, Section, Size


class LinearScore(Section):
    weight: Percent = Field(description="its weight, percent of the score")
    worst: float = Field(ge=-1e9, le=1e9, description="the figure that gets 0 points")
    best: float = Field(ge=-1e9, le=1e9, description="the figure that gets 100 points")

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.worst == self.best:
            raise ValueError(f"worst ({self.worst:g}) and best ({self.best:g}) must differ")
        return self


class ScoreSettings(Section):
    roe_pct: LinearScore = Field(
        LinearScore(weight=40.0, worst=-20.0, best=40.0), description="percent, trailing twelve months"
    )
    debt_to_equity: LinearScore = Field(LinearScore(weight=30.0, worst=3.0, best=0.0), description="ratio")
    growth_pct: LinearScore = Field(
        LinearScore(weight=30.0, worst=-30.0, best=50.0),
        description="percent, year over year; mean of revenue and EPS growth, of those present",
    )

    @model_validator(mode="after")
    def _better_is_better(self) -> Self:
        """One of two figures that is changed alone could turn a score around."""
        for name, more in (("roe_pct", True), ("debt_to_equity", False), ("growth_pct", True)):
            one = getattr(self, name)
            if (one.best > one.worst) != more:
                side = "above" if more else "under"
                raise ValueError(f"{name}: best ({one.best:g}) must be {side} worst ({one.worst:g})")
        return self

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        total = self.roe_pct.weight + self.debt_to_equity.weight + self.growth_pct.weight
        if abs(total - 100) > 1e-9:
            raise ValueError(f"the weights must add up to 100, not {total:g}")
        return self


class Band(Section):
    low: Size = Field(description="the least median that is believed")
    high: Size = Field(description="the largest median that is believed")

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be under high ({self.high:g})")
        return self


class MetricBands(Section):
    roe_ttm_pct: Band = Field(Band(low=3.0, high=60.0), description="percent; seen 9.1 to 17.7")
    debt_to_equity: Band = Field(Band(low=0.05, high=5.0), description="ratio; seen 0.35 to 0.81")
    revenue_growth_yoy_pct: Band = Field(Band(low=1.5, high=60.0), description="percent; seen 8.4 to 13.4")
    eps_growth_yoy_pct: Band = Field(Band(low=4.0, high=150.0), description="percent; seen 15.8 to 35.6")
    book_value_per_share: Band = Field(Band(low=1.0, high=300.0), description="USD; seen 10.4 to 26.6")
    market_cap_musd: Band = Field(
        Band(low=100.0, high=200000.0),
        description="million USD; seen 5,900 to 15,900; of fewer than 1,500 names the high end is as many times "
        "higher: the median of the 50 largest is 440,000, of the largest one 5,200,000",
    )


class PlausibleSizes(Section):
    roe_ttm_pct: Size = Field(100000.0, description="percent; seen at most 8,457")
    debt_to_equity: Size = Field(6000.0, description="ratio; seen at most 572")
    revenue_growth_yoy_pct: Size = Field(3000000.0, description="percent; seen at most 257,493")
    eps_growth_yoy_pct: Size = Field(3000000.0, description="percent; seen at most 242,728")
    book_value_per_share: Size = Field(6000000.0, description="USD; seen at most 550,911")


class FundamentalsSettings(Section):
    refresh_days: DaysOrNone = Field(
        5.0,
        description="days; a symbol younger than this is not asked for again; under 7, so that each weekly sweep asks",
    )
    max_report_age_days: Days = Field(
        280.0,
        description="days since the end of the newest reported period; older figures get no score. A 10-K is due "
        "90 days after the year, the report before it ends a quarter earlier (182 days), and a late "
        "filing and the provider take their time; who reports by the year alone (20-F) has no score "
        "in the months in which the last report is older",
    )
    score: ScoreSettings = Field(
        ScoreSettings(),
        description="each part is linear from worst (0 points) to best (100 points) and clipped; weights are "
        "percent and add up to 100",
    )
    bands: MetricBands = Field(
        MetricBands(),
        description="where the median of the sizes (absolute values) of a metric over the universe must lie: a "
        "change of units moves it by 100; seen: 19 recorded weeks, and generated markets of 25 to "
        "1,500 stocks",
    )
    plausible: PlausibleSizes = Field(
        PlausibleSizes(),
        description="the largest size (absolute value) of a figure that is believed: ten times the largest of 19 "
        "recorded weeks; a name beyond it keeps its last figures until a later sweep has found the "
        "same (at most twice guards.max_score_age_days), else has no score",
    )
