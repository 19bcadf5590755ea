"""How orders are sent, and how long is waited for them."""

from typing import Annotated, Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Seconds, SecondsOrNone, Section


class TradingSettings(Section):
    paper: bool
    market_hours_only: bool
    approval: Literal["auto", "manual"]
    order_type: Literal["market", "limit"]
    limit_collar_bps: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
    foreign_orders: Literal["skip", "cancel"]
    poll_interval_s: Seconds
    settle_timeout_s: Seconds
    cancel_timeout_s: Seconds
    cash_timeout_s: SecondsOrNone
    lookup_grace_s: SecondsOrNone
