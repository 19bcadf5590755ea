"""Which stocks exist for the platform, and which are followed."""

from typing import Annotated, Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Change, Days, DaysOrNone, Names, Section

Exchange = Literal["NYSE", "NASDAQ", "AMEX"]
SecurityType = Literal[
    "ADR", "Closed-End Fund", "Common Stock", "Dutch Cert", "ETP", "GDR", "Ltd Part", "MLP", "NVDR", "NY Reg Shrs",
    "Preference", "REIT", "Royalty Trst", "Savings Share", "Stapled Security", "Tracking Stk", "Unit",
]  # fmt: skip


class UniverseSettings(Section):
    size: Names
    exchanges: Annotated[tuple[Exchange, ...], Field(min_length=1)]
    security_types: Annotated[tuple[SecurityType, ...], Field(min_length=1)]
    one_share_class_per_issuer: bool
    share_count_drift_pct: Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
    share_count_max_age_days: Days
    max_cap_disagreement_pct: Change
    profile_max_age_days: DaysOrNone
    leave_after_refreshes: Annotated[int, Field(ge=1, le=100)]
