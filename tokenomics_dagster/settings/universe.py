"""Which stocks exist for the platform, and which are followed."""

from typing import Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Change, Days, DaysOrNone, NameCount, Section

Exchange = Literal["NYSE", "NASDAQ", "AMEX"]
SecurityType = Literal[
    "ADR", "Closed-End Fund", "Common Stock", "Dutch Cert", "ETP", "GDR", "Ltd Part", "MLP", "NVDR", "NY Reg Shrs",
    "Preference", "REIT", "Royalty Trst", "Savings Share", "Stapled Security", "Tracking Stk", "Unit",
]  # fmt: skip


class UniverseSettings(Section):
    size: NameCount = Field(1500, description="stocks followed: the largest by market cap in USD")
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
