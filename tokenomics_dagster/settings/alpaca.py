"""How Alpaca is asked, and its two hosts."""

from typing import Annotated, Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Attempts, CallsPerMinute, Seconds, Section

PAPER_TRADING_URL = "https://paper-api.alpaca.markets"
LIVE_TRADING_URL = "https://api.alpaca.markets"


class AlpacaSettings(Section):
    calls_per_minute: CallsPerMinute
    timeout_s: Seconds
    deadline_s: Seconds
    max_attempts: Attempts
    data_feed: Literal["iex", "sip", "delayed_sip"]
    symbols_per_call: Annotated[int, Field(ge=1, le=200)]
