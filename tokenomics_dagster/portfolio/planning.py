"""Makes the trade plan of the running week from target weights and what the broker says of the account and the market.

Which trades reach the targets is decided in trades.py; keeping the plan is the asset's, carrying it out the execution
room's.
"""

from __future__ import annotations

import logging
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster import market_calendar
from tokenomics_dagster.canonical import digest
from tokenomics_dagster.portfolio.plan import STRATEGY, Plan
from tokenomics_dagster.portfolio.trades import plan_trades, planned_orders
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.providers.alpaca import AlpacaResource, Snapshot

log = logging.getLogger("tokenomics.portfolio")
decisions = logging.getLogger("tokenomics.decisions")


class CannotPlan(RuntimeError):
    """Nothing may be planned now; the text says why and what to do."""


def make_plan(
    targets: pd.DataFrame, week: date, broker: AlpacaResource, settings: Settings
) -> tuple[pd.DataFrame, Plan]:
    """The `TradePlan` frame and the sealed plan of its orders; the frame's attrs are `as_of` and `plan`, its document.

    `targets` is a `TargetWeights` frame whose attrs tell `scores_as_of`. Waits for orders of ours that a killed run has
    left open. Raises CannotPlan for another week than the running one. Whether enough names have a price is judged by
    checks.check_trade_plan.
    """
    _wait_for_own_orders(broker, settings)
    now = broker.clock().now
    if week != market_calendar.week_of(now):
        raise CannotPlan(
            f"{week} is not the running week ({market_calendar.week_of(now)} by the broker's clock): a past week is "
            "never planned or traded"
        )
    # First of the three: what fills in between must show in the positions, or else as open.
    open_orders = broker.orders(status="open")
    account = broker.account()
    holdings = broker.holdings()
    held = holdings.ours
    cancelled = settings.trading.foreign_orders == "cancel"
    # Where foreign orders will be cancelled before anything is sent, neither they nor what they hold count.
    positions = {symbol: (p.qty, p.qty if cancelled else p.qty_available) for symbol, p in held.items()}
    busy = {o.symbol for o in open_orders if not cancelled or o.client_order_id.startswith(f"{STRATEGY}-")}
    symbols = sorted({*targets["symbol"], *positions})
    fractionable = {a.symbol: a.fractionable for a in broker.assets().values() if a.tradable}
    market = broker.snapshots(symbols)
    max_age = timedelta(seconds=settings.guards.max_quote_age_s)
    prices = {symbol: price for symbol, s in market.items() if (price := recent_price(s, now, max_age)) is not None}
    frame = plan_trades(
        targets,
        positions,
        prices,
        {symbol: fractionable[symbol] for symbol in symbols if symbol in fractionable},
        account.equity,
        account.cash,  # what pays: see execution/funding.py
        settings.rebalancing,
        open_orders=busy,
    )
    plan = Plan(
        week=week,
        created_at=now,
        account=account.number,
        equity=account.equity,
        cash=account.cash,
        scores_as_of=datetime.fromisoformat(targets.attrs["scores_as_of"]),
        positions={symbol: p.qty for symbol, p in held.items()},
        inputs_hash=digest(
            {
                "targets": targets[["symbol", "weight"]].to_numpy().tolist(),
                "positions": positions,
                "prices": prices,
                "rules": settings.rebalancing.model_dump(mode="json"),
            }
        ),
        orders=planned_orders(frame),
    ).sealed()
    frame.attrs = {"as_of": now, "plan": plan.to_document()}
    left_alone = frame[frame["side"] == "none"]
    for symbol, reason in zip(left_alone["symbol"], left_alone["reason"], strict=True):
        decisions.info("left alone %s: %s", symbol, reason, extra={"symbol": symbol, "plan_id": plan.plan_id})
    return frame, plan


def _wait_for_own_orders(broker: AlpacaResource, settings: Settings) -> None:
    """Until none is open, or settle_timeout_s long: proceeds that are still to come could not be planned with."""
    deadline = time.monotonic() + settings.trading.settle_timeout_s
    while any(o.client_order_id.startswith(f"{STRATEGY}-") for o in broker.orders(status="open")):
        if time.monotonic() >= deadline:
            log.warning("orders of ours are still open: their symbols are left alone, their cash is not counted on")
            return
        time.sleep(settings.trading.poll_interval_s)


def recent_price(snapshot: Snapshot, now: datetime, max_age: timedelta) -> Decimal | None:
    """The last trade, else the middle of the quote, in USD, if not older than `max_age`; None if neither is."""
    if snapshot.price is not None and snapshot.price_at is not None and now - snapshot.price_at <= max_age:
        return snapshot.price
    if snapshot.quote_at is None or now - snapshot.quote_at > max_age:
        return None
    return None if snapshot.bid is None or snapshot.ask is None else (snapshot.bid + snapshot.ask) / 2
