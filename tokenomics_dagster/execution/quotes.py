"""Whether a quote can be traded on, and the limit price made from it. Pure."""

from datetime import datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from tokenomics_dagster.providers.alpaca import Snapshot
from tokenomics_dagster.settings import GuardSettings

_BPS = Decimal(10_000)
_ONE_USD = Decimal(1)
_TICK, _TICK_BELOW_ONE_USD = Decimal("0.01"), Decimal("0.0001")  # SEC rule 612


def flaw(snapshot: Snapshot | None, now: datetime, guards: GuardSettings) -> str | None:
    """Why the quote cannot be traded on, with figure and limit; None when it is good."""
    if snapshot is None:
        return "no quote"
    bid, ask, close = snapshot.bid, snapshot.ask, snapshot.previous_close
    if bid is None or ask is None or snapshot.quote_at is None:
        return "a quote with one side only"
    age_s = (now - snapshot.quote_at).total_seconds()
    if age_s > guards.max_quote_age_s:
        return f"quote too old: {age_s:.0f} s, guards.max_quote_age_s is {guards.max_quote_age_s:g}"
    if bid > ask:
        return f"crossed quote: bid {bid}, ask {ask}"
    middle = (bid + ask) / 2
    spread_bps = (ask - bid) / middle * _BPS
    if spread_bps > Decimal(str(guards.max_spread_bps)):
        return f"spread too wide: {spread_bps:.0f} bps, guards.max_spread_bps is {guards.max_spread_bps:g}"
    if close is None:
        return "no previous close to compare the quote with"
    move_pct = abs(middle / close - 1) * 100
    if move_pct > Decimal(str(guards.max_price_move_pct)):
        return (
            f"far from the previous close: {move_pct:.1f} %, guards.max_price_move_pct is {guards.max_price_move_pct:g}"
        )
    return None


def limit_price(side: str, snapshot: Snapshot, collar_bps: float) -> Decimal:
    """The quote's price plus (buy) or less (sell) the collar, in USD, on the tick, rounded to the side that fills."""
    assert snapshot.bid is not None
    assert snapshot.ask is not None
    collar = Decimal(str(collar_bps)) / _BPS
    price = snapshot.ask * (1 + collar) if side == "buy" else snapshot.bid * (1 - collar)
    tick = _TICK if price >= _ONE_USD else _TICK_BELOW_ONE_USD
    return (price / tick).quantize(Decimal(1), ROUND_UP if side == "buy" else ROUND_DOWN) * tick
