"""The tables of the fundamentals room: columns, units and what must hold in them. How rows come about stays out."""

from typing import Annotated

import pandas as pd
import pandera.pandas as pa

# What decides whether there is a score, and which.
_FIGURES = [
    "financials.roe_ttm_pct",
    "financials.debt_to_equity",
    "financials.revenue_growth_yoy_pct",
    "financials.eps_growth_yoy_pct",
    "financials.book_value_per_share",
    "financials.reported_period",
]
_PERIOD = r"^\d{4}-\d{2}-\d{2}$"


class Financials(pa.DataFrameModel):
    """What Finnhub's /stock/metric said of a symbol at one instant; what it left out is missing, never zero."""

    symbol: str = pa.Field(
        unique=True, str_length={"min_value": 1}, description="ticker", metadata={"from": ["universe.symbol"]}
    )
    known_at: Annotated[pd.DatetimeTZDtype, "us", "UTC"] = pa.Field(description="when the values were received")
    roe_ttm_pct: float = pa.Field(nullable=True, description="return on equity, trailing twelve months, percent")
    debt_to_equity: float = pa.Field(nullable=True, description="total debt / total equity, ratio")
    revenue_growth_yoy_pct: float = pa.Field(nullable=True, description="revenue growth, year over year, percent")
    eps_growth_yoy_pct: float = pa.Field(nullable=True, description="EPS growth, year over year, percent")
    book_value_per_share: float = pa.Field(nullable=True, description="book value per share, USD")
    market_cap_musd: float = pa.Field(nullable=True, description="market cap, million USD")
    reported_period: str = pa.Field(
        nullable=True,
        str_matches=_PERIOD,
        description="end of the newest period that the figures are of, ISO 8601; missing where it is not told",
    )

    class Config:
        strict = True
        coerce = True


class Scores(pa.DataFrameModel):
    """One row per symbol: a score, or the reason for which there is none; with the figures that it was made from."""

    symbol: str = pa.Field(
        unique=True, str_length={"min_value": 1}, description="ticker", metadata={"from": ["universe.symbol"]}
    )
    score: float = pa.Field(
        nullable=True,
        ge=0,
        le=100,
        description="points, 0 to 100; missing where not scored",
        metadata={"from": _FIGURES},
    )
    reason: str = pa.Field(
        nullable=True,
        description="why there is no score; missing where scored",
        metadata={"from": _FIGURES},
    )
    roe_points: float = pa.Field(
        nullable=True,
        ge=0,
        le=100,
        description="points for ROE; missing where not scored",
        metadata={"from": ["financials.roe_ttm_pct"]},
    )
    debt_points: float = pa.Field(
        nullable=True,
        ge=0,
        le=100,
        description="points for debt/equity; missing where not scored",
        metadata={"from": ["financials.debt_to_equity"]},
    )
    growth_points: float = pa.Field(
        nullable=True,
        ge=0,
        le=100,
        description="points for growth; missing where not scored",
        metadata={"from": ["financials.revenue_growth_yoy_pct", "financials.eps_growth_yoy_pct"]},
    )
    roe_ttm_pct: float = pa.Field(
        nullable=True,
        description="return on equity, trailing twelve months, percent",
        metadata={"from": ["financials.roe_ttm_pct"]},
    )
    debt_to_equity: float = pa.Field(
        nullable=True, description="total debt / total equity, ratio", metadata={"from": ["financials.debt_to_equity"]}
    )
    revenue_growth_yoy_pct: float = pa.Field(
        nullable=True,
        description="revenue growth, year over year, percent",
        metadata={"from": ["financials.revenue_growth_yoy_pct"]},
    )
    eps_growth_yoy_pct: float = pa.Field(
        nullable=True,
        description="EPS growth, year over year, percent",
        metadata={"from": ["financials.eps_growth_yoy_pct"]},
    )
    book_value_per_share: float = pa.Field(
        nullable=True, description="book value per share, USD", metadata={"from": ["financials.book_value_per_share"]}
    )
    market_cap_musd: float = pa.Field(
        nullable=True, description="market cap, million USD", metadata={"from": ["universe.market_cap_musd"]}
    )
    known_at: Annotated[pd.DatetimeTZDtype, "us", "UTC"] = pa.Field(
        nullable=True,
        description="when the figures were received; missing where they never were",
        metadata={"from": ["financials.known_at"]},
    )
    reported_period: str = pa.Field(
        nullable=True,
        str_matches=_PERIOD,
        description="end of the newest period that the figures are of, ISO 8601; missing where it is not told",
        metadata={"from": ["financials.reported_period"]},
    )

    class Config:
        strict = True
        coerce = True

    @pa.dataframe_check(name="score_or_reason", description="each row has a score or a reason, never both or neither")
    @classmethod
    def _score_or_reason(cls, frame: pd.DataFrame) -> pd.Series:
        return frame["score"].notna() != frame["reason"].notna()
