"""Carries a trade plan out, in phases: guard, recover, clear, sell, settle, buy, settle, reconcile.

The ledger row of an order is committed before its call and after each change, so each phase can be entered again after
a crash from the ledger and the broker alone. Whether to trade is decided in guards.py, how much in the plan, and what a
state may become in states.py; here only how it is sent, never twice.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster import market_calendar
from tokenomics_dagster.alerts import Problem, alert, run_link
from tokenomics_dagster.execution import guards, quotes
from tokenomics_dagster.execution.reconciliation import Reconciliation, reconcile
from tokenomics_dagster.execution.states import (
    ABANDONED,
    FINAL,
    INTENDED,
    REFUSED,
    UNKNOWN,
    IllegalTransition,
    check_transition,
)
from tokenomics_dagster.portfolio.plan import STRATEGY, Plan, PlannedOrder
from tokenomics_dagster.providers.alpaca import AlpacaResource, Order, Snapshot
from tokenomics_dagster.providers.errors import AmbiguousOrder, OrderRejected, ProviderError, TransientError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import LedgerOrder, Warehouse

log = logging.getLogger("tokenomics.execution")
trades = logging.getLogger("tokenomics.trades")
decisions = logging.getLogger("tokenomics.decisions")

_FAILED = "job:rebalance"
_MIN_BUY_USD = Decimal(1)  # the broker's
_CENT = Decimal("0.01")
_SHARE, _FRACTION = Decimal(1), Decimal("1e-9")
# An order's submitted_at may lie a little before the clock that was read before it.
_CLOCK_SLACK = timedelta(minutes=5)


class Unresolved(RuntimeError):
    """The state of an order could not be learnt: nothing more is sent."""


@dataclass(slots=True)
class Outcome:
    """What became of the plan: its ledger rows, what was not sent and why, what stayed open, and what the books say."""

    orders: list["LedgerOrder"] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    reconciliation: Reconciliation | None = None


class Rebalance:
    """One run of one plan. `run` may be called again, in another process, at any time after a crash."""

    def __init__(
        self,
        plan: Plan,
        broker: AlpacaResource,
        ledger: "Warehouse",
        settings: Settings,
        sleep: Callable[[float], None] = time.sleep,
        run_id: str = "",
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._ledger = ledger
        self._settings = settings
        self._sleep = sleep
        self._run_id = run_id  # of Dagster, for the links of alerts
        self._outcome = Outcome()
        self._lost: str | None = None  # the order whose state could not be learnt

    def run(self) -> Outcome:
        """Raises guards.Refused when a guard says no, Unresolved when the state of an order cannot be learnt.

        WarehouseBusy while another process rebalances the account.
        """
        sells = [order for order in self._plan.orders if order.side == "sell"]
        buys = [order for order in self._plan.orders if order.side == "buy"]
        with self._ledger.exclusive(f"rebalance-{self._plan.account}"):
            try:
                self._enter("guard")
                self._enter("recover")
                self._recover()
                self._clear()
                if sells:
                    self._enter("sell")
                    self._send(self._sellable(self._unsent(sells)))
                    self._settle(self._rows("sell"), "sells")
                if buys and self._lost is None:
                    self._enter("buy")
                    self._send(self._affordable(self._unsent(buys)))
                    self._settle(self._rows("buy"), "buys")
                self._reconcile()
            except (guards.Refused, Unresolved, IllegalTransition, ProviderError) as error:
                # The keys under which the sensor stale_or_failed will see the same: one message for one problem.
                halted = isinstance(error, guards.Halted | guards.MustHalt)
                self._alert("halt" if halted else _FAILED, f"rebalance of {self._plan.week} stopped", str(error))
                with suppress(ProviderError):  # the record's time is the broker's
                    self._audit("stopped", {"reason": str(error)})
                raise
            if self._lost is not None:
                raise Unresolved(self._lost)
        return self._outcome

    def _enter(self, phase: str) -> None:
        """Every guard, anew before each phase; a refusal trades nothing more."""
        clock = self._broker.clock()
        account = self._broker.account()
        self._check_halt()
        guards.check_account(account, self._settings)
        self._ledger.mark_equity(account.number, account.equity, clock.now)
        resumed_at = self._ledger.resumed_at()
        try:
            guards.check_losses(
                account,
                self._ledger.equity_high(account.number, since=resumed_at),
                self._settings,
                resumed_today=resumed_at is not None and _new_york_day(resumed_at) == _new_york_day(clock.now),
            )
        except guards.MustHalt as loss:
            self._ledger.halt(str(loss), by="rule", at=clock.now)
            raise
        approval = self._ledger.approval(self._plan.plan_hash)
        guards.check_plan(self._plan, account, clock.now, self._settings, approval.at if approval else None)
        guards.check_market(clock, self._settings)
        log.info("rebalance of %s: %s", self._plan.week, phase)
        self._audit("phase", {"phase": phase, "equity": account.equity, "cash": account.cash})

    def _check_halt(self) -> None:
        halt = self._ledger.halted()
        if halt is not None:
            raise guards.Halted(
                f"trading is halted since {halt.at:%Y-%m-%d %H:%M} UTC by {halt.by} ({halt.reason}): "
                'nothing is sent until `tokenomics resume "reason"`'
            )

    def _recover(self) -> None:
        """Makes ledger and broker agree on this week's orders, whichever process sent them, before anything is sent."""
        plan = self._plan
        known = {row.client_order_id: row for row in self._week()}
        prefix = f"{STRATEGY}-{plan.week}-"
        week_start = market_calendar.first_session_of_week(plan.week).open - timedelta(days=4)
        sent: list[tuple[LedgerOrder, Order]] = []
        for order in self._broker.orders(status="all", after=week_start):
            if order.client_order_id.startswith(prefix):
                row = known.pop(order.client_order_id, None) or self._lost_row(order)
                sent.append((self._record(row, order), order))
        for row in known.values():
            if row.status in FINAL:
                continue
            found = self._look_up(row)
            if found is not None:
                sent.append((self._record(row, found), found))
            elif row.plan_id == plan.plan_id:
                self._note(row, INTENDED, "did not reach the broker; sent again under the same id")
            else:
                self._note(row, ABANDONED, "did not reach the broker, and its plan has been replaced")
        self._settle([row for row in self._week() if row.plan_id != plan.plan_id], "orders of another plan")
        for row, order in sent:
            if row.plan_id != plan.plan_id and (order.submitted_at is None or order.submitted_at > plan.created_at):
                raise guards.Refused(
                    f"plan {plan.plan_id} was overtaken: {row.client_order_id} of another plan was sent after it was "
                    "made, so it counts on what is no more: materialize trade_plan again"
                )

    def _clear(self) -> None:
        """Open orders of somebody else on a symbol of the plan: ours is skipped, or theirs is cancelled."""
        symbols = {order.symbol for order in self._plan.orders}
        foreign = [
            order
            for order in self._broker.orders(status="open")
            if order.symbol in symbols and not order.client_order_id.startswith(f"{STRATEGY}-")
        ]
        if foreign and self._settings.trading.foreign_orders == "cancel":
            for order in foreign:
                trades.warning(
                    "cancelling somebody else's order on %s (%s)",
                    *(order.symbol, order.client_order_id),
                    extra={"symbol": order.symbol, "order_id": order.client_order_id},
                )
                self._audit("foreign_order", {"symbol": order.symbol, "id": order.id, "action": "cancel"})
                self._broker.cancel(order.id)
            foreign = self._wait_until_gone(foreign)
        for order in foreign:
            self._skip(order.symbol, f"somebody else's order is open: {order.side}, id {order.client_order_id}")

    def _wait_until_gone(self, orders: Sequence[Order]) -> list[Order]:
        """The orders that are still open when a cancel should have taken effect."""
        ids = {order.id for order in orders}
        deadline = time.monotonic() + self._settings.trading.cancel_timeout_s
        while True:
            left = [order for order in self._broker.orders(status="open") if order.id in ids]
            if not left or time.monotonic() >= deadline:
                return left
            self._sleep(self._settings.trading.poll_interval_s)

    def _unsent(self, orders: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """Those that have not reached the broker; what has is only waited for, whatever its quote says now."""
        rows = {order: self._existing(order) for order in orders}
        return [order for order, row in rows.items() if row is None or row.status == INTENDED]

    def _sellable(self, sells: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The sells on good quotes, of no more than is there now: never a short position; an exit sells all of it."""
        held = self._broker.positions()
        ready = []
        for order in self._on_good_quotes(sells):
            row = self._existing(order)
            wanted = order.qty if row is None else row.qty
            assert wanted is not None
            available = held[order.symbol].qty_available if order.symbol in held else Decimal(0)
            # What is sent again under its id must be the same order.
            qty = wanted if row is not None else available if order.exit else min(wanted, available)
            if 0 < qty <= available:
                ready.append(replace(order, qty=qty))
            else:
                self._skip(order.symbol, f"{available} shares are available, {wanted} were to be sold")
        return ready

    def _affordable(self, buys: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The buys on good quotes that confirmed cash pays for; the plan's order (most underweight first) decides.

        Cash, not buying power, which may be borrowed; less what open buys will cost, less the buffer.
        """
        ready = self._on_good_quotes(buys)
        account = self._broker.account()
        open_buys = [order for order in self._broker.orders(status="open") if order.side == "buy"]
        market = self._broker.snapshots([order.symbol for order in open_buys])
        held_back = sum((_cost_left(order, market) for order in open_buys), Decimal(0))
        buffer = account.equity * Decimal(str(self._settings.rebalancing.cash_buffer_pct)) / 100
        cash = min(account.cash - held_back, account.buying_power) - buffer
        affordable: list[PlannedOrder] = []
        for order in ready:
            row = self._existing(order)
            if row is None:
                fitting = _fit(order, cash)
            else:
                again = replace(order, qty=row.qty, notional=row.notional)
                fitting = again if again.value <= cash else None
            if fitting is None:
                self._skip(order.symbol, f"not enough cash: {cash:.2f} USD left, {order.value:.2f} USD planned")
                continue
            cash -= fitting.value
            affordable.append(fitting)
        return affordable

    def _on_good_quotes(self, orders: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The orders that may be sent on the quotes of this moment, priced by them; the others are skipped."""
        wanted = [order for order in orders if order.symbol not in self._outcome.skipped]
        market = self._broker.snapshots([order.symbol for order in wanted])
        now = self._broker.clock().now
        flaws = {o.symbol: quotes.flaw(market.get(o.symbol), now, self._settings.guards) for o in wanted}
        bad = {symbol: flaw for symbol, flaw in flaws.items() if flaw is not None}
        if 100 * len(bad) > self._settings.guards.max_bad_quotes_pct * len(wanted):
            some = "; ".join(f"{symbol}: {flaw}" for symbol, flaw in sorted(bad.items())[:5])
            raise guards.Refused(
                f"{len(bad)} of {len(wanted)} names cannot be traded on their quotes, guards.max_bad_quotes_pct is "
                f"{self._settings.guards.max_bad_quotes_pct:g}: nothing more is sent; {some}"
            )
        for symbol, flaw in bad.items():
            self._skip(symbol, flaw)
        return [self._priced(order, market[order.symbol]) for order in wanted if order.symbol not in bad]

    def _priced(self, order: PlannedOrder, snapshot: Snapshot) -> PlannedOrder:
        """The order at the price that it will meet; a limit order goes by shares."""
        if self._settings.trading.order_type == "market":
            assert snapshot.ask is not None
            assert snapshot.bid is not None
            return replace(order, price=snapshot.ask if order.side == "buy" else snapshot.bid)
        price = quotes.limit_price(order.side, snapshot, self._settings.trading.limit_collar_bps)
        if order.notional is None:
            return replace(order, price=price)
        return replace(order, price=price, notional=None, qty=(order.notional / price).quantize(_FRACTION, ROUND_DOWN))

    def _send(self, orders: Sequence[PlannedOrder]) -> None:
        """Sends each once, until one is lost or trading is halted; what was sent is settled all the same."""
        for order in orders:
            if self._lost is not None:
                self._skip(order.symbol, "not sent: an order before it is lost")
                continue
            try:
                self._check_halt()
                self._place(order)
            except guards.Refused:
                self._settle(self._rows(), "orders sent before the halt")
                raise

    def _place(self, planned: PlannedOrder) -> "LedgerOrder":
        """Sends an order once, under the id of an earlier try that has not reached the broker, if there was one."""
        row = self._existing(planned) or self._intend(planned)
        try:
            return self._record(row, self._submit(row, planned))
        except OrderRejected as error:
            if not error.duplicate:
                return self._refuse(row, error)
        except (AmbiguousOrder, TransientError) as error:
            trades.warning("%s %s: no answer (%s); looking for it", row.side, row.symbol, error, extra=_ids(row))
        try:
            return self._resolve(row, planned)
        except TransientError as error:
            return self._lose(row, f"it cannot be looked up ({error})")

    def _submit(self, row: "LedgerOrder", planned: PlannedOrder) -> Order:
        limit = planned.price if row.notional is None and self._settings.trading.order_type == "limit" else None
        return self._broker.submit(
            row.symbol,
            row.side,
            row.client_order_id,
            qty=row.qty,
            notional=row.notional,
            order_type="market" if limit is None else "limit",
            limit_price=limit,
        )

    def _resolve(self, row: "LedgerOrder", planned: PlannedOrder) -> "LedgerOrder":
        """In doubt: looks for the order during the grace period, sends the same id once more, looks again."""
        found = self._look_up(row)
        if found is not None:
            return self._record(row, found)
        self._check_halt()
        refusal = None
        try:
            return self._record(row, self._submit(row, planned))
        except OrderRejected as error:
            refusal = error
        except (AmbiguousOrder, TransientError) as error:
            trades.warning("%s %s: no answer again (%s)", row.side, row.symbol, error, extra=_ids(row))
        # After a refusal, too: the first one may have come late, and be what the second was refused for.
        found = self._look_up(row)
        if found is not None:
            return self._record(row, found)
        if refusal is None:
            return self._lose(row, "no answer to the order, and the broker does not find it")
        if refusal.duplicate:
            return self._lose(row, "the broker calls its id a duplicate and does not find it")
        return self._refuse(row, refusal)

    def _refuse(self, row: "LedgerOrder", error: OrderRejected) -> "LedgerOrder":
        trades.warning("%s %s was rejected: %s", row.side, row.symbol, error, extra=_ids(row))
        self._skip(row.symbol, str(error))
        return self._note(row, REFUSED, str(error))

    def _lose(self, row: "LedgerOrder", why: str) -> "LedgerOrder":
        self._lost = (
            f"nobody knows what became of {row.side} {row.symbol} ({row.client_order_id}): {why}; nothing more is "
            "sent; look at the broker's dashboard, then materialize orders again"
        )
        self._alert(_FAILED, f"order lost: {row.side} {row.symbol}", self._lost)
        return self._note(row, UNKNOWN, why)

    def _look_up(self, row: "LedgerOrder") -> Order | None:
        deadline = time.monotonic() + self._settings.trading.lookup_grace_s
        while True:
            found = self._broker.order_by_client_id(row.client_order_id)
            if found is not None or time.monotonic() >= deadline:
                return found
            self._sleep(self._settings.trading.poll_interval_s)

    def _settle(self, placed: Iterable["LedgerOrder"], what: str) -> None:
        """Waits until every order is final: one list call per poll, cancels at the deadline, confirms the cancels.

        What is not final even then is stuck: alerted, and its shares or cash count as unavailable.
        """
        waiting = {row.client_order_id: row for row in placed if row.status not in FINAL | {INTENDED, UNKNOWN}}
        if not waiting:
            return
        total = len(waiting)
        since = min(row.created_at for row in waiting.values()) - _CLOCK_SLACK
        deadline = time.monotonic() + self._settings.trading.settle_timeout_s
        cancelled = False
        while True:
            for order in self._broker.orders(status="all", after=since):
                row = waiting.get(order.client_order_id)
                if row is not None:
                    waiting[order.client_order_id] = self._record(row, order)
            waiting = {key: row for key, row in waiting.items() if row.status not in FINAL}
            if not waiting:
                log.info("%d %s are final", total, what)
                return
            if time.monotonic() >= deadline:
                if cancelled:
                    break
                for row in waiting.values():
                    trades.warning(
                        "%s %s is still %s at the deadline: cancelling",
                        *(row.side, row.symbol, row.status),
                        extra=_ids(row),
                    )
                    if row.broker_id is not None:
                        self._broker.cancel(row.broker_id)
                cancelled = True
                deadline = time.monotonic() + self._settings.trading.cancel_timeout_s
            self._sleep(self._settings.trading.poll_interval_s)
        stuck = [f"{row.side} {row.symbol} ({row.status})" for row in waiting.values()]
        self._outcome.stuck += stuck
        self._alert(
            "check:orders:final",
            f"{len(stuck)} of {total} {what} are not final after a cancel",
            f"{', '.join(sorted(stuck))}: their shares and cash count as unavailable",
        )

    def _reconcile(self) -> None:
        """Compares what the broker holds with what the plan began with and the fills since."""
        log.info("rebalance of %s: reconcile", self._plan.week)
        from tokenomics_dagster.storage.warehouse import FillRow

        week = self._week()
        ids = {row.broker_id: row.client_order_id for row in week if row.broker_id is not None}
        account = self._broker.account()
        # From the week's first order on: a run that was killed before this has not kept its fills.
        since = min([self._plan.created_at, *(row.created_at for row in week)]) - _CLOCK_SLACK
        known = [
            FillRow(f.id, f.order_id, ids.get(f.order_id), account.number, f.symbol, f.side, f.qty, f.price, f.at)
            for f in self._broker.fills(after=since)
        ]
        self._ledger.save_fills(known)
        fills = [fill for fill in known if fill.at >= self._plan.created_at]
        rows = self._rows()
        result = reconcile(self._plan, fills, rows, self._broker.positions(), account.cash, self._settings.guards)
        self._outcome.orders = rows
        self._outcome.reconciliation = result
        self._audit("reconciliation", result.to_document())
        if result.flaws:
            self._alert("check:orders:books", f"books of {self._plan.week} do not agree", "; ".join(result.flaws[:10]))

    def _existing(self, planned: PlannedOrder) -> "LedgerOrder | None":
        rows = [r for r in self._rows() if (r.symbol, r.side) == (planned.symbol, planned.side)]
        return rows[-1] if rows else None

    def _intend(self, planned: PlannedOrder) -> "LedgerOrder":
        attempt = 1 + sum((r.symbol, r.side) == (planned.symbol, planned.side) for r in self._week())
        return self._new_row(
            client_order_id=f"{STRATEGY}-{self._plan.week}-{planned.symbol}-{planned.side}-{attempt}",
            plan_id=self._plan.plan_id,
            order=planned,
            attempt=attempt,
            note=None,
            created_at=self._broker.now(),
        )

    def _lost_row(self, order: Order) -> "LedgerOrder":
        """The ledger row of an order of ours that only the broker knows: the ledger was restored from a backup.

        One that is younger than the plan counts as the plan's: else it would be sent a second time.
        """
        attempt = order.client_order_id.rpartition("-")[2]
        sent_at = order.submitted_at or self._broker.now()
        return self._new_row(
            client_order_id=order.client_order_id,
            plan_id=self._plan.plan_id if sent_at >= self._plan.created_at else "",
            order=order,
            attempt=int(attempt) if attempt.isdigit() else 0,
            note="found at the broker, unknown to the ledger",
            created_at=sent_at,
        )

    def _new_row(
        self,
        *,
        client_order_id: str,
        plan_id: str,
        order: PlannedOrder | Order,
        attempt: int,
        note: str | None,
        created_at: datetime,
    ) -> "LedgerOrder":
        from tokenomics_dagster.storage.warehouse import LedgerOrder

        row = LedgerOrder(
            client_order_id=client_order_id,
            account=self._plan.account,
            plan_id=plan_id,
            week=self._plan.week,
            symbol=order.symbol,
            side="sell" if order.side == "sell" else "buy",
            attempt=attempt,
            qty=order.qty,
            notional=order.notional,
            status=INTENDED,
            broker_id=None,
            filled_qty=Decimal(0),
            filled_avg_price=None,
            note=note,
            created_at=created_at,
            updated_at=self._broker.now(),
        )
        self._ledger.record_order(row)
        return row

    def _rows(self, side: str | None = None) -> list["LedgerOrder"]:
        return [row for row in self._week() if row.plan_id == self._plan.plan_id and side in (None, row.side)]

    def _week(self) -> list["LedgerOrder"]:
        return self._ledger.orders_of_week(self._plan.account, self._plan.week)

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
        check_transition(row.client_order_id, row.status, order.status, row.filled_qty, order.filled_qty)
        changed = replace(changed, updated_at=self._broker.now())
        self._ledger.record_order(changed)
        return changed

    def _note(self, row: "LedgerOrder", status: str, note: str) -> "LedgerOrder":
        if (row.status, row.note) == (status, note):
            return row
        if row.status != status:
            check_transition(row.client_order_id, row.status, status, row.filled_qty, row.filled_qty)
        changed = replace(row, status=status, note=note, updated_at=self._broker.now())
        self._ledger.record_order(changed)
        return changed

    def _skip(self, symbol: str, reason: str) -> None:
        decisions.info("skipped %s: %s", symbol, reason, extra={"symbol": symbol, "plan_id": self._plan.plan_id})
        self._outcome.skipped[symbol] = reason

    def _alert(self, key: str, title: str, detail: str) -> None:
        link = run_link(self._settings.alerts, self._run_id) if self._run_id else None
        action = "look into the run and at the broker's dashboard; what is running again sends nothing twice"
        alert(key, Problem(title, detail, action, link), self._ledger, self._settings.alerts)

    def _audit(self, kind: str, payload: dict[str, object]) -> None:
        document = {"plan_id": self._plan.plan_id, **payload}
        self._ledger.audit(kind, document, at=self._broker.now(), week=self._plan.week)


def _ids(row: "LedgerOrder") -> dict[str, str]:
    return {"symbol": row.symbol, "order_id": row.client_order_id, "plan_id": row.plan_id}


def _new_york_day(instant: datetime) -> date:
    return instant.astimezone(market_calendar.NEW_YORK).date()


def _cost_left(order: Order, market: Mapping[str, Snapshot]) -> Decimal:
    """What an open buy may still take, USD; without a quote for a market order by shares, all there is."""
    if order.notional is not None:
        return order.notional - order.filled_qty * (order.filled_avg_price or Decimal(0))
    snapshot = market.get(order.symbol)
    price = order.limit_price or (snapshot.ask if snapshot else None)
    return Decimal("Infinity") if order.qty is None or price is None else (order.qty - order.filled_qty) * price


def _fit(order: PlannedOrder, cash: Decimal) -> PlannedOrder | None:
    """The order, cut to `cash` USD where it is larger; None when less than the broker's minimum would be left."""
    if order.value > cash:
        if order.notional is not None:
            order = replace(order, notional=max(cash, Decimal(0)).quantize(_CENT, ROUND_DOWN))
        else:
            assert order.qty is not None
            step = _SHARE if order.qty == order.qty.to_integral_value() else _FRACTION
            order = replace(order, qty=(max(cash, Decimal(0)) / order.price).quantize(step, ROUND_DOWN))
    return order if order.value >= _MIN_BUY_USD else None
