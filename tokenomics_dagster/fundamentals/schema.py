"""The tables of the fundamentals room: columns, units and what must hold in them; and what belongs to a snapshot.

How rows come about stays out.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tokenomics_dagster.kit.tables import Table, UtcInstant, column, symbol_column
from tokenomics_dagster.model.details import Details, Instant

# What decides whether there is a score, and which.
_FIGURES = [
    "financials.roe_ttm_pct",
    "financials.debt_to_equity",
    "financials.revenue_growth_yoy_pct",
    "financials.eps_growth_yoy_pct",
    "financials.book_value_per_share",
    "financials.reported_period",
]
_ROE = "return on equity, trailing twelve months, percent"
_DEBT = "total debt / total equity, ratio"
_REVENUE_GROWTH = "revenue growth, year over year, percent"
_EPS_GROWTH = "EPS growth, year over year, percent"
_BOOK_VALUE = "book value per share, USD"
_MARKET_CAP = "market cap, million USD"


def _period_column(*made_from: str) -> Any:
    what = "end of the newest period that the figures are of, ISO 8601; missing where it is not told"
    return column(what, *made_from, nullable=True, str_matches=r"^\d{4}-\d{2}-\d{2}$")


def _points_column(what: str, *made_from: str) -> Any:
    return column(f"points for {what}; missing where not scored", *made_from, nullable=True, ge=0, le=100)


class Financials(Table):
    """What Finnhub's /stock/metric said of a symbol at one instant; what it left out is missing, never zero."""

    symbol: str = symbol_column("universe.symbol")
    known_at: UtcInstant = column("when the values were received")
    roe_ttm_pct: float = column(_ROE, nullable=True)
    debt_to_equity: float = column(_DEBT, nullable=True)
    revenue_growth_yoy_pct: float = column(_REVENUE_GROWTH, nullable=True)
    eps_growth_yoy_pct: float = column(_EPS_GROWTH, nullable=True)
    book_value_per_share: float = column(_BOOK_VALUE, nullable=True)
    market_cap_musd: float = column(_MARKET_CAP, nullable=True)
    reported_period: str = _period_column()


class Scores(Table):
    """One row per symbol: a score, or the reason for which there is none; with the figures that it was made from."""

    symbol: str = symbol_column("universe.symbol")
    score: float = column("points, 0 to 100; missing where not scored", *_FIGURES, nullable=True, ge=0, le=100)
    reason: str = column("why there is no score; missing where scored", *_FIGURES, nullable=True)
    roe_points: float = _points_column("ROE", "financials.roe_ttm_pct")
    debt_points: float = _points_column("debt/equity", "financials.debt_to_equity")
    growth_points: float = _points_column(
        "growth", "financials.revenue_growth_yoy_pct", "financials.eps_growth_yoy_pct"
    )
    roe_ttm_pct: float = column(_ROE, "financials.roe_ttm_pct", nullable=True)
    debt_to_equity: float = column(_DEBT, "financials.debt_to_equity", nullable=True)
    revenue_growth_yoy_pct: float = column(_REVENUE_GROWTH, "financials.revenue_growth_yoy_pct", nullable=True)
    eps_growth_yoy_pct: float = column(_EPS_GROWTH, "financials.eps_growth_yoy_pct", nullable=True)
    book_value_per_share: float = column(_BOOK_VALUE, "financials.book_value_per_share", nullable=True)
    market_cap_musd: float = column(_MARKET_CAP, "universe.market_cap_musd", nullable=True)
    known_at: UtcInstant = column(
        "when the figures were received; missing where they never were", "financials.known_at", nullable=True
    )
    reported_period: str = _period_column("financials.reported_period")

    @pa.dataframe_check(name="score_or_reason", description="each row has a score or a reason, never both or neither")
    @classmethod
    def _score_or_reason(cls, frame: pd.DataFrame) -> pd.Series:
        return frame["score"].notna() != frame["reason"].notna()


class ScoresDetails(Details):
    universe_as_of: Instant = Field(description="the universe that was scored")
    sweep: int = Field(description="number of the sweep whose figures were scored")
    doubted: Mapping[str, Instant] = Field(
        default_factory=dict,
        description="by symbol since when its new score waits for a second look; earlier versions doubted none",
    )
    rules: Mapping[str, Any] | None = Field(
        default=None, description="ScoreSettings of then, as a document; earlier versions did not tell them"
    )
    barred: Mapping[str, str] | None = Field(
        default=None,
        description="by symbol why it has no score, whatever its figures give; None: earlier versions did not tell it",
    )
