"""Sends the orders of a plan, each once, and waits until they are final, whatever the broker answers or does not.

Which orders, and how much of each, is decided in rebalance.py; their ledger rows are in book.py.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster.execution import guards
from tokenomics_dagster.execution.book import CLOCK_SLACK, OrderBook
from tokenomics_dagster.execution.notifying import Notify
from tokenomics_dagster.execution.states import (
    ABANDONED,
    FINAL,
    INTENDED,
    QUIET,
    REFUSED,
    UNKNOWN,
    IllegalTransition,
)
from tokenomics_dagster.execution.venue import Venue
from tokenomics_dagster.kit.alerts import check_key, job_key
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.identity import is_of
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.model.trading import Deadline, Order
from tokenomics_dagster.providers.errors import (
    AmbiguousOrder,
    AuthenticationError,
    OrderRejected,
    PermanentError,
    ProviderError,
    TooLate,
    TransientError,
)
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse

log = logging.getLogger("tokenomics.execution")
trades = logging.getLogger("tokenomics.trades")

FAILED = job_key("rebalance")
# Of an order that certainly was not taken: 15 polls long, beside what the broker asks to wait.
_TRIES_AT_MOST = 5
# Orders in a row. A rate limit concerns them all: each tried for its part, 200 orders would wait for hours.
_TURNED_AWAY_AT_MOST = 3


class Sender:
    """`skip` takes a symbol and why it is left out; `notify` is told what goes wrong."""

    def __init__(
        self,
        plan: Plan,
        book: OrderBook,
        venue: Venue,
        ledger: "Warehouse",
        settings: Settings,
        skip: Callable[[str, str], None],
        notify: Notify,
    ) -> None:
        self._plan = plan
        self._broker, self._clock = venue.broker, venue.clock
        self._ledger = ledger
        self._settings = settings
        self._skip = skip
        self._notify = notify
        self._book = book
        self.stuck: list[str] = []
        """What is not final even after a cancel."""
        self._aside: set[str] = set()  # client order ids of what contradicts the ledger
        self._turned_away = 0  # orders in a row that the broker took none of, for now
        self.lost: str | None = None
        """The order whose state could not be learnt."""
        self.not_looked_up: set[str] = set()
        """Client ids of orders of before that no list shows, and that the broker could not be asked for."""

    def recover(self) -> None:
        """Makes ledger and broker agree on this week's orders, whichever process sent them, before anything is sent.

        And on those of earlier weeks whose end is not known.
        """
        plan = self._plan
        known = {row.client_order_id: row for row in (*self._book.doubtful(), *self._book.period())}
        week_start = calendar.first_session_of_week(plan.week).open - timedelta(days=4)
        sent: list[tuple[LedgerOrder, Order]] = []
        for order in self._broker.orders(status="all", after=week_start):
            if order.client_order_id in known or is_of(order.client_order_id, plan.sleeve, plan.period):
                row = known.pop(order.client_order_id, None) or self._book.lost_row(order)
                sent.append((self._record(row, order), order))
        wanted = {(order.symbol, order.side) for order in plan.orders}
        for row in known.values():
            if row.status not in FINAL or (row.status == ABANDONED and (row.symbol, row.side) in wanted):
                found = self._search(row)
                if found is not None:
                    sent.append((self._record(row, found), found))
        self.settle([row for row, _ in sent if row.plan_id != plan.plan_id], "orders of another plan")
        for row, order in sent:
            if row.plan_id != plan.plan_id and (order.submitted_at is None or order.submitted_at > plan.created_at):
                raise guards.Refused(
                    f"plan {plan.plan_id} was overtaken: {row.client_order_id} of another plan was sent after it was "
                    "made, so it counts on what is no more: materialize trade_plan again"
                )

    def _search(self, row: "LedgerOrder") -> Order | None:
        """The order of a row that no list shows; where the broker has none, the row says so from now on."""
        this_week = row.week == self._plan.week
        try:
            found = self._look_up(row, patient=this_week)
        except ProviderError as error:
            self._skip(row.symbol, f"{row.client_order_id} cannot be looked up ({error})")
            self.not_looked_up.add(row.client_order_id)
            return None
        if found is not None:
            return found
        if row.broker_id is not None:
            note = row.note if row.status == UNKNOWN else f"was {row.status}; the broker does not find it any more"
            if this_week:
                # Its shares or cash may still be bound. A day order of an earlier week is over, whatever became of it.
                text = f"{row.side} {row.client_order_id} {note}: see `tokenomics orders`, and the broker's dashboard, "
                text += f'then `tokenomics settle-order {row.client_order_id} --as canceled "reason"` (or filled)'
                self._skip(row.symbol, text)
                self._notify(check_key("orders.known"), f"order forgotten: {row.side} {row.symbol}", text)
            self._book.note(row, UNKNOWN, note or "")
        elif row.plan_id == self._plan.plan_id:
            self._book.note(row, INTENDED, "did not reach the broker; sent again under the same id")
        else:
            self._book.note(row, ABANDONED, "has not been seen at the broker; whoever wants it again uses its id")
        return None

    def check_halt(self) -> None:
        halt = self._ledger.halted()
        if halt is not None:
            raise guards.Halted(
                f"trading is halted since {halt.at:%Y-%m-%d %H:%M} UTC by {halt.by} ({halt.reason}): "
                'nothing is sent until `tokenomics resume "reason"`'
            )

    def send(self, orders: Sequence[PlannedOrder], not_after: Mapping[str, datetime]) -> list[PlannedOrder]:
        """Sends each once, until one is lost or trading is halted; what was sent is settled all the same.

        Returns those whose turn came after the instant that `not_after` has for their symbol, because the process
        slept or was paced: nothing of them has reached the broker.
        """
        late = []
        for order in orders:
            if self.lost is not None:
                self._skip(order.symbol, "not sent: an order before it is lost")
            elif self._turned_away >= _TURNED_AWAY_AT_MOST:
                self._skip(order.symbol, f"not sent: the broker took none of the {self._turned_away} orders before it")
            else:
                try:
                    self.check_halt()
                    self._place(order, not_after[order.symbol])
                except TooLate as error:
                    log.warning("%s %s: %s", order.side, order.symbol, error.message)
                    late.append(order)
                except guards.Refused:
                    self.settle(self._book.rows(), "orders sent before the halt")
                    raise
        return late

    def _place(self, planned: PlannedOrder, not_after: datetime) -> "LedgerOrder":
        """Sends an order once, under the id of an earlier try that was never seen at the broker, if there was one.

        Raises TooLate: without a row where that is known before the broker's pace is waited for.
        """
        self._broker.check_in_time(not_after)
        earlier = self._book.existing(planned) or self._book.again(planned)
        row = earlier or self._book.intend(planned)
        # An earlier try may still arrive whatever is said of this one: its id is kept for whoever wants it again.
        refused = REFUSED if earlier is None else ABANDONED
        try:
            order = self._submit(row, planned, not_after)
        except OrderRejected as error:
            if not error.duplicate:
                return self._refuse(row, error, refused)
        except AuthenticationError as error:
            self._require_keys()
            return self._refuse(row, error, refused)
        except TransientError as error:  # certain: 429, or no connection came about
            self._turned_away += 1
            self._skip(row.symbol, f"the broker takes no orders for now ({error})")
            return self._book.note(row, refused, f"refused for now: {error}")
        except AmbiguousOrder as error:
            trades.warning("%s %s: no answer (%s); looking for it", row.side, row.symbol, error, extra=_ids(row))
        else:
            self._turned_away = 0
            return self._record(row, order)
        try:
            return self._resolve(row, planned, not_after)
        except ProviderError as error:
            return self._lose(row, f"it cannot be looked up ({error})")

    def _submit(self, row: "LedgerOrder", planned: PlannedOrder, not_after: datetime) -> Order:
        """As the broker's submit. What certainly was not taken is tried again, five times in all."""
        from tokenomics_dagster.providers.transport import MAX_PAUSE_S

        limit = planned.price if row.notional is None and self._settings.trading.order_type == "limit" else None
        tries = 1
        while True:
            try:
                return self._broker.submit(
                    row.symbol,
                    row.side,
                    row.client_order_id,
                    qty=row.qty,
                    notional=row.notional,
                    limit_price=limit,
                    not_after=not_after,
                )
            except TransientError as error:
                if tries == _TRIES_AT_MOST or (error.retry_after_s or 0.0) > MAX_PAUSE_S:
                    raise
                trades.warning("%s %s: not taken (%s); trying again", row.side, row.symbol, error, extra=_ids(row))
            # What the broker asked for is waited for by the pace of all calls.
            self._clock.wait(self._settings.trading.poll_interval_s * 2 ** (tries - 1))
            self.check_halt()
            tries += 1

    def _require_keys(self) -> None:
        """Raises AuthenticationError where the account refuses the keys, too: else it was about one order."""
        try:
            self._broker.account()
        except AuthenticationError:
            raise
        except ProviderError as error:
            log.warning("the account cannot be read to see whether the keys work: %s", error)

    def _resolve(self, row: "LedgerOrder", planned: PlannedOrder, not_after: datetime) -> "LedgerOrder":
        """In doubt: looks for the order during the grace period, sends the same id once more, looks again."""
        found = self._look_up(row)
        if found is not None:
            return self._record(row, found)
        self.check_halt()
        refusal: PermanentError | None = None
        try:
            order = self._submit(row, planned, not_after)
        except (OrderRejected, AuthenticationError) as error:
            refusal = error
        except (AmbiguousOrder, TooLate, TransientError) as error:
            trades.warning("%s %s: no answer again (%s)", row.side, row.symbol, error, extra=_ids(row))
        else:
            return self._record(row, order)
        # After a refusal, too: the first one may have come late, and be what the second was refused for.
        found = self._look_up(row)
        if found is not None:
            return self._record(row, found)
        if refusal is None:
            return self._lose(row, "no answer to the order, and the broker does not find it")
        if isinstance(refusal, OrderRejected) and refusal.duplicate:
            return self._lose(row, "the broker calls its id a duplicate and does not find it")
        # The first one may still come: its id is kept for whoever wants it again.
        return self._refuse(row, refusal, ABANDONED)

    def _refuse(self, row: "LedgerOrder", error: PermanentError, status: str) -> "LedgerOrder":
        trades.warning("%s %s was rejected: %s", row.side, row.symbol, error, extra=_ids(row))
        self._skip(row.symbol, str(error))
        return self._book.note(row, status, str(error))

    def _lose(self, row: "LedgerOrder", why: str) -> "LedgerOrder":
        self.lost = (
            f"nobody knows what became of {row.side} {row.symbol} ({row.client_order_id}): {why}; nothing more is "
            "sent; run the rebalance again: it looks for it first, and what it sends again has the same id, which the "
            "broker takes once; `tokenomics orders` says what the broker says of it"
        )
        self._notify(FAILED, f"order lost: {row.side} {row.symbol}", self.lost)
        return self._book.note(row, UNKNOWN, why)

    def _record(self, row: "LedgerOrder", order: Order) -> "LedgerOrder":
        """Keeps what the broker says of an order; what contradicts the ledger even at a second look is set aside."""
        try:
            return self._book.record(row, order)
        except IllegalTransition as error:
            contradiction, word = str(error), order.status
        if row.client_order_id in self._aside:
            return row
        try:
            again = self._broker.order_by_client_id(row.client_order_id)
            if again is not None:
                word = again.status
                return self._book.record(row, again)
        except (IllegalTransition, ProviderError) as error:
            log.warning("%s at a second look: %s", row.client_order_id, error)
        self._aside.add(row.client_order_id)
        end = "filled" if word == "filled" else "canceled"
        text = f"{contradiction}: see `tokenomics orders`, and the broker's dashboard; if the broker is right: "
        text += f'`tokenomics settle-order {row.client_order_id} --as {end} "reason"`'
        self._skip(row.symbol, text)
        self.stuck.append(f"{row.side} {row.symbol} ({text})")
        self._notify(check_key("orders.final"), f"{row.side} {row.symbol} contradicts the ledger", text)
        return row

    def _look_up(self, row: "LedgerOrder", *, patient: bool = True) -> Order | None:
        deadline = Deadline(self._clock, self._settings.trading.lookup_grace_s if patient else 0.0)
        while True:
            found = self._broker.order_by_client_id(row.client_order_id)
            if found is not None or deadline.passed:
                return found
            self._clock.wait(self._settings.trading.poll_interval_s)

    def settle(self, placed: Iterable["LedgerOrder"], what: str) -> None:
        """Waits until every order is final: one list call per poll, cancels at the deadline, confirms the cancels.

        What is not final even then is stuck: alerted, and its shares or cash count as unavailable.
        """
        waiting = self._unsettled({row.client_order_id: row for row in placed})
        if not waiting:
            return
        total = len(waiting)
        since = min(row.created_at for row in waiting.values()) - CLOCK_SLACK
        deadline = Deadline(self._clock, self._settings.trading.settle_timeout_s)
        cancelled, unheard = False, set[str]()
        while True:
            for order in self._broker.orders(status="all", after=since):
                row = waiting.get(order.client_order_id)
                if row is not None:
                    waiting[order.client_order_id] = self._record(row, order)
            waiting = self._unsettled(waiting)
            if not waiting:
                log.info("%d %s are final", total, what)
                return
            if unheard:
                # Before the deadline is looked at, and with a time of its own: one poll can outlast the first one's.
                for key in unheard & waiting.keys():
                    self._cancel(waiting[key])
                unheard = set()
                deadline = Deadline(self._clock, self._settings.trading.cancel_timeout_s)
            elif deadline.passed:
                if cancelled:
                    break
                unheard = {key for key, row in waiting.items() if not self._cancel(row)}
                cancelled = True
                deadline = Deadline(self._clock, self._settings.trading.cancel_timeout_s)
            self._clock.wait(self._settings.trading.poll_interval_s)
        stuck = [f"{row.side} {row.symbol} ({row.status})" for row in waiting.values()]
        self.stuck += stuck
        self._notify(
            check_key("orders.final"),
            f"{len(stuck)} of {total} {what} are not final after a cancel",
            f"{', '.join(sorted(stuck))}: their shares and cash count as unavailable; see `tokenomics orders`",
        )

    def _unsettled(self, rows: "dict[str, LedgerOrder]") -> "dict[str, LedgerOrder]":
        """Those whose end can still be waited for."""
        over = FINAL | QUIET | {INTENDED, UNKNOWN}
        return {key: row for key, row in rows.items() if row.status not in over and key not in self._aside}

    def _cancel(self, row: "LedgerOrder") -> bool:
        """False where the broker did not say yes: it is asked once more, and what came of it is seen by polling."""
        trades.warning(
            "%s %s is still %s at the deadline: cancelling", row.side, row.symbol, row.status, extra=_ids(row)
        )
        assert row.broker_id is not None
        try:
            return self._broker.cancel(row.broker_id)
        except ProviderError as error:
            trades.warning("%s %s: the cancel failed: %s", row.side, row.symbol, error, extra=_ids(row))
            return False


def _ids(row: "LedgerOrder") -> dict[str, str]:
    return {"symbol": row.symbol, "order_id": row.client_order_id, "plan_id": row.plan_id}
