"""How long runs are kept."""

from pydantic import Field

from tokenomics_dagster.settings.section import Section


class RetentionSettings(Section):
    runs_days: float = Field(
        90.0,
        ge=14,  # a sweep and a rebalance may still be looked into
        le=3_650,
        description="days that runs and their events are kept; the newest of each partition and whatever an open "
        "plan or order refers to always are",
    )
