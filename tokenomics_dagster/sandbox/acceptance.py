"""Whether a broker accepts an order: the account, the asset, the orders open beside it, and what there is to pay it."""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

from tokenomics_dagster.sandbox.bookings import CENT, SHARE
from tokenomics_dagster.sandbox.market import Instrument, Market, Quote
from tokenomics_dagster.sandbox.orders import Order, OrderRequest, Refused, Restrictions, Side, plain

MINIMUM_BUY = Decimal(1)


def is_partnership(instrument: Instrument) -> bool:
    """Publicly traded partnerships carry the attribute `ptp_no_exception`: their purchase is blocked."""
    return instrument.type == "MLP"


def check_account(restrictions: Restrictions) -> None:
    """Raises Refused for an account that must not trade."""
    if restrictions.trade_suspended_by_user:
        raise Refused(403, 40310000, "new orders are rejected by user request")
    if restrictions.status != "ACTIVE" or restrictions.trading_blocked or restrictions.account_blocked:
        raise Refused(403, 40310000, "account is not authorized to trade")


def check_asset(request: OrderRequest, market: Market, open_orders: Iterable[Order]) -> Instrument:
    """Raises Refused for what is not traded, not so, or not against an order of one's own."""
    symbol = request.symbol
    instrument = market.instruments.get(symbol)
    if instrument is None:
        raise Refused(422, 42210000, f'asset "{symbol}" not found')
    if not instrument.tradable:
        raise Refused(422, 42210000, f'asset "{symbol}" is not tradable')
    if request.side is Side.BUY and is_partnership(instrument):
        raise Refused(403, 40310000, f'asset "{symbol}" is a PTP without exception and cannot be purchased')
    fractional = request.qty is None or request.qty != request.qty.to_integral_value()
    if fractional and not instrument.fractionable:
        raise Refused(403, 40310000, f'asset "{symbol}" is not fractionable')
    for other in open_orders:
        if other.symbol == symbol and other.side is not request.side:
            raise Refused(
                403,
                40310000,
                "potential wash trade detected. use complex orders",
                existing_order_id=other.id,
                reject_reason=f"opposite side {other.type} order exists",
            )
    return instrument


def to_reserve(request: OrderRequest, quote: Quote, buying_power: Decimal, existing: Decimal, held: Decimal) -> Decimal:
    """What the order must hold back, USD of a buy, shares of a sell; Refused if there is not that much.

    `existing` shares are in the account, `held` of them are held back by open orders.
    """
    if request.side is Side.BUY:
        if request.notional is not None:
            cost = request.notional
        else:
            assert request.qty is not None
            cost = (request.qty * (request.limit_price or quote.ask)).quantize(CENT, ROUND_CEILING)
        if cost < MINIMUM_BUY:
            raise Refused(403, 40310000, f"cost basis must be >= minimal amount of order {MINIMUM_BUY}")
        if cost > buying_power:
            raise Refused(
                403,
                40310000,
                "insufficient buying power",
                buying_power=plain(buying_power),
                cost_basis=plain(cost),
            )
        return cost
    if request.notional is not None:
        shares = (request.notional / quote.bid).quantize(SHARE, ROUND_CEILING)
    else:
        assert request.qty is not None
        shares = request.qty
    available = existing - held
    if shares > available:
        raise Refused(
            403,
            40310000,
            f"insufficient qty available for order (requested: {plain(shares)}, available: {plain(available)})",
            available=plain(available),
            existing_qty=plain(existing),
            held_for_orders=plain(held),
            symbol=request.symbol,
        )
    return shares
