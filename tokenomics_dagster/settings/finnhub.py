"""How Finnhub is asked."""

from typing import Annotated

from pydantic import Field

from tokenomics_dagster.settings.section import Attempts, CallsPerMinute, Seconds, Section


class FinnhubSettings(Section):
    calls_per_minute: CallsPerMinute
    max_calls_per_second: Annotated[float, Field(ge=0.1, le=100_000, allow_inf_nan=False)]
    timeout_s: Seconds
    deadline_s: Seconds
    max_attempts: Attempts
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)]
