"""The tables of the universe room: columns, units and what must hold in them. How rows come about stays out."""

from typing import Annotated

import numpy as np
import pandas as pd
import pandera.pandas as pa


class Listings(pa.DataFrameModel):
    """One row per listed security, as Finnhub's /stock/symbol gives it; what it leaves out is missing here."""

    symbol: str = pa.Field(unique=True, str_length={"min_value": 1}, description="ticker; share classes as BRK.B")
    description: str = pa.Field(nullable=True, description="name of the security")
    type: str = pa.Field(nullable=True, description="OpenFIGI security type, e.g. Common Stock")
    mic: str = pa.Field(nullable=True, description="market identifier code of the exchange (ISO 10383), e.g. XNYS")
    currency: str = pa.Field(nullable=True, description="currency of the price (ISO 4217)")
    figi: str = pa.Field(nullable=True, description="OpenFIGI identifier of the listing")
    share_class_figi: str = pa.Field(nullable=True, description="OpenFIGI identifier of the share class")

    class Config:
        strict = True
        coerce = True


class Profiles(pa.DataFrameModel):
    """One row per candidate: the last profile that was seen of it, if any, beside its price now."""

    symbol: str = pa.Field(unique=True, str_length={"min_value": 1}, description="ticker")
    exchange: str = pa.Field(isin=["NYSE", "NASDAQ", "AMEX"], description="exchange of the listing")
    name: str = pa.Field(nullable=True, description="company name in the profile; equal for all classes of an issuer")
    currency: str = pa.Field(nullable=True, description="currency of the profile's market cap (ISO 4217)")
    market_cap_musd: float = pa.Field(nullable=True, description="market cap in the profile, million USD")
    shares_outstanding_m: float = pa.Field(nullable=True, description="shares outstanding in the profile, millions")
    price: float = pa.Field(nullable=True, description="price now, USD")
    traded_value_musd: float = pa.Field(nullable=True, description="price x volume of the last session, million USD")
    industry: str = pa.Field(nullable=True, description="industry as Finnhub names it; empty or missing: not known")
    fresh: bool = pa.Field(description="the profile was asked for in this refresh (an empty answer is one, too)")

    class Config:
        strict = True
        coerce = True


class KnownProfiles(pa.DataFrameModel):
    """What Finnhub's /stock/profile2 said of a symbol at one instant; an empty answer is a row without figures."""

    symbol: str = pa.Field(unique=True, str_length={"min_value": 1}, description="ticker")
    known_at: Annotated[pd.DatetimeTZDtype, "us", "UTC"] = pa.Field(description="when the answer was received")
    name: str = pa.Field(nullable=True, description="company name")
    currency: str = pa.Field(nullable=True, description="currency of the market cap (ISO 4217)")
    market_cap_musd: float = pa.Field(nullable=True, description="market cap, million USD if that is the currency")
    shares_outstanding_m: float = pa.Field(nullable=True, description="shares outstanding, millions")
    industry: str = pa.Field(nullable=True, description="industry as Finnhub names it; empty or missing: not known")

    class Config:
        strict = True
        coerce = True


class Universe(pa.DataFrameModel):
    """The stocks that are followed, ordered by rank."""

    symbol: str = pa.Field(
        unique=True, str_length={"min_value": 1}, description="ticker", metadata={"from": ["listings.symbol"]}
    )
    name: str = pa.Field(nullable=True, description="company name")
    exchange: str = pa.Field(
        isin=["NYSE", "NASDAQ", "AMEX"], description="exchange of the listing", metadata={"from": ["listings.mic"]}
    )
    market_cap_musd: float = pa.Field(gt=0, lt=np.inf, description="market cap, million USD")
    shares_outstanding_m: float = pa.Field(gt=0, lt=np.inf, description="shares outstanding, millions")
    price: float = pa.Field(gt=0, lt=np.inf, description="price when the universe was made, USD")
    traded_value_musd: float = pa.Field(nullable=True, ge=0, description="price x volume of a session, million USD")
    industry: str = pa.Field(nullable=True, description="industry as Finnhub names it; empty or missing: not known")
    rank: int = pa.Field(unique=True, ge=1, description="1 = largest market cap")

    class Config:
        strict = True
        coerce = True

    @pa.dataframe_check(name="ranks_follow_market_cap", description="ranks are 1..n, by falling market cap")
    @classmethod
    def _ranks_follow_market_cap(cls, frame: pd.DataFrame) -> bool:
        ordered = frame.sort_values("rank")
        return bool(
            (ordered["rank"].to_numpy() == np.arange(1, len(frame) + 1)).all()
            and ordered["market_cap_musd"].is_monotonic_decreasing
        )
