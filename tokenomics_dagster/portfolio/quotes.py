"""Whether the market of a name can be believed, and the price that follows: at planning as at execution. Pure.

A quote is two people who would trade; a last trade is one print, which may be wrong, late or days old (IEX). So the
quote is judged first, and a recent trade must agree with it; where it does not, today's bar says which one is wrong.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tokenomics_dagster.model.trading import Snapshot
from tokenomics_dagster.settings.guards import GuardSettings

# A stamp may lie a little ahead of the broker's clock: that is read apart from the quotes, and clocks differ.
MAX_AHEAD = timedelta(minutes=1)
NO_PRICE = "no price"
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Judged:
    """`price` in USD, or the `reason` why there is none, with figure and limit."""

    price: Decimal | None
    reason: str | None


def judge(snapshot: Snapshot | None, now: datetime, guards: GuardSettings) -> Judged:
    """The price to plan with: the last trade where a good quote encloses it, else the middle of the quote."""
    if snapshot is None:
        return Judged(None, NO_PRICE)
    bad = reason_against(snapshot, now, guards)
    recent = _is_recent(snapshot.price_at, now, guards)
    if bad is not None:
        two_sided = snapshot.bid is not None and snapshot.ask is not None
        silent = not (recent and snapshot.price) and not (two_sided and _is_recent(snapshot.quote_at, now, guards))
        return Judged(None, f"{NO_PRICE}: {bad}" if silent else bad)
    assert snapshot.bid is not None
    assert snapshot.ask is not None
    if recent and snapshot.price is not None and snapshot.bid <= snapshot.price <= snapshot.ask:
        return Judged(snapshot.price, None)
    return Judged((snapshot.bid + snapshot.ask) / 2, None)


def reason_against(snapshot: Snapshot | None, now: datetime, guards: GuardSettings) -> str | None:
    """Why the quote cannot be traded on, with figure and limit; None when it is good."""
    if snapshot is None:
        return "no quote"
    bid, ask, close = snapshot.bid, snapshot.ask, snapshot.previous_close
    if bid is None or ask is None or snapshot.quote_at is None:
        return "a quote with one side only"
    age_s = (now - snapshot.quote_at).total_seconds()
    if age_s > guards.max_quote_age_s:
        return f"quote too old: {age_s:.0f} s, guards.max_quote_age_s is {guards.max_quote_age_s:g}"
    if age_s < -MAX_AHEAD.total_seconds():
        return f"quote of the future: stamped {-age_s:.0f} s ahead of the broker's clock"
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
    return _contradiction(snapshot, bid, ask, now, guards)


def _contradiction(snapshot: Snapshot, bid: Decimal, ask: Decimal, now: datetime, guards: GuardSettings) -> str | None:
    """Whether a recent trade lies outside the quote, and today's bar does not side with the quote."""
    trade, tolerance = snapshot.price, Decimal(str(guards.max_plan_price_move_pct)) / 100
    low, high = bid * (1 - tolerance), ask * (1 + tolerance)
    if trade is None or not _is_recent(snapshot.price_at, now, guards) or low <= trade <= high:
        return None
    if snapshot.close is not None and low <= snapshot.close <= high:
        return None
    second = "today's bar is missing" if snapshot.close is None else f"today's bar closes at {snapshot.close}"
    return (
        f"quote and last trade disagree: {bid} to {ask}, the trade was at {trade}, {second}; "
        f"guards.max_plan_price_move_pct is {guards.max_plan_price_move_pct:g}"
    )


def _is_recent(at: datetime | None, now: datetime, guards: GuardSettings) -> bool:
    """Not older than guards.max_quote_age_s, and not of the future."""
    return at is not None and -MAX_AHEAD <= now - at <= timedelta(seconds=guards.max_quote_age_s)
