"""How Alpaca is asked, and its two hosts."""

from typing import Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Attempts, CallsPerMinute, Seconds, Section

PAPER_TRADING_URL = "https://paper-api.alpaca.markets"
LIVE_TRADING_URL = "https://api.alpaca.markets"


class AlpacaSettings(Section):
    calls_per_minute: CallsPerMinute = Field(190.0, description="calls a minute; the trading API takes 200")
    timeout_s: Seconds = Field(15.0, description="seconds of silence within one answer")
    deadline_s: Seconds = Field(60.0, description="seconds for one whole answer: one that drips is never silent")
    max_attempts: Attempts = Field(
        5,
        description="attempts at a read; an order is never repeated, but for what certainly was not taken (429, "
        "no connection)",
    )
    data_feed: Literal["iex", "sip", "delayed_sip"] = Field("iex", description="iex is free; sip needs a subscription")
    symbols_per_call: int = Field(
        100, ge=1, le=200, description="symbols asked for in one call; longer URLs are refused with 414"
    )
