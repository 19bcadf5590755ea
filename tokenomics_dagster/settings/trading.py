"""How orders are sent, and how long is waited for them."""

from typing import Literal

from pydantic import Field

from tokenomics_dagster.settings.section import Seconds, SecondsOrNone, Section


class TradingSettings(Section):
    paper: bool = Field(True, description="false needs the live host, live keys and TOKENOMICS_LIVE_ACCOUNT as well")
    market_hours_only: bool = Field(True, description="refuse to trade while the market is closed")
    approval: Literal["auto", "manual"] = Field(
        "auto", description="manual: every plan waits for `tokenomics approve`; auto: only those over a limit below"
    )
    order_type: Literal["market", "limit"] = Field(
        "market",
        description="limit: at the quote plus limit_collar_bps; what does not fill is cancelled at the deadline",
    )
    limit_collar_bps: float = Field(
        20.0, ge=0, le=1_000, description="basis points beyond the quote that a limit order may pay"
    )
    foreign_orders: Literal["skip", "cancel"] = Field(
        "skip",
        description="a symbol with somebody else's open order is left alone; cancel: it is cancelled, if the "
        "symbol is to be traded",
    )
    foreign_positions: Literal["leave", "sell"] = Field(
        "leave",
        description="a stock that no strategy has ever bought here is left alone until `tokenomics adopt`; sell: "
        "whatever the account holds is traded as if it were bought here",
    )
    poll_interval_s: Seconds = Field(
        1.0, description="seconds between two looks at the open orders: one list call each"
    )
    settle_timeout_s: Seconds = Field(300.0, description="seconds until an order that is not final is cancelled")
    cancel_timeout_s: Seconds = Field(
        30.0, description="seconds until a cancel must have taken effect; pending_cancel can stick for ever"
    )
    cash_timeout_s: SecondsOrNone = Field(
        30.0,
        description="seconds until cash and positions must be what the fills make of them; accounts were seen to "
        "answer with old ones for a second or more",
    )
    lookup_grace_s: SecondsOrNone = Field(
        10.0,
        description="seconds during which an order whose answer was lost is looked for before the same id is sent"
        " again",
    )
