"""The limit price made from a quote; whether a quote can be traded on is decided in portfolio/quotes.py. Pure."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal

from tokenomics_dagster.model.trading import Snapshot

_BPS = Decimal(10_000)
_ONE_USD = Decimal(1)
_TICK, _TICK_BELOW_ONE_USD = Decimal("0.01"), Decimal("0.0001")  # SEC rule 612


def limit_price(side: str, snapshot: Snapshot, collar_bps: float) -> Decimal:
    """The quote's price plus (buy) or less (sell) the collar, in USD, on the tick, rounded to the side that fills.

    Never less than a tick: 0 is no price.
    """
    assert snapshot.bid is not None
    assert snapshot.ask is not None
    collar = Decimal(str(collar_bps)) / _BPS
    price = snapshot.ask * (1 + collar) if side == "buy" else snapshot.bid * (1 - collar)
    tick = _TICK if price >= _ONE_USD else _TICK_BELOW_ONE_USD
    return max((price / tick).quantize(Decimal(1), ROUND_UP if side == "buy" else ROUND_DOWN) * tick, tick)
