"""What the portfolio is told with, and compared to."""

from pydantic import Field

from tokenomics_dagster.settings.section import Section


class ReportsSettings(Section):
    benchmark: str = Field(
        "SPY",
        pattern=r"^[A-Z][A-Z.]{0,9}$",
        description="symbol of what the portfolio is compared with beside its universe; needs bars at the broker",
    )
