"""Carries a trade plan out: guard, recover, sell, settle, buy, settle.

The ledger row of an order is committed before its call, so each phase can be entered again after a crash from the
ledger and the broker alone. Whether to trade is decided in guards.py, how much in the plan; here only how it is sent.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster import market_calendar
from tokenomics_dagster.execution import guards
from tokenomics_dagster.portfolio.plan import Plan, PlannedOrder
from tokenomics_dagster.providers.alpaca import AlpacaResource, Order
from tokenomics_dagster.providers.errors import AmbiguousOrder, OrderRejected, TransientError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import LedgerOrder, Warehouse

log = logging.getLogger("tokenomics.execution")

STRATEGY = "tokenomics"

# Our own states beside the broker's: `intended` is written before the call, `refused` means that the broker took no
# order, `unknown` that nobody can say whether it did.
INTENDED, REFUSED, UNKNOWN = "intended", "refused", "unknown"
FINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "done_for_day", REFUSED})

_MIN_BUY_USD = Decimal(1)  # the broker's
_CENT = Decimal("0.01")
_CANCEL_CONFIRM_S = 30.0  # a pending_cancel that lasts longer is stuck; its shares and cash count as unavailable


class Unresolved(RuntimeError):
    """The state of an order could not be learnt: nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the plan: its ledger rows, and buys that were not sent with their reason."""

    orders: tuple["LedgerOrder", ...]
    skipped: dict[str, str]


class Rebalance:
    """One run of one plan. `run` may be called again, in another process, at any time after a crash."""

    def __init__(
        self,
        plan: Plan,
        broker: AlpacaResource,
        ledger: "Warehouse",
        settings: Settings,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._ledger = ledger
        self._settings = settings
        self._sleep = sleep
        self._skipped: dict[str, str] = {}

    def run(self) -> Outcome:
        """Raises guards.Refused when a guard says no, Unresolved when the state of an order cannot be learnt."""
        self._guard()
        self._recover()
        sells = [order for order in self._plan.orders if order.side == "sell"]
        self._settle([self._place(order) for order in sells], "sells")
        buys = self._affordable([order for order in self._plan.orders if order.side == "buy"])
        if buys:
            self._guard()
        self._settle([self._place(order) for order in buys], "buys")
        return Outcome(tuple(self._rows()), self._skipped)

    def _guard(self) -> None:
        clock = self._broker.clock()
        account = self._broker.account()
        guards.check_account(account, self._settings)
        guards.check_plan(self._plan, account, clock.now, self._settings)
        guards.check_market(clock, self._settings)

    def _recover(self) -> None:
        """Makes ledger and broker agree on this week's orders, whichever process sent them, before anything is sent."""
        plan = self._plan
        known = {row.client_order_id: row for row in self._ledger.orders_of_week(plan.account, plan.week)}
        prefix = f"{STRATEGY}-{plan.week}-"
        week_start = market_calendar.first_session_of_week(plan.week).open - timedelta(days=4)
        for order in self._broker.orders(status="all", after=week_start):
            if order.client_order_id.startswith(prefix):
                row = known.pop(order.client_order_id, None) or self._lost_row(order)
                self._record(row, order)
        for row in known.values():
            if row.status in FINAL:
                continue
            found = self._look_up(row)
            if found is not None:
                self._record(row, found)
            elif row.plan_id == plan.plan_id:
                self._note(row, INTENDED, "did not reach the broker; sent again under the same id")
            else:
                self._note(row, REFUSED, "did not reach the broker, and its plan has been replaced")
        earlier = [r for r in self._ledger.orders_of_week(plan.account, plan.week) if r.plan_id != plan.plan_id]
        self._settle(earlier, "orders of an earlier plan")

    def _lost_row(self, order: Order) -> "LedgerOrder":
        """The ledger row of an order of ours that only the broker knows."""
        from tokenomics_dagster.storage.warehouse import LedgerOrder

        attempt = order.client_order_id.rpartition("-")[2]
        sent_at = order.submitted_at or self._broker.now()
        return LedgerOrder(
            client_order_id=order.client_order_id,
            account=self._plan.account,
            plan_id="",
            week=self._plan.week,
            symbol=order.symbol,
            side="sell" if order.side == "sell" else "buy",
            attempt=int(attempt) if attempt.isdigit() else 0,
            qty=order.qty,
            notional=order.notional,
            status=INTENDED,
            broker_id=None,
            filled_qty=Decimal(0),
            filled_avg_price=None,
            note="found at the broker, unknown to the ledger",
            created_at=sent_at,
            updated_at=sent_at,
        )

    def _place(self, planned: PlannedOrder) -> "LedgerOrder":
        """Sends an order once, or adopts the one that was sent for it before."""
        row = self._existing(planned) or self._intend(planned)
        if row.status != INTENDED:
            return row
        try:
            return self._record(row, self._submit(row))
        except OrderRejected as error:
            if error.duplicate:
                return self._adopt(row)
            log.warning("%s %s was rejected: %s", row.side, row.symbol, error)
            return self._note(row, REFUSED, str(error))
        except (AmbiguousOrder, TransientError) as error:
            log.warning("%s %s: no answer (%s); looking for it", row.side, row.symbol, error)
            return self._resolve(row)

    def _submit(self, row: "LedgerOrder") -> Order:
        return self._broker.submit(row.symbol, row.side, row.client_order_id, qty=row.qty, notional=row.notional)

    def _resolve(self, row: "LedgerOrder") -> "LedgerOrder":
        """After a lost answer: look it up for the grace period, send the same id once more, look again, else stop."""
        for last in (False, True):
            found = self._look_up(row)
            if found is not None:
                return self._record(row, found)
            if last:
                break
            try:
                return self._record(row, self._submit(row))
            except OrderRejected as error:
                return self._adopt(row) if error.duplicate else self._note(row, REFUSED, str(error))
            except (AmbiguousOrder, TransientError) as error:
                log.warning("%s %s: no answer again (%s)", row.side, row.symbol, error)
        self._note(row, UNKNOWN, "no answer to the order, and the broker does not find it")
        raise Unresolved(
            f"nobody knows whether {row.side} {row.symbol} ({row.client_order_id}) was accepted: nothing more is sent; "
            "look at the broker's dashboard, then materialize orders again"
        )

    def _look_up(self, row: "LedgerOrder") -> Order | None:
        deadline = time.monotonic() + self._settings.trading.lookup_grace_s
        while True:
            found = self._broker.order_by_client_id(row.client_order_id)
            if found is not None or time.monotonic() >= deadline:
                return found
            self._sleep(self._settings.trading.poll_interval_s)

    def _adopt(self, row: "LedgerOrder") -> "LedgerOrder":
        """The broker calls the id a duplicate: an earlier call with it was accepted and its answer lost."""
        found = self._look_up(row)
        if found is None:
            self._note(row, UNKNOWN, "the broker calls the id a duplicate and does not find it")
            raise Unresolved(
                f"{row.side} {row.symbol}: the broker calls the id {row.client_order_id} a duplicate and does not find "
                "it: nothing more is sent; look at the broker's dashboard, then materialize orders again"
            )
        return self._record(row, found)

    def _existing(self, planned: PlannedOrder) -> "LedgerOrder | None":
        rows = [r for r in self._rows() if (r.symbol, r.side) == (planned.symbol, planned.side)]
        return rows[-1] if rows else None

    def _intend(self, planned: PlannedOrder) -> "LedgerOrder":
        from tokenomics_dagster.storage.warehouse import LedgerOrder

        plan = self._plan
        week = self._ledger.orders_of_week(plan.account, plan.week)
        attempt = 1 + sum((r.symbol, r.side) == (planned.symbol, planned.side) for r in week)
        now = self._broker.now()
        row = LedgerOrder(
            client_order_id=f"{STRATEGY}-{plan.week}-{planned.symbol}-{planned.side}-{attempt}",
            account=plan.account,
            plan_id=plan.plan_id,
            week=plan.week,
            symbol=planned.symbol,
            side=planned.side,
            attempt=attempt,
            qty=planned.qty,
            notional=planned.notional,
            status=INTENDED,
            broker_id=None,
            filled_qty=Decimal(0),
            filled_avg_price=None,
            note=None,
            created_at=now,
            updated_at=now,
        )
        self._ledger.record_order(row)
        return row

    def _affordable(self, buys: list[PlannedOrder]) -> list[PlannedOrder]:
        """The buys that confirmed cash pays for, the plan's order (most underweight first) deciding who comes first."""
        account = self._broker.account()
        buffer = account.equity * Decimal(str(self._settings.rebalancing.cash_buffer_pct)) / 100
        cash = min(account.cash, account.buying_power) - buffer
        affordable: list[PlannedOrder] = []
        for order in buys:
            sent = self._existing(order)
            if sent is not None:
                if sent.status == INTENDED:
                    cash -= _cost(order)
                affordable.append(order)
                continue
            fitting = _fit(order, cash)
            if fitting is None:
                self._skipped[order.symbol] = f"not enough cash: {cash:.2f} USD left, {_cost(order):.2f} USD planned"
                continue
            cash -= _cost(fitting)
            affordable.append(fitting)
        return affordable

    def _settle(self, placed: Iterable["LedgerOrder"], what: str) -> None:
        """Waits until every order is final: one list call per poll, cancels at the deadline, confirms the cancels."""
        waiting = {row.client_order_id: row for row in placed if row.status not in FINAL}
        total = len(waiting)
        deadline = time.monotonic() + self._settings.trading.settle_timeout_s
        cancelled = False
        while waiting:
            since = min(row.created_at for row in waiting.values()) - timedelta(minutes=5)
            for order in self._broker.orders(status="all", after=since):
                row = waiting.get(order.client_order_id)
                if row is not None:
                    row = self._record(row, order)
                    if row.status in FINAL:
                        del waiting[row.client_order_id]
                    else:
                        waiting[row.client_order_id] = row
            if not waiting:
                break
            if time.monotonic() >= deadline:
                if cancelled:
                    stuck = ", ".join(sorted(f"{row.symbol} ({row.status})" for row in waiting.values()))
                    raise Unresolved(
                        f"{len(waiting)} of {total} {what} are not final after a cancel: {stuck}; nothing more is "
                        "sent, their shares or cash count as unavailable; see the broker's dashboard"
                    )
                for row in waiting.values():
                    log.warning("%s %s is still %s at the deadline: cancelling", row.side, row.symbol, row.status)
                    if row.broker_id is not None:
                        self._broker.cancel(row.broker_id)
                cancelled = True
                deadline = time.monotonic() + _CANCEL_CONFIRM_S
                continue
            self._sleep(self._settings.trading.poll_interval_s)
        if total:
            log.info("%d %s are final", total, what)

    def _rows(self) -> list["LedgerOrder"]:
        week = self._ledger.orders_of_week(self._plan.account, self._plan.week)
        return [row for row in week if row.plan_id == self._plan.plan_id]

    def _record(self, row: "LedgerOrder", order: Order) -> "LedgerOrder":
        changed = replace(
            row,
            status=order.status,
            broker_id=order.id,
            filled_qty=order.filled_qty,
            filled_avg_price=order.filled_avg_price,
        )
        if changed == row:
            return row
        changed = replace(changed, updated_at=self._broker.now())
        self._ledger.record_order(changed)
        return changed

    def _note(self, row: "LedgerOrder", status: str, note: str) -> "LedgerOrder":
        changed = replace(row, status=status, note=note, updated_at=self._broker.now())
        self._ledger.record_order(changed)
        return changed


def _cost(order: PlannedOrder) -> Decimal:
    if order.notional is not None:
        return order.notional
    assert order.qty is not None
    return order.qty * order.price


def _fit(order: PlannedOrder, cash: Decimal) -> PlannedOrder | None:
    """The order, cut to `cash` USD where it is larger; None when less than the broker's minimum would be left."""
    if _cost(order) <= cash:
        return order
    if order.notional is not None:
        notional = cash.quantize(_CENT, ROUND_DOWN)
        return replace(order, notional=notional) if notional >= _MIN_BUY_USD else None
    whole = (cash / order.price).quantize(Decimal(1), ROUND_DOWN)
    return replace(order, qty=whole) if whole >= 1 else None
