"""How long runs are kept."""

from typing import Annotated

from pydantic import Field

from tokenomics_dagster.settings.section import Section


class RetentionSettings(Section):
    runs_days: Annotated[
        float, Field(ge=14, le=3_650, allow_inf_nan=False)
    ]  # a sweep and a rebalance may still be looked into
