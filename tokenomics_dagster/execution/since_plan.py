"""What has changed since the plan was made: which names are no longer held as it knows them, what a plan that waited
for a person is worth at the prices of now. Pure; the plan itself never changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from tokenomics_dagster.execution.funding import cut, fit
from tokenomics_dagster.execution.reconciliation import QTY_TOLERANCE
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.model.trading import Fill, Position
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings


def moved_names(orders: Iterable[PlannedOrder], plan: Plan, held: Mapping[str, Position]) -> dict[str, Decimal]:
    """By how many shares the names of orders that were not sent yet are held otherwise than the plan knows."""
    moved = {}
    for order in orders:
        now = held[order.symbol].qty if order.symbol in held else Decimal(0)
        change = now - plan.positions.get(order.symbol, Decimal(0))
        if abs(change) > QTY_TOLERANCE:
            moved[order.symbol] = change
    return moved


def why_left_out(
    orders: Iterable[PlannedOrder], plan: Plan, moved: Mapping[str, Decimal], others: Iterable[Fill]
) -> dict[str, str]:
    """A sentence for each name to leave out, by symbol; `others` are the fills of somebody else since the plan.

    An exit goes on where somebody's trades explain the change: whatever is held then, none of it is wanted.
    """
    traded: dict[str, Decimal] = {}
    for fill in others:
        traded[fill.symbol] = traded.get(fill.symbol, Decimal(0)) + (fill.qty if fill.side == "buy" else -fill.qty)
    reasons = {}
    for order in orders:
        if order.symbol not in moved:
            continue
        planned = plan.positions.get(order.symbol, Decimal(0))
        now, by_others = planned + moved[order.symbol], traded.get(order.symbol, Decimal(0))
        explained = abs(moved[order.symbol] - by_others) <= QTY_TOLERANCE
        if explained and order.exit:
            continue
        cause = (
            f"somebody else {'bought' if by_others > 0 else 'sold'} {_text(abs(by_others))}"
            if explained
            else "no fill explains it: a split, a transfer, or a trade that is not listed yet"
        )
        reasons[order.symbol] = (
            f"{_text(now)} shares are held, the plan was made with {_text(planned)}: {cause}; left out, the next plan "
            "counts with it"
        )
    return reasons


def explained(moved: Mapping[str, Decimal], others: Iterable[Fill]) -> bool:
    """Whether fills of others explain each change; then there is nothing to wait for."""
    left = dict(moved)
    for fill in others:
        if fill.symbol in left:
            left[fill.symbol] -= fill.qty if fill.side == "buy" else -fill.qty
    return all(abs(rest) <= QTY_TOLERANCE for rest in left.values())


def resized(
    plan: Plan, prices: Mapping[str, Decimal], rules: RebalancingSettings
) -> tuple[tuple[PlannedOrder, ...], dict[str, str]]:
    """The plan's orders at `prices` (USD) of now, none larger than planned, and a sentence for each that is another.

    What an order is to leave a name at is the value that it left it at when planned; a sell of no more shares than
    planned, a buy of no more USD, exits as they are. What shrinks below min_trade_usd is no longer needed. A name
    without a price stays as it is: its quote is judged before it is sent.
    """
    orders, why = [], {}
    for order in plan.orders:
        price = prices.get(order.symbol)
        now, reason = (order, None) if price is None else at_price(order, plan, price, rules)
        if now is not None:
            orders.append(now)
        if reason is not None:
            why[order.symbol] = reason
    return tuple(orders), why


def at_price(
    order: PlannedOrder, plan: Plan, price: Decimal, rules: RebalancingSettings
) -> tuple[PlannedOrder | None, str | None]:
    """One order at the `price` of now, None where it is no longer needed, and a sentence if it is another one."""
    now = replace(order, price=price) if order.exit else _to_its_target(order, plan, price)
    if now.value < Decimal(str(rules.min_trade_usd)) and not order.exit:
        return None, f"no longer needed: {price} USD a share, planned with {order.price}"
    if (now.qty, now.notional) != (order.qty, order.notional):
        return now, f"{_size(order)} at {order.price} USD planned, {_size(now)} at {price}"
    return now, None


def within_move(
    order: PlannedOrder, plan: Plan, price: Decimal, rules: RebalancingSettings, guards: GuardSettings
) -> tuple[PlannedOrder | None, str | None]:
    """As `at_price`, but the order as planned while its price has moved by guards.max_plan_price_move_pct at most."""
    moved_pct = abs(price / order.price - 1) * 100
    if moved_pct <= Decimal(str(guards.max_plan_price_move_pct)):
        return order, None
    now, reason = at_price(order, plan, price, rules)
    limit = f"moved by {moved_pct:.1f} %, guards.max_plan_price_move_pct is {guards.max_plan_price_move_pct:g}"
    return now, None if reason is None else f"{reason}; {limit}"


def under_cap(
    order: PlannedOrder, held: Decimal, price: Decimal, equity: Decimal, rules: RebalancingSettings
) -> tuple[PlannedOrder | None, str | None]:
    """A buy of no more than takes the `held` shares at `price` to rebalancing.max_position_pct of `equity` (USD)."""
    room = equity * Decimal(str(rules.max_position_pct)) / 100 - held * price
    if order.side == "sell" or order.value <= room:
        return order, None
    reason = (
        f"{order.value:,.2f} USD would take it above rebalancing.max_position_pct, {rules.max_position_pct:g} % of "
        f"{equity:,.2f} USD: {max(room, Decimal(0)):,.2f} are left, it is at {price} USD"
    )
    return fit(order, room, rules), reason


def _to_its_target(order: PlannedOrder, plan: Plan, price: Decimal) -> PlannedOrder:
    held = plan.positions.get(order.symbol, Decimal(0))
    sign = 1 if order.side == "buy" else -1
    delta = max(sign * (held * order.price + sign * order.value - held * price), Decimal(0))
    return cut(order, delta, price)


def _size(order: PlannedOrder) -> str:
    what = f"{order.notional:,.2f} USD" if order.notional is not None else f"{_text(order.qty or Decimal(0))} shares"
    return f"{order.side} {what}"


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"
