"""What is traded of one name, and how much: the decision alone, in floats, for a plan and for history alike.

Scalars in, scalars out, nothing but arithmetic: the research room compiles these very functions. What an order asks of
the broker is made of the decision in Decimal, by trades.py.

A figure within 1e-9 (relative) of a boundary stands on it: a drift of exactly the threshold, a trade of exactly the
minimum and exactly a whole share are traded, though their nearest floats lie below.
"""

import math

TOLERANCE = 1e-9
TRADE, CUT, NOT_FREE, DRIFT, MINIMUM, UNDER_A_SHARE, SMALL_SHARES, NOTHING = range(8)
"""What is decided of a name: traded as wanted; sold as far as it is free; nothing free to sell; skipped for too small a
drift, too small a trade, less than one share, whole shares under the minimum; nothing that could be sold."""
SKIPPED_AS_SMALL = (DRIFT, MINIMUM, UNDER_A_SHARE, SMALL_SHARES)


def whole(shares: float) -> float:
    """Shares without their fraction."""
    return math.floor(shares * (1 + TOLERANCE))


def decide(
    target: float, price: float, shares: float, free: float, fractional: bool, threshold: float, minimum: float
) -> tuple[int, float]:
    """What is decided, and how many shares are traded for it, above zero to buy.

    `target` USD (0 where the name is to be held no more: all of it is sold, whatever it is worth), `price` USD a share,
    `shares` held, of which `free` may be sold; `threshold` a share of the target, `minimum` USD.
    """
    if target == 0:
        leaving = shares if fractional else whole(shares)
        return _sold(leaving, free if fractional else whole(free), price, 0.0)
    drift = target - shares * price
    size = abs(drift)
    if size < threshold * target * (1 - TOLERANCE):
        return DRIFT, 0.0
    if size < minimum * (1 - TOLERANCE):
        return MINIMUM, 0.0
    wanted = size / price
    if not fractional:
        wanted = whole(wanted)
        if wanted == 0:
            return UNDER_A_SHARE, 0.0
        if wanted * price < minimum * (1 - TOLERANCE):
            return SMALL_SHARES, 0.0
    if drift > 0:
        return TRADE, wanted
    return _sold(wanted, free if fractional else whole(free), price, minimum)


def _sold(wanted: float, free: float, price: float, minimum: float) -> tuple[int, float]:
    if wanted == 0:
        return NOTHING, 0.0
    if wanted <= free * (1 + TOLERANCE):
        return TRADE, -wanted
    if free > 0 and free * price >= minimum * (1 - TOLERANCE):
        return CUT, -free
    return NOT_FREE, 0.0


def affordable(shares: float, cost: float, price: float, cash: float, fractional: bool, minimum: float) -> float:
    """How many of the shares to buy `cash` (USD) pays at `cost` each (USD); 0 where they are worth under the minimum.

    `price` is what a share is worth, `cost` what is paid for it: the half spread, fees and impact with it.
    """
    if shares * cost <= cash:
        return shares
    if cash <= 0:
        return 0.0
    paid = cash / cost if fractional else whole(cash / cost)
    if not fractional and paid * cost > cash:  # the tolerance is for what is wanted, never for what is not there
        paid -= 1
    return paid if paid > 0 and paid * price >= minimum * (1 - TOLERANCE) else 0.0
