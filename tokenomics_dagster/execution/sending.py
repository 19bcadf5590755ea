"""Sends the orders of a plan, each once, and waits until they are final, whatever the broker answers or does not.

Which orders, and how much of each, is decided in rebalance.py; their ledger rows are in book.py.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster import market_calendar
from tokenomics_dagster.execution import guards
from tokenomics_dagster.execution.book import OrderBook
from tokenomics_dagster.execution.states import ABANDONED, FINAL, INTENDED, REFUSED, UNKNOWN
from tokenomics_dagster.portfolio.plan import STRATEGY, Plan, PlannedOrder
from tokenomics_dagster.providers.alpaca import AlpacaResource, Order
from tokenomics_dagster.providers.errors import AmbiguousOrder, OrderRejected, TransientError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import LedgerOrder, Warehouse

log = logging.getLogger("tokenomics.execution")
trades = logging.getLogger("tokenomics.trades")

FAILED = "job:rebalance"
# An order's submitted_at may lie a little before the clock that was read before it.
CLOCK_SLACK = timedelta(minutes=5)


class Sender:
    """`skip` takes a symbol and why it is left out; `alert` the key of a problem, its title and its detail."""

    def __init__(
        self,
        plan: Plan,
        book: OrderBook,
        broker: AlpacaResource,
        ledger: "Warehouse",
        settings: Settings,
        sleep: Callable[[float], None],
        skip: Callable[[str, str], None],
        alert: Callable[[str, str, str], None],
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._ledger = ledger
        self._settings = settings
        self._sleep = sleep
        self._skip = skip
        self._alert = alert
        self._book = book
        self.stuck: list[str] = []
        """What is not final even after a cancel."""
        self.lost: str | None = None
        """The order whose state could not be learnt."""

    def recover(self) -> None:
        """Makes ledger and broker agree on this week's orders, whichever process sent them, before anything is sent."""
        plan = self._plan
        known = {row.client_order_id: row for row in self._book.week()}
        prefix = f"{STRATEGY}-{plan.week}-"
        week_start = market_calendar.first_session_of_week(plan.week).open - timedelta(days=4)
        sent: list[tuple[LedgerOrder, Order]] = []
        for order in self._broker.orders(status="all", after=week_start):
            if order.client_order_id.startswith(prefix):
                row = known.pop(order.client_order_id, None) or self._book.lost_row(order)
                sent.append((self._book.record(row, order), order))
        for row in known.values():
            if row.status in FINAL:
                continue
            found = self._look_up(row)
            if found is not None:
                sent.append((self._book.record(row, found), found))
            elif row.plan_id == plan.plan_id:
                self._book.note(row, INTENDED, "did not reach the broker; sent again under the same id")
            else:
                self._book.note(row, ABANDONED, "did not reach the broker, and its plan has been replaced")
        self.settle([row for row in self._book.week() if row.plan_id != plan.plan_id], "orders of another plan")
        for row, order in sent:
            if row.plan_id != plan.plan_id and (order.submitted_at is None or order.submitted_at > plan.created_at):
                raise guards.Refused(
                    f"plan {plan.plan_id} was overtaken: {row.client_order_id} of another plan was sent after it was "
                    "made, so it counts on what is no more: materialize trade_plan again"
                )

    def check_halt(self) -> None:
        halt = self._ledger.halted()
        if halt is not None:
            raise guards.Halted(
                f"trading is halted since {halt.at:%Y-%m-%d %H:%M} UTC by {halt.by} ({halt.reason}): "
                'nothing is sent until `tokenomics resume "reason"`'
            )

    def send(self, orders: Sequence[PlannedOrder]) -> None:
        """Sends each once, until one is lost or trading is halted; what was sent is settled all the same."""
        for order in orders:
            if self.lost is not None:
                self._skip(order.symbol, "not sent: an order before it is lost")
                continue
            try:
                self.check_halt()
                self._place(order)
            except guards.Refused:
                self.settle(self._book.rows(), "orders sent before the halt")
                raise

    def _place(self, planned: PlannedOrder) -> "LedgerOrder":
        """Sends an order once, under the id of an earlier try that has not reached the broker, if there was one."""
        row = self._book.existing(planned) or self._book.intend(planned)
        try:
            return self._book.record(row, self._submit(row, planned))
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
            return self._book.record(row, found)
        self.check_halt()
        refusal = None
        try:
            return self._book.record(row, self._submit(row, planned))
        except OrderRejected as error:
            refusal = error
        except (AmbiguousOrder, TransientError) as error:
            trades.warning("%s %s: no answer again (%s)", row.side, row.symbol, error, extra=_ids(row))
        # After a refusal, too: the first one may have come late, and be what the second was refused for.
        found = self._look_up(row)
        if found is not None:
            return self._book.record(row, found)
        if refusal is None:
            return self._lose(row, "no answer to the order, and the broker does not find it")
        if refusal.duplicate:
            return self._lose(row, "the broker calls its id a duplicate and does not find it")
        return self._refuse(row, refusal)

    def _refuse(self, row: "LedgerOrder", error: OrderRejected) -> "LedgerOrder":
        trades.warning("%s %s was rejected: %s", row.side, row.symbol, error, extra=_ids(row))
        self._skip(row.symbol, str(error))
        return self._book.note(row, REFUSED, str(error))

    def _lose(self, row: "LedgerOrder", why: str) -> "LedgerOrder":
        self.lost = (
            f"nobody knows what became of {row.side} {row.symbol} ({row.client_order_id}): {why}; nothing more is "
            "sent; look at the broker's dashboard, then materialize orders again"
        )
        self._alert(FAILED, f"order lost: {row.side} {row.symbol}", self.lost)
        return self._book.note(row, UNKNOWN, why)

    def _look_up(self, row: "LedgerOrder") -> Order | None:
        deadline = time.monotonic() + self._settings.trading.lookup_grace_s
        while True:
            found = self._broker.order_by_client_id(row.client_order_id)
            if found is not None or time.monotonic() >= deadline:
                return found
            self._sleep(self._settings.trading.poll_interval_s)

    def settle(self, placed: Iterable["LedgerOrder"], what: str) -> None:
        """Waits until every order is final: one list call per poll, cancels at the deadline, confirms the cancels.

        What is not final even then is stuck: alerted, and its shares or cash count as unavailable.
        """
        waiting = {row.client_order_id: row for row in placed if row.status not in FINAL | {INTENDED, UNKNOWN}}
        if not waiting:
            return
        total = len(waiting)
        since = min(row.created_at for row in waiting.values()) - CLOCK_SLACK
        deadline = time.monotonic() + self._settings.trading.settle_timeout_s
        cancelled = False
        while True:
            for order in self._broker.orders(status="all", after=since):
                row = waiting.get(order.client_order_id)
                if row is not None:
                    waiting[order.client_order_id] = self._book.record(row, order)
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
        self.stuck += stuck
        self._alert(
            "check:orders:final",
            f"{len(stuck)} of {total} {what} are not final after a cancel",
            f"{', '.join(sorted(stuck))}: their shares and cash count as unavailable",
        )


def _ids(row: "LedgerOrder") -> dict[str, str]:
    return {"symbol": row.symbol, "order_id": row.client_order_id, "plan_id": row.plan_id}
