"""Carries a trade plan out, in phases: guard, recover, clear, sell, settle, buy, settle, reconcile.

The ledger row of an order is committed before its call and after each change, so each phase can be entered again after
a crash from the ledger and the broker alone. Whether to trade is decided in guards.py, how much in the plan, what cash
pays for in funding.py, what has changed since in since_plan.py; how an order is sent, never twice, and waited for is in
sending.py, its ledger rows in book.py.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution import equity, funding, guards, quotes, since_plan
from tokenomics_dagster.execution.book import CLOCK_SLACK, OrderBook
from tokenomics_dagster.execution.confirming import Confirmation
from tokenomics_dagster.execution.fulfilment import Fulfilment, Shortfall, fulfilment
from tokenomics_dagster.execution.notifying import Notify
from tokenomics_dagster.execution.reconciliation import Reconciliation, reconcile
from tokenomics_dagster.execution.sending import FAILED, Sender
from tokenomics_dagster.execution.states import ABANDONED, INTENDED, IllegalTransition
from tokenomics_dagster.execution.venue import Venue
from tokenomics_dagster.kit.alerts import HALT, check_key
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.identity import is_ours
from tokenomics_dagster.model.plan import FRACTION, SHARE, Plan, PlannedOrder
from tokenomics_dagster.model.trading import FLOWS, Account, Deadline, Holdings, Order, Snapshot
from tokenomics_dagster.portfolio.commitments import shares_promised, to_price
from tokenomics_dagster.portfolio.quotes import reason_against
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import FillRow, LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse

log = logging.getLogger("tokenomics.execution")
trades = logging.getLogger("tokenomics.trades")
decisions = logging.getLogger("tokenomics.decisions")

_LACKING = timedelta(days=35)
"""For so long back the fills of orders are made good; who has a fill that the broker forgot asks not for years."""


class Unresolved(UserError):
    """The state of an order could not be learnt: nothing more is sent."""


@dataclass(slots=True)
class Outcome:
    """What became of the plan: its ledger rows, what was not sent or cut and why, what stayed open, what an approved
    plan's orders became at today's prices, what the books say, and what of the plan was traded."""

    orders: list["LedgerOrder"] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    cuts: dict[str, str] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    reconciliation: Reconciliation | None = None
    fulfilment: Fulfilment | None = None


class Rebalance:
    """One run of one plan. `run` may be called again, in another process, at any time after a crash."""

    def __init__(
        self,
        plan: Plan,
        venue: Venue,
        ledger: "Warehouse",
        settings: Settings,
        notify: Notify,
        not_planned: Sequence[Shortfall] = (),
    ) -> None:
        self._plan = plan
        self._venue = venue
        self._broker, self._market, self._clock = venue.broker, venue.market, venue.clock
        self._ledger = ledger
        self._settings = settings
        self._notify = notify
        self._not_planned = not_planned  # what is meant, but had to stay out of the plan
        self._orders = plan.orders  # what is meant: re-sized where prices have moved
        self._late = False  # approved so long ago that it is carried out at the prices of now
        self._not_after: dict[str, datetime] = {}  # by symbol, until when an order may go out as it was judged last
        self._confirmation = Confirmation(plan, venue.broker, venue.clock, settings)
        self._outcome = Outcome()
        self._book = OrderBook(plan, venue.clock, ledger)
        self._sender = Sender(plan, self._book, venue, ledger, settings, self._skip, notify)

    def run(self) -> Outcome:
        """Raises guards.Refused when a guard says no, Unresolved when the state of an order cannot be learnt.

        WarehouseBusy while another process rebalances the account.
        """
        with self._ledger.exclusive(f"rebalance-{self._plan.account}"):
            try:
                self._enter("guard")
                self._enter("recover")
                self._sender.recover()
                self._clear(self._plan.orders)
                self._resize()
                self._trade("sell")
                self._trade("buy")
                self._abandon_unsent()
                if self._sender.lost is None:
                    self._compare()
                self._reconcile()
            except (guards.Refused, Unresolved, IllegalTransition, ProviderError) as error:
                # The keys under which the sensor stale_or_failed will see the same: one message for one problem.
                halted = isinstance(error, guards.Halted | guards.MustHalt)
                self._notify(HALT if halted else FAILED, f"rebalance of {self._plan.week} stopped", str(error))
                with suppress(ProviderError):  # the record's time is the broker's
                    self._audit("stopped", {"reason": str(error)})
                    self._keep_fills()  # nobody may run this week again
                raise
            if self._sender.lost is not None:
                raise Unresolved(self._sender.lost)
        self._outcome.stuck = self._sender.stuck
        return self._outcome

    def _trade(self, side: str) -> None:
        """Sends the orders of a side and waits for them. What came too late for its quote or the session is judged
        anew, guards first: those end that, at the latest when the plan has grown too old."""
        while orders := [order for order in self._orders if order.side == side]:
            if self._sender.lost is not None:
                return
            self._enter(side)
            unsent = self._unsent(orders)
            if side == "buy":
                self._clear(unsent)
                ready = self._affordable(self._unchanged(unsent))
            else:
                ready = self._sellable(self._unchanged(unsent))
            late = self._sender.send(ready, self._not_after)
            self._sender.settle(self._book.rows(side), f"{side}s")
            if not late:
                return

    def _enter(self, phase: str) -> None:
        """Every guard, anew before each phase; a refusal trades nothing more."""
        guards.check_broker(self._venue.differing(self._settings))
        clock = self._broker.clock()
        account = self._broker.account()
        self._sender.check_halt()
        guards.check_account(account, self._settings)
        account = self._believed(account)
        resumed_at = self._ledger.resumed_at()
        marks = self._ledger.equity_marks(account.number, since=resumed_at)
        closed_at = calendar.previous_close(clock.now)
        flows = self._broker.activities(after=min([closed_at, *(at for at, _ in marks[:1])]), types=sorted(FLOWS))
        paid_in = equity.flow_since(flows, closed_at, account)
        if equity.may_be_marked(account, paid_in, self._settings.guards):
            self._ledger.mark_equity(account.number, account.equity, clock.now)
        try:
            guards.check_losses(
                account,
                equity.high_without_flows([*marks, (clock.now, account.equity)], flows),
                self._settings.guards,
                resumed_today=resumed_at is not None and _new_york_day(resumed_at) == _new_york_day(clock.now),
                paid_in=paid_in,
            )
        except guards.MustHalt as loss:
            self._ledger.halt(str(loss), by="rule", at=clock.now)
            raise
        approval = self._ledger.approval(self._plan.plan_hash)
        guards.check_plan(self._plan, account, clock.now, self._settings, approval.at if approval else None)
        guards.check_owned(self._plan, self._ledger.owned(account.number).symbols, self._settings.trading)
        guards.check_market(clock, self._settings)
        log.info("rebalance of %s: %s", self._plan.week, phase)
        self._audit("phase", {"phase": phase, "equity": account.equity, "cash": account.cash})

    def _believed(self, account: Account) -> Account:
        """The account, read again while its equity startles and is not what its positions and cash make."""
        marks = self._ledger.equity_marks(account.number)
        last = marks[-1][1] if marks else None
        deadline = Deadline(self._clock, self._settings.trading.cash_timeout_s)
        while equity.is_startling(account, last, self._settings.guards):
            wrong = equity.contradiction(account, self._broker.holdings(), self._settings.guards)
            if wrong is None:
                break
            if deadline.passed:
                raise guards.Refused(wrong)
            self._clock.wait(self._settings.trading.poll_interval_s)
            account = self._broker.account()
        return account

    def _clear(self, orders: Sequence[PlannedOrder]) -> None:
        """Open orders of somebody else on a symbol of `orders`: ours is skipped, or theirs is cancelled."""
        symbols = {order.symbol for order in orders}
        foreign = [
            order
            for order in self._broker.orders(status="open")
            if order.symbol in symbols and not is_ours(order.client_order_id)
        ]
        if foreign and self._settings.trading.foreign_orders == "cancel":
            for order in foreign:
                trades.warning(
                    "cancelling somebody else's order on %s (%s)",
                    *(order.symbol, order.client_order_id),
                    extra={"symbol": order.symbol, "order_id": order.client_order_id},
                )
                self._audit("foreign_order", {"symbol": order.symbol, "id": order.id, "action": "cancel"})
                try:
                    self._broker.cancel(order.id)
                except ProviderError as error:
                    trades.warning("%s: the cancel failed: %s", order.symbol, error, extra={"symbol": order.symbol})
            foreign = self._wait_until_gone(foreign)
        for order in foreign:
            self._skip(order.symbol, f"somebody else's order is open: {order.side}, id {order.client_order_id}")

    def _wait_until_gone(self, orders: Sequence[Order]) -> list[Order]:
        """The orders that are still open when a cancel should have taken effect."""
        ids = {order.id for order in orders}
        deadline = Deadline(self._clock, self._settings.trading.cancel_timeout_s)
        while True:
            left = [order for order in self._broker.orders(status="open") if order.id in ids]
            if not left or deadline.passed:
                return left
            self._clock.wait(self._settings.trading.poll_interval_s)

    def _resize(self) -> None:
        """A plan that lives by its approval alone was made with old prices: its orders become what they are now.

        The plan stays as it is; the audit has both. Raises Refused where that breaks a limit which the plan did not
        break when it was approved, unless some of it was sent before.
        """
        now = self._broker.clock().now
        age_min = (now - self._plan.created_at).total_seconds() / 60
        if age_min <= self._settings.guards.max_plan_age_min:
            return
        market = self._market.snapshots([order.symbol for order in self._plan.orders])
        good = {symbol: s for symbol, s in market.items() if reason_against(s, now, self._settings.guards) is None}
        prices = {symbol: (s.bid + s.ask) / 2 for symbol, s in good.items() if s.bid and s.ask}
        self._late = True
        orders, why = since_plan.resized(self._plan, prices, self._settings.rebalancing)
        if all(row.broker_id is None for row in self._book.rows()):
            equity = self._holdings().investable(self._broker.account())
            today = replace(self._plan, orders=orders, equity=equity)
            guards.check_still_approved(self._plan, today, age_min, self._settings.guards)
        self._mean(orders, why)
        self._outcome.resized = why
        if why:
            self._audit("resized", {"orders": why})

    def _holdings(self) -> Holdings:
        """What the account holds, with what is foreign to the plan left out of what is traded."""
        return self._broker.holdings().leaving(self._plan.foreign)

    def _mean(self, orders: Iterable[PlannedOrder | None], why: Mapping[str, str]) -> None:
        """From now on these are what is to be traded; `why` some are others, or none any more, by symbol."""
        self._orders = tuple(order for order in orders if order is not None)
        wanted = {(order.symbol, order.side) for order in self._orders}
        for row in self._book.rows():
            if row.status == INTENDED and row.symbol in why and (row.symbol, row.side) not in wanted:
                self._book.release(row, why[row.symbol])

    def _unsent(self, orders: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """Those that have not reached the broker; what has is only waited for, whatever its quote says now."""
        rows = {order: self._book.existing(order) for order in orders}
        return [order for order, row in rows.items() if row is None or row.status == INTENDED]

    def _abandon_unsent(self) -> None:
        """An order that is not at the broker, and that this run does not send after all, is intended no more: else
        nobody could tell its end before the next plan. Its id waits for who wants it. One that could not be looked up
        stays in doubt."""
        for row in self._book.rows():
            if row.status == INTENDED and row.client_order_id not in self._sender.not_looked_up:
                why = self._outcome.skipped.get(row.symbol, "this run did not come to it")
                self._book.note(row, ABANDONED, f"has not been seen at the broker, and was not sent again: {why}")

    def _unchanged(self, orders: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """Those whose names are held as the plan knows them; what was traded by hand or split meanwhile is left out."""
        orders = [order for order in orders if order.symbol not in self._outcome.skipped]
        changed = self._confirmation.changed(orders, self._book.rows()) if orders else {}
        for symbol, why in changed.items():
            self._skip(symbol, why)
        return [order for order in orders if order.symbol not in changed]

    def _sellable(self, sells: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The sells on good quotes, of no more than is there now: never a short position, nor calls left naked."""
        held, open_orders = self._broker.positions(), self._broker.orders(status="open")
        ready = []
        for order in self._on_good_quotes(sells):
            row = self._book.existing(order)
            wanted = order.qty if row is None else row.qty
            assert wanted is not None
            there = held[order.symbol].qty_available if order.symbol in held else Decimal(0)
            available = max(there - shares_promised(open_orders, order.symbol), Decimal(0))
            # What is sent again under its id must be the same order.
            qty = wanted if row is not None else self._sold(order, available)
            short = f"{available} shares are available, {wanted} were to be sold"
            least = Decimal(str(self._settings.rebalancing.min_trade_usd))
            if not 0 < qty <= available:
                self._skip(order.symbol, short)
            elif qty < wanted and not order.exit and qty * order.price < least:
                self._skip(order.symbol, f"{short}, rebalancing.min_trade_usd is {least}")
            else:
                if available < wanted:
                    self._cut(order.symbol, short)
                ready.append(replace(order, qty=qty))
        return ready

    def _sold(self, order: PlannedOrder, available: Decimal) -> Decimal:
        """How many of the shares that are available go: nine decimals at most, and no fraction where none trades.

        An exit sells all of them, but no more than a person has approved.
        """
        assert order.qty is not None
        # An exit of whole shares from a position with a fraction: the plan knows that the fraction cannot be sold.
        whole = order.qty % 1 == 0 and not (order.exit and self._plan.positions.get(order.symbol, order.qty) % 1 == 0)
        step = SHARE if whole else FRACTION
        every = order.exit and not self._late
        return (available if every else min(order.qty, available)).quantize(step, ROUND_DOWN)

    def _affordable(self, buys: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The buys on good quotes that confirmed cash pays for; the plan's order (most underweight first) decides.

        Cash less what open buys will cost, less the buffer. Sells that are stuck stop no buy that is paid for.
        """
        ready = self._on_good_quotes(buys)
        if not ready:
            return []
        account, confirmed, late = self._confirmation.confirmed_cash(self._book.rows())
        open_orders = self._broker.orders(status="open")
        market = self._market.snapshots(to_price(open_orders))
        rules, holdings = self._settings.rebalancing, self._holdings()
        held = funding.held_back(open_orders, market, holdings)
        buffer = holdings.investable(account) * Decimal(str(rules.cash_buffer_pct)) / 100
        cash = confirmed - held.usd - buffer if held.unknown is None else Decimal(0)
        paid = funding.pay({order: self._book.existing(order) for order in ready}, cash, rules, f"{held}{late}")
        for symbol, reason in paid.left_out.items():
            self._skip(symbol, reason)
        for symbol, reason in paid.cuts.items():
            self._cut(symbol, reason)
        return paid.orders

    def _on_good_quotes(self, orders: Sequence[PlannedOrder]) -> list[PlannedOrder]:
        """The orders that may be sent on the quotes of this moment, priced by them; the others are skipped."""
        wanted = [order for order in orders if order.symbol not in self._outcome.skipped]
        market = self._market.snapshots([order.symbol for order in wanted])
        now = self._broker.clock().now
        reasons = {o.symbol: reason_against(market.get(o.symbol), now, self._settings.guards) for o in wanted}
        bad = {symbol: why for symbol, why in reasons.items() if why is not None}
        if self._settings.guards.too_many_flawed(len(bad), len(wanted)):
            some = "; ".join(f"{symbol}: {why}" for symbol, why in sorted(bad.items())[:5])
            raise guards.Refused(
                f"{len(bad)} of {len(wanted)} names cannot be traded on their quotes, guards.max_bad_quotes_pct is "
                f"{self._settings.guards.max_bad_quotes_pct:g}: nothing more is sent; {some}"
            )
        for symbol, why in bad.items():
            self._skip(symbol, why)
        good = [order for order in wanted if order.symbol not in bad]
        for order in good:
            self._not_after[order.symbol] = guards.sendable_until(market[order.symbol], now, self._settings)
        return self._sized(good, market) if good else []

    def _sized(self, orders: Sequence[PlannedOrder], market: Mapping[str, Snapshot]) -> list[PlannedOrder]:
        """The orders at the prices of this moment: none larger than planned, none that takes its name above the cap."""
        holdings = self._holdings()
        equity = holdings.investable(self._broker.account())
        rules, ready = self._settings.rebalancing, []
        for planned in orders:
            row, snapshot = self._book.existing(planned), market[planned.symbol]
            if planned.symbol in holdings.disputed:
                self._skip(planned.symbol, holdings.disputed[planned.symbol])
                continue
            order = planned if row is None else replace(planned, qty=row.qty, notional=row.notional)
            assert snapshot.ask is not None
            assert snapshot.bid is not None
            middle = (snapshot.bid + snapshot.ask) / 2
            held = holdings.ours[order.symbol].qty if order.symbol in holdings.ours else Decimal(0)
            sized, why = since_plan.within_move(order, self._plan, middle, rules, self._settings.guards)
            if why is not None:
                # The target is nearer by now: the rest is not meant any more, so that it is not missing either.
                now = {planned: sized}
                self._mean((now.get(one, one) for one in self._orders), {order.symbol: why})
            if sized is not None:
                sized, over = since_plan.under_cap(self._priced(sized, snapshot), held, middle, equity, rules)
                why = "; ".join(one for one in (why, over) if one) or None
            # What is sent again under its id must be the same order.
            if sized is None or (why is not None and row is not None):
                self._skip(order.symbol, why or "")
                continue
            if why is not None:
                self._cut(order.symbol, why)
            ready.append(sized)
        return ready

    def _priced(self, order: PlannedOrder, snapshot: Snapshot) -> PlannedOrder:
        """The order at the price that it will meet; a limit order goes by shares."""
        if self._settings.trading.order_type == "market":
            assert snapshot.ask is not None
            assert snapshot.bid is not None
            return replace(order, price=snapshot.ask if order.side == "buy" else snapshot.bid)
        price = quotes.limit_price(order.side, snapshot, self._settings.trading.limit_collar_bps)
        if order.notional is None:
            return replace(order, price=price)
        return replace(order, price=price, notional=None, qty=(order.notional / price).quantize(FRACTION, ROUND_DOWN))

    def _reconcile(self) -> None:
        """Compares what the broker holds with what the plan began with and the activities since.

        One of the three may be read late: they are read again until they agree, or trading.cash_timeout_s has passed.
        """
        log.info("rebalance of %s: reconcile", self._plan.week)
        deadline = Deadline(self._clock, self._settings.trading.cash_timeout_s)
        while (result := self._compared()).discrepancies and not deadline.passed:
            self._clock.wait(self._settings.trading.poll_interval_s)
        self._outcome.orders = self._book.rows()
        self._outcome.reconciliation = result
        self._audit("reconciliation", result.to_document())
        if result.discrepancies:
            self._notify(
                check_key("orders.books"),
                f"books of {self._plan.week} do not agree",
                "; ".join(result.discrepancies[:10]),
            )

    def _keep_fills(self) -> list["FillRow"]:
        """Those of the account since the first order whose fills may not all be kept: of this week, or of an earlier
        one whose run was killed before it came to this."""
        from tokenomics_dagster.storage.records import FillRow

        account, begun = self._plan.account, self._plan.created_at
        rows = [*self._ledger.orders_lacking_fills(account, begun - _LACKING), *self._book.period()]
        ids = {row.broker_id: row.client_order_id for row in rows if row.broker_id is not None}
        since = min([begun, *(row.created_at for row in rows)]) - CLOCK_SLACK
        known = [
            FillRow(f.id, f.order_id, ids.get(f.order_id), account, f.symbol, f.side, f.qty, f.price, f.at)
            for f in self._broker.fills(after=since)
        ]
        self._ledger.save_fills(known)
        return known

    def _compared(self) -> Reconciliation:
        account = self._broker.account()
        fills = [fill for fill in self._keep_fills() if fill.at >= self._plan.created_at]
        return reconcile(
            self._plan,
            fills,
            self._book.rows(),
            self._holdings(),
            account.cash,
            self._settings.guards,
            self._broker.activities(after=self._plan.created_at),
        )

    def _compare(self) -> None:
        """What of the plan was traded; too little is alerted with the reasons by size."""
        found = self._outcome
        rows, week = self._book.rows(), self._book.period()
        earlier = [row for row in week if row.plan_id != self._plan.plan_id]
        result = fulfilment(
            self._plan.equity, self._orders, rows, found.skipped, found.cuts, self._not_planned, earlier
        )
        found.fulfilment = result
        self._audit("fulfilment", result.to_document())
        if not result.is_enough(self._settings.guards):
            self._notify(
                check_key("orders.traded"),
                f"{result.untraded_pct:.0f} % of the plan of {self._plan.week} was not traded",
                result.sentence(self._settings.guards),
            )

    def _cut(self, symbol: str, reason: str) -> None:
        decisions.info("cut %s: %s", symbol, reason, extra={"symbol": symbol, "plan_id": self._plan.plan_id})
        self._outcome.cuts[symbol] = reason

    def _skip(self, symbol: str, reason: str) -> None:
        decisions.info("skipped %s: %s", symbol, reason, extra={"symbol": symbol, "plan_id": self._plan.plan_id})
        self._outcome.skipped[symbol] = reason

    def _audit(self, kind: str, payload: dict[str, object]) -> None:
        plan = self._plan
        document = {"plan_id": plan.plan_id, "sleeve": plan.sleeve, "period": plan.period, **payload}
        self._ledger.audit(kind, document, at=self._clock.now(), week=plan.week)


def _new_york_day(instant: datetime) -> date:
    return instant.astimezone(calendar.NEW_YORK).date()
