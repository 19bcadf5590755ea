"""Makes the trade plan of the running week from target weights and what the broker says of the account and the market.

Which trades reach the targets is decided in trades.py; keeping the plan is the asset's, carrying it out the execution
room's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.canonical import digest
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.identity import is_ours
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import EQUITY, Deadline, Holdings, Position
from tokenomics_dagster.portfolio.commitments import cost_left, shares_promised, to_price
from tokenomics_dagster.portfolio.doubts import LeftAlone
from tokenomics_dagster.portfolio.quotes import Judged, judge
from tokenomics_dagster.portfolio.schema import PlanInputs, TargetWeightsDetails, TradePlanDetails
from tokenomics_dagster.portfolio.standing import Past, Standing, look
from tokenomics_dagster.portfolio.trades import Money, Names, Trades, plan_trades, planned_orders
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.trading import TradingSettings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.universe.renames import renamed

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.model.trading import Account, Broker, Brokerage, Clock, Order, Snapshot

log = logging.getLogger("tokenomics.portfolio")
decisions = logging.getLogger("tokenomics.decisions")

_SHORTS = "short positions"


class CannotPlan(UserError):
    """Nothing may be planned now; the text says why and what to do."""


def make_plan(
    weights: Made[TargetWeightsDetails],
    week: date,
    broker: Brokerage,
    clock: Clock,
    settings: Settings,
    past: Callable[[str], Past],
) -> tuple[Made[TradePlanDetails], Plan]:
    """The `TradePlan` with what the next plan must know of this one, and the sealed plan of its orders.

    The `weights` are of the equity without what is foreign. `past` tells by an account's number what is known of it:
    stocks that no sleeve has ever owned are foreign (trading.foreign_positions), what does not fit to the plan before
    is left alone.
    Waits for orders of ours that a killed run has left open. Raises CannotPlan for another week than the running
    one. Whether enough names have a price is judged by checks.check_trade_plan.
    """
    _wait_for_own_orders(broker, clock, settings.trading)
    now = broker.clock().now
    _require_running(week, now)
    # First of the three: what fills in between must show in the positions, or else as open.
    open_orders = broker.orders(status="open")
    account = broker.account()
    standing = look(broker, past(account.number), weights.frame, settings.trading, now)
    holdings = standing.holdings
    held, equity = holdings.ours, _investable(account, standing)
    targets = renamed(weights.frame, standing.links)
    positions = {symbol: (p.qty, _available(p, open_orders, settings.trading)) for symbol, p in held.items()}
    symbols = sorted({*targets["symbol"], *positions})
    fractionable = {a.symbol: a.fractionable for a in standing.assets.values() if a.tradable}
    market = broker.snapshots([*symbols, *to_price(open_orders)])
    # The clock anew: what is quoted while the calls above wait for their turn is not of the future.
    judged = _judged(symbols, market, broker.clock().now, settings.guards)
    prices = {symbol: one.price for symbol, one in judged.items() if one.price is not None}
    found = standing.doubts(targets["symbol"], prices, settings.guards)
    names = Names(
        positions,
        prices,
        {symbol: fractionable[symbol] for symbol in symbols if symbol in fractionable},
        unpriced={symbol: one.reason for symbol, one in judged.items() if one.reason is not None},
        disputed=standing.disputed(found),
        covering={symbol: p.covering for symbol, p in held.items()},
        worth=standing.worth(prices),
    )
    (frame, not_planned), names, bound = _traded(targets, names, open_orders, market, account, holdings, settings)
    plan = Plan(
        week=week,
        created_at=now,
        account=account.number,
        equity=equity,
        cash=account.cash,
        scores_as_of=weights.details.scores_as_of,
        positions={symbol: p.qty for symbol, p in held.items()},
        inputs_hash=_hash(targets, names, settings),
        orders=planned_orders(frame),
        foreign=dict(standing.foreign),
        taken=tuple(standing.taken),
    ).sealed()
    inputs = _inputs(weights.as_of, frame, names, settings)
    details = _details(plan, standing, found, not_planned, bound, inputs, market)
    _note_left_alone(frame, plan.plan_id)
    return Made(frame, now, details), plan


def _details(
    plan: Plan,
    standing: Standing,
    found: Mapping[str, LeftAlone],
    not_planned: Mapping[str, Decimal],
    bound: Mapping[str, Decimal],
    inputs: PlanInputs,
    market: Mapping[str, Snapshot],
) -> TradePlanDetails:
    """What the next plan and whoever carries this one out must know beside its rows."""
    return TradePlanDetails(
        not_planned=not_planned,
        plan=plan.to_document(),
        foreign=[str(row) for row in standing.holdings.foreign],
        bound_cash=bound,
        doubted={symbol: one.fields for symbol, one in standing.still_doubted(found).items()},
        asset_ids=standing.asset_ids,
        renamed=standing.links,
        own={symbol: sorted(ids) for symbol, ids in sorted(standing.own.items())},
        quotes=_quotes(plan, market),
        inputs=inputs,
    )


def _quotes(plan: Plan, market: Mapping[str, Snapshot]) -> dict[str, tuple[Decimal, Decimal]]:
    """What there was to be had and to be paid when the orders were decided: what an execution is measured against."""
    known = ((order.symbol, market[order.symbol]) for order in plan.orders if order.symbol in market)
    return {symbol: (one.bid, one.ask) for symbol, one in known if one.bid is not None and one.ask is not None}


def _inputs(weights_as_of: datetime, frame: pd.DataFrame, names: Names, settings: Settings) -> PlanInputs:
    """What execution/parity.py decides the plan again with."""
    undecided = {*names.open_orders, *names.disputed}
    return PlanInputs(
        target_weights_as_of=weights_as_of,
        rules=settings.rebalancing.model_dump(mode="json"),
        free={symbol: free for symbol, (qty, free) in sorted(names.positions.items()) if free < qty},
        whole=sorted(symbol for symbol, fractionable in names.assets.items() if not fractionable),
        left_alone=sorted(s for s in frame["symbol"] if s in undecided or s not in names.assets),
    )


def _note_left_alone(frame: pd.DataFrame, plan_id: str) -> None:
    left_alone = frame[frame["side"] == "none"]
    for symbol, reason in zip(left_alone["symbol"], left_alone["reason"], strict=True):
        decisions.info("left alone %s: %s", symbol, reason, extra={"symbol": symbol, "plan_id": plan_id})


def _require_running(week: date, now: datetime) -> None:
    if week != calendar.week_of(now):
        raise CannotPlan(
            f"{week} is not the running week ({calendar.week_of(now)} by the broker's clock): a past week is "
            "never planned or traded"
        )


def _investable(account: Account, standing: Standing) -> Decimal:
    """USD that weights are of."""
    equity = standing.holdings.investable(account)
    if equity <= 0:
        adopt = "; `tokenomics adopt` lets the strategy have stocks that it did not buy" if standing.foreign else ""
        raise CannotPlan(
            f"equity is {account.equity:,.2f} USD, of it {standing.holdings.foreign_assets:,.2f} in what this strategy "
            f"does not trade: nothing is left to plan with, see the broker's dashboard{adopt}"
        )
    return equity


def _hash(targets: pd.DataFrame, names: Names, settings: Settings) -> str:
    return digest(
        {
            "targets": targets[["symbol", "weight"]].to_numpy().tolist(),
            "positions": names.positions,
            "prices": names.prices,
            "rules": settings.rebalancing.model_dump(mode="json"),
        }
    )


def _traded(
    targets: pd.DataFrame,
    names: Names,
    open_orders: Sequence[Order],
    market: Mapping[str, Snapshot],
    account: Account,
    holdings: Holdings,
    settings: Settings,
) -> tuple[Trades, Names, dict[str, Decimal]]:
    """The trades, the names as they were decided with, and USD by what binds them. Orders of others are gone only where
    their name is traded."""
    cancelled = [order for order in open_orders if _may_be_cancelled(order, settings.trading)]
    while True:
        staying = [order for order in open_orders if order not in cancelled]
        bound = _bound_cash(staying, market, holdings)
        # What is owed for shorts is not there to invest; what orders may take, or nobody knows the cost of, might be.
        owed = {_SHORTS: bound[_SHORTS]} if bound.get(_SHORTS, Decimal("Infinity")).is_finite() else {}
        names = replace(names, open_orders={order.symbol for order in staying if order.asset_class == EQUITY})
        found = plan_trades(
            targets,
            names,
            Money(
                holdings.investable(account),
                account.cash - sum(owed.values(), Decimal(0)),  # what pays: see execution/funding.py
                {what: usd for what, usd in bound.items() if what not in owed},
            ),
            settings.rebalancing,
        )
        traded = set(found.frame.loc[found.frame["side"] != "none", "symbol"])
        if all(order.symbol in traded for order in cancelled):
            return found, names, bound
        # The rebalance cancels those on names that it trades; what the others take is not there to plan with.
        cancelled = [order for order in cancelled if order.symbol in traded]


def _wait_for_own_orders(broker: Broker, clock: Clock, trading: TradingSettings) -> None:
    """Until none is open, or settle_timeout_s long: proceeds that are still to come could not be planned with."""
    deadline = Deadline(clock, trading.settle_timeout_s)
    while any(is_ours(o.client_order_id) for o in broker.orders(status="open")):
        if deadline.passed:
            log.warning("orders of ours are still open: their symbols are left alone, their cash is not counted on")
            return
        clock.wait(trading.poll_interval_s)


def _may_be_cancelled(order: Order, trading: TradingSettings) -> bool:
    """An order of somebody else on a stock, which the rebalance cancels if it is to trade that stock."""
    others = order.asset_class == EQUITY and not is_ours(order.client_order_id)
    return trading.foreign_orders == "cancel" and others


def _available(position: Position, open_orders: Iterable[Order], trading: TradingSettings) -> Decimal:
    """Shares that may be sold: neither held by orders that stay open nor needed under a call that somebody wrote."""
    cancelled = trading.foreign_orders == "cancel"
    free = position.qty - position.covering if cancelled else position.qty_available
    return max(free - shares_promised(open_orders, position.symbol), Decimal(0))


def _judged(
    symbols: Iterable[str], market: Mapping[str, Snapshot], now: datetime, guards: GuardSettings
) -> dict[str, Judged]:
    return {symbol: judge(market.get(symbol), now, guards) for symbol in symbols}


def _bound_cash(orders: Iterable[Order], market: Mapping[str, Snapshot], holdings: Holdings) -> dict[str, Decimal]:
    """USD of the account's cash that are not there to buy with, by what binds them; infinite where nobody can tell."""
    bound = {}
    for order in orders:
        cost = cost_left(order, market, holdings.symbols)
        bound[f"open order {order.client_order_id or order.id} ({order.asset_class} {order.symbol})"] = (
            Decimal("Infinity") if cost is None else cost
        )
    if holdings.secured:
        bound[_SHORTS] = holdings.secured
    return {what: usd for what, usd in bound.items() if usd}
