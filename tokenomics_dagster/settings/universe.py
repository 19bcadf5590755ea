"""Which stocks exist for the platform, and which are followed."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tokenomics_dagster.settings.section import Change, Days, DaysOrNone, NameCount, NameCountOrNone, Section

Exchange = Literal["NYSE", "NASDAQ", "AMEX"]
SecurityType = Literal[
    "ADR", "Closed-End Fund", "Common Stock", "Dutch Cert", "ETP", "GDR", "Ltd Part", "MLP", "NVDR", "NY Reg Shrs",
    "Preference", "REIT", "Royalty Trst", "Savings Share", "Stapled Security", "Tracking Stk", "Unit",
]  # fmt: skip
Ticker = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9.-]{0,14}$")]


class UniverseSettings(Section):
    size: NameCount = Field(1500, description="stocks followed: the largest by market cap in USD")
    symbols: tuple[Ticker, ...] = Field(
        (),
        max_length=20_000,
        description="tickers such as AAPL or BRK.B: exactly these are followed, and size counts no more; those that "
        "cannot be are named by the check universe.listed; empty: the largest",
    )
    starter_size: NameCountOrNone = Field(
        0,
        description="stocks of the first universe, from the most traded names in minutes; the night after it grows to "
        "size by itself; 0: the first one is whole",
    )
    most_traded_up_to: NameCountOrNone = Field(
        500,
        description="stocks; a universe of no more asks for the profiles of the most traded names alone, some 250 "
        "calls for 100 stocks in place of 4,500, and misses one in ten; 0: all are asked for",
    )
    turnover_factor: float = Field(
        1.5,
        ge=0.1,
        le=1_000,
        description="ratio of the median turnover (traded value by market cap) of the largest to the least at which "
        "a name is still looked for among the most traded; of a recorded market's 100 largest 1 finds 87 by 171 calls, "
        "1.5 90 by 254, 3 92 by 443",
    )
    exchanges: tuple[Exchange, ...] = Field(
        ("NYSE", "NASDAQ"), min_length=1, description="NYSE, NASDAQ (all its segments), AMEX; never OTC"
    )
    security_types: tuple[SecurityType, ...] = Field(
        ("Common Stock",), min_length=1, description="OpenFIGI types as Finnhub's /stock/symbol gives them"
    )
    one_share_class_per_issuer: bool = Field(
        True, description="keep the class with the largest traded value: GOOG and GOOGL are one company"
    )
    share_count_drift_pct: float = Field(
        20.0,
        ge=0,
        lt=100,
        description="percent by which a share count may have changed since it was last seen; a name that cannot "
        "reach the universe within it is not asked for again",
    )
    share_count_max_age_days: Days = Field(
        190.0, description="days; an older share count is no share count: the name is asked for"
    )
    max_cap_disagreement_pct: Change = Field(
        50.0,
        description="percent between the reported market cap and shares x price; local-currency caps are 6 to 9 "
        "times too large",
    )
    profile_max_age_days: DaysOrNone = Field(
        3.0,
        description="days; a profile younger than this is not asked for again, so that a killed refresh (2 h on "
        "the free plan) goes on where it was",
    )
    leave_after_refreshes: int = Field(
        2,
        ge=1,
        le=100,
        description="refreshes, profile_max_age_days apart, that must find the same before a name leaves for "
        "another reason than its rank: what Finnhub lacks today is often there again next month; 1: "
        "at once",
    )

    @field_validator("symbols")
    @classmethod
    def _are_different(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({symbol for symbol in symbols if symbols.count(symbol) > 1}):
            raise ValueError(f"must name each stock once, and names {', '.join(twice[:5])} more often")
        return symbols

    @property
    def count(self) -> int:
        """Stocks that are followed in the end."""
        return len(self.symbols) or self.size

    @property
    def begins_small(self) -> bool:
        """Whether the first universe is a starter one, which the next one replaces."""
        return not self.symbols and 0 < self.starter_size < self.size
