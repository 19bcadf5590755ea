"""How Finnhub is asked."""

from pydantic import Field

from tokenomics_dagster.settings.section import Attempts, CallsPerMinute, Seconds, Section


class FinnhubSettings(Section):
    calls_per_minute: CallsPerMinute = Field(
        58.0, description="calls a minute; the free plan has 60, and users see 429 a little below the nominal rate"
    )
    max_calls_per_second: float = Field(
        30.0, ge=0.1, le=100_000, description="calls a second; Finnhub's cap, whatever the plan"
    )
    timeout_s: Seconds = Field(10.0, description="seconds of silence within one answer")
    deadline_s: Seconds = Field(
        60.0, description="seconds for one whole answer: one that drips is never silent; the listings are 10 MB"
    )
    max_attempts: Attempts = Field(5, description="attempts at a read, for what is transient")
    max_in_flight: int = Field(300, ge=1, le=10_000, description="calls under way at once: the cap times the time-out")
