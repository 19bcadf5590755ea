"""Cash that open orders may still take, by the rules of each class of assets. Pure.

Stocks cost their price, options a hundred times it, a short put its strike; orders of several options have neither
symbol nor side of their own. Whose the orders are does not matter: they take the cash of one account.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from tokenomics_dagster.model.trading import (
    CRYPTO,
    EQUITY,
    OPTION,
    SHARES_PER_CONTRACT,
    Leg,
    Order,
    Snapshot,
    parse_option,
    root_of,
)


def to_price(orders: Iterable[Order]) -> list[str]:
    """The stocks whose quotes `cost_left` may need."""
    return [order.symbol for order in orders if order.asset_class == EQUITY]


def cost_left(order: Order, market: Mapping[str, Snapshot], held: Collection[str]) -> Decimal | None:
    """What an open order may still take, USD: at its limit, else at the best price known of its name; None: unknown.

    `held`: the stocks that the account holds. Selling another one is a short sale, whose shares must be bought back.
    """
    if order.asset_class == OPTION:
        return _option(order)
    if order.asset_class == EQUITY and order.side == "sell" and order.symbol in held:
        return Decimal(0)
    if order.asset_class == CRYPTO and order.side == "sell":
        return Decimal(0)  # it cannot be sold short
    if order.notional is not None:
        return order.notional - order.filled_qty * (order.filled_avg_price or Decimal(0))
    snapshot = market.get(order.symbol) if order.asset_class == EQUITY else None
    known = (snapshot.ask, snapshot.price, snapshot.close, snapshot.previous_close) if snapshot else ()
    price = next((one for one in (order.limit_price, *known, order.filled_avg_price) if one), None)
    if order.qty is None or price is None or order.asset_class not in (EQUITY, CRYPTO):
        return None
    return (order.qty - order.filled_qty) * price


def shares_promised(orders: Iterable[Order], symbol: str) -> Decimal:
    """Shares of a stock that open orders write calls on: selling them would leave the calls naked."""
    contracts = Decimal(0)
    for order in orders:
        if order.asset_class != OPTION or order.qty is None:
            continue
        for leg in _legs(order):
            option = parse_option(leg.symbol)
            if option is not None and option.right == "C" and _opens_short(leg) and option.root == root_of(symbol):
                contracts += (order.qty - order.filled_qty) * leg.ratio
    return contracts * SHARES_PER_CONTRACT


def _option(order: Order) -> Decimal | None:
    """What is paid for the contracts, and the strikes of the puts among those that are written."""
    legs = _legs(order)
    if not order.legs and (legs[0].side, legs[0].intent) == ("sell", "sell_to_close"):
        return Decimal(0)
    if order.qty is None:
        return None
    shares = (order.qty - order.filled_qty) * SHARES_PER_CONTRACT
    strikes = Decimal(0)
    for leg in legs:
        option = parse_option(leg.symbol)
        if option is None:
            return None
        if option.right == "P" and _opens_short(leg):
            strikes += option.strike * leg.ratio
    if not order.legs and order.side == "sell":
        return strikes * shares
    # Of several the limit is what they cost together, negative where they earn.
    return None if order.limit_price is None else (max(order.limit_price, Decimal(0)) + strikes) * shares


def _legs(order: Order) -> tuple[Leg, ...]:
    return order.legs or (Leg(order.symbol, order.side, order.intent, Decimal(1)),)


def _opens_short(leg: Leg) -> bool:
    return leg.side == "sell" and leg.intent != "sell_to_close"
