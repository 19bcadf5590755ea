"""The tables of the universe room: columns, units and what must hold in them; and what belongs to a snapshot of each.

How rows come about stays out.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tokenomics_dagster.kit.tables import Table, UtcInstant, column, symbol_column
from tokenomics_dagster.model.details import Details, Instant

_EXCHANGES = ["NYSE", "NASDAQ", "AMEX"]
_INDUSTRY = "industry as Finnhub names it; empty or missing: not known"


class Listings(Table):
    """One row per listed security, as Finnhub's /stock/symbol gives it; what it leaves out is missing here."""

    symbol: str = symbol_column(description="ticker; share classes as BRK.B")
    description: str = column("name of the security", nullable=True)
    type: str = column("OpenFIGI security type, e.g. Common Stock", nullable=True)
    mic: str = column("market identifier code of the exchange (ISO 10383), e.g. XNYS", nullable=True)
    currency: str = column("currency of the price (ISO 4217)", nullable=True)
    figi: str = column("OpenFIGI identifier of the listing", nullable=True)
    share_class_figi: str = column("OpenFIGI identifier of the share class", nullable=True)


class ListingsDetails(Details):
    disputed: Mapping[str, str] = Field(
        default_factory=dict,
        description="symbols without a row, and why; none are told by earlier versions, which kept no such rows apart",
    )


class Profiles(Table):
    """One row per candidate: the last profile that was seen of it, if any, beside its price now."""

    symbol: str = symbol_column()
    exchange: str = column("exchange of the listing", isin=_EXCHANGES)
    name: str = column("company name in the profile; equal for all classes of an issuer", nullable=True)
    currency: str = column("currency of the profile's market cap (ISO 4217)", nullable=True)
    market_cap_musd: float = column("market cap in the profile, million USD", nullable=True)
    shares_outstanding_m: float = column("shares outstanding in the profile, millions", nullable=True)
    price: float = column("price now, USD", nullable=True)
    traded_value_musd: float = column("price x volume of the last session, million USD", nullable=True)
    industry: str = column(_INDUSTRY, nullable=True)
    fresh: bool = column("the profile was asked for in this refresh (an empty answer is one, too)")


class KnownProfiles(Table):
    """What Finnhub's /stock/profile2 said of a symbol at one instant; an empty answer is a row without figures."""

    symbol: str = symbol_column()
    known_at: UtcInstant = column("when the answer was received")
    name: str = column("company name", nullable=True)
    currency: str = column("currency of the market cap (ISO 4217)", nullable=True)
    market_cap_musd: float = column("market cap, million USD if that is the currency", nullable=True)
    shares_outstanding_m: float = column("shares outstanding, millions", nullable=True)
    industry: str = column(_INDUSTRY, nullable=True)


class Universe(Table):
    """The stocks that are followed, ordered by rank."""

    symbol: str = symbol_column("listings.symbol")
    name: str = column("company name", nullable=True)
    exchange: str = column("exchange of the listing", "listings.mic", isin=_EXCHANGES)
    market_cap_musd: float = column("market cap, million USD", gt=0, lt=np.inf)
    shares_outstanding_m: float = column("shares outstanding, millions", gt=0, lt=np.inf)
    price: float = column("price when the universe was made, USD", gt=0, lt=np.inf)
    traded_value_musd: float = column("price x volume of a session, million USD", nullable=True, ge=0)
    industry: str = column(_INDUSTRY, nullable=True)
    rank: int = column("1 = largest market cap", unique=True, ge=1)

    @pa.dataframe_check(name="ranks_follow_market_cap", description="ranks are 1..n, by falling market cap")
    @classmethod
    def _ranks_follow_market_cap(cls, frame: pd.DataFrame) -> bool:
        ordered = frame.sort_values("rank")
        return bool(
            (ordered["rank"].to_numpy() == np.arange(1, len(frame) + 1)).all()
            and ordered["market_cap_musd"].is_monotonic_decreasing
        )


class Waiting(Details):
    """A stock that waits in the universe for a second look: what the next refresh must know of it."""

    reason: str = Field(description="why it is in doubt")
    since: Instant = Field(description="when it was found first")
    looks: int = Field(default=0, description="refreshes that have found the same")
    looked_at: Instant | None = Field(default=None, description="the last of them; missing while all calls failed")
    former_rank: int | None = Field(default=None, description="its rank in the universe before the doubt")
    figi: str = Field(default="", description="OpenFIGI identifier of its listing before; empty where there was none")


class UniverseDetails(Details):
    dropped: Mapping[str, str] = Field(description="listed symbols that are not followed, and why")
    candidates: int = Field(description="names that were considered")
    asked: int = Field(description="profiles that were asked for")
    waiting: Mapping[str, Waiting] = Field(
        default_factory=dict, description="by symbol who waits for a second look; nobody did in earlier versions"
    )
    is_starter: bool = Field(
        default=False, description="a first, small universe: the next one is whole; earlier versions made none"
    )
    renamed: Mapping[str, str] = Field(
        default_factory=dict,
        description="new symbols by old ones, of what is followed; earlier versions followed no rename",
    )


class _Planned(Details):
    account: str = ""
    foreign: Mapping[str, str | None] = Field(default_factory=dict)


class PlannedDetails(Details):
    """Of the details of a trade plan: what rooms go by that must not know the plan."""

    asset_ids: Mapping[str, str] = Field(
        default_factory=dict, description="the broker's ids of assets by symbol; earlier versions did not keep them"
    )
    plan: _Planned = Field(default=_Planned(), description="its document: whose account, and what is nobody's there")
