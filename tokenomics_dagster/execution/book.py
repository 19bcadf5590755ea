"""The orders of a week in the ledger: a row is committed before its order's call and after each change of its state.

What is sent, and what an answer means, is decided in sending.py; what a state may become in states.py.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.states import (
    ABANDONED,
    CLOSED,
    INTENDED,
    REFUSED,
    UNKNOWN,
    WRITTEN_OFF,
    IllegalTransition,
    check_transition,
)
from tokenomics_dagster.model.identity import attempt_of, client_order_id
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.model.trading import Clock, Order

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse

# An order's submitted_at may lie a little before the clock that was read before it.
CLOCK_SLACK = timedelta(minutes=5)


class OrderBook:
    """The rows of a plan's account, sleeve and period."""

    def __init__(self, plan: Plan, clock: Clock, ledger: "Warehouse") -> None:
        self._plan = plan
        self._clock = clock
        self._ledger = ledger

    def existing(self, planned: PlannedOrder) -> "LedgerOrder | None":
        rows = [r for r in self.rows() if (r.symbol, r.side) == (planned.symbol, planned.side)]
        return rows[-1] if rows else None

    def again(self, planned: PlannedOrder) -> "LedgerOrder | None":
        """The try of another plan, of this week or an earlier one, that was never seen at the broker, made this plan's.

        It may still arrive. Sent under the same id, the broker takes only one of the two.
        """
        for row in reversed(self.doubtful()):
            if (row.symbol, row.side) == (planned.symbol, planned.side) and never_seen(row):
                whose = f"plan {row.plan_id}" if row.plan_id else "an earlier plan"
                changed = replace(
                    row,
                    plan_id=self._plan.plan_id,
                    period=self._plan.period,
                    week=self._plan.week,
                    qty=planned.qty,
                    notional=planned.notional,
                    status=INTENDED,
                    note=f"under the id of {whose}, whose order was never seen at the broker",
                    updated_at=self._clock.now(),
                )
                self._ledger.record_order(changed)
                return changed
        return None

    def intend(self, planned: PlannedOrder) -> "LedgerOrder":
        """A new row, under an id that no row has and the broker never saw.

        One after the last, not one more than there are: a restored ledger has only those that the broker shows.
        """
        tried = [r.attempt for r in self.period() if (r.symbol, r.side) == (planned.symbol, planned.side)]
        attempt = 1 + max(tried, default=0)
        name = (self._plan.sleeve, self._plan.period, planned.symbol, planned.side)
        while self._ledger.find_order(client_order_id(*name, attempt)) is not None:  # another account's
            attempt += 1
        return self._new_row(
            order_id=client_order_id(*name, attempt),
            plan_id=self._plan.plan_id,
            order=planned,
            attempt=attempt,
            note=None,
            created_at=self._clock.now(),
        )

    def lost_row(self, order: Order) -> "LedgerOrder":
        """The ledger row of an order of ours that only the broker knows: the ledger was restored from a backup.

        One that is younger than the plan counts as the plan's: else it would be sent a second time.
        """
        sent_at = order.submitted_at or self._clock.now()
        return self._new_row(
            order_id=order.client_order_id,
            plan_id=self._plan.plan_id if sent_at >= self._plan.created_at else "",
            order=order,
            attempt=attempt_of(order.client_order_id),
            note="found at the broker, unknown to the ledger",
            created_at=sent_at,
        )

    def _new_row(
        self,
        *,
        order_id: str,
        plan_id: str,
        order: PlannedOrder | Order,
        attempt: int,
        note: str | None,
        created_at: datetime,
    ) -> "LedgerOrder":
        from tokenomics_dagster.storage.records import LedgerOrder

        row = LedgerOrder(
            client_order_id=order_id,
            account=self._plan.account,
            sleeve=self._plan.sleeve,
            period=self._plan.period,
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
            updated_at=self._clock.now(),
        )
        self._ledger.record_order(row)
        return row

    def rows(self, side: str | None = None) -> list["LedgerOrder"]:
        return [row for row in self.period() if row.plan_id == self._plan.plan_id and side in (None, row.side)]

    def period(self) -> list["LedgerOrder"]:
        """Of all plans of it."""
        return self._ledger.orders_of_period(self._plan.account, self._plan.sleeve, self._plan.period)

    def doubtful(self) -> list["LedgerOrder"]:
        """The sleeve's rows of all periods that are not final, or may yet be seen at the broker."""
        rows = self._ledger.orders_except(self._plan.account, CLOSED | {REFUSED, WRITTEN_OFF})
        return [row for row in rows if row.sleeve == self._plan.sleeve]

    def record(self, row: "LedgerOrder", order: Order) -> "LedgerOrder":
        """What the broker says of an order. Raises IllegalTransition where that contradicts the row."""
        changed = as_seen(row, order)
        if changed == row:
            return row
        check_same(row, order)
        changed = replace(changed, updated_at=self._clock.now())
        self._ledger.record_order(changed)
        return changed

    def release(self, row: "LedgerOrder", why: str) -> None:
        """An order that was never seen and that its plan does not want any more: its id waits for who wants it."""
        note = f"of plan {row.plan_id}, which does not want it any more: {why}"
        self._ledger.record_order(replace(row, plan_id="", status=ABANDONED, note=note, updated_at=self._clock.now()))

    def note(self, row: "LedgerOrder", status: str, note: str) -> "LedgerOrder":
        if (row.status, row.note) == (status, note):
            return row
        if row.status != status:
            check_transition(row.client_order_id, row.status, status, row.filled_qty, row.filled_qty)
        changed = replace(row, status=status, note=note, updated_at=self._clock.now())
        self._ledger.record_order(changed)
        return changed


def as_seen(row: "LedgerOrder", order: Order) -> "LedgerOrder":
    """The row with what the broker says of its order."""
    # Seen for the first time it may be the order of an earlier plan under the same id: then its amounts hold.
    first = row.broker_id is None
    return replace(
        row,
        qty=order.qty if first else row.qty,
        notional=order.notional if first else row.notional,
        status=order.status,
        broker_id=order.id,
        filled_qty=order.filled_qty,
        filled_avg_price=order.filled_avg_price,
    )


def check_same(row: "LedgerOrder", order: Order) -> None:
    """Raises IllegalTransition where what the broker says of an order contradicts its row."""
    if row.broker_id is None and (order.symbol, order.side) != (row.symbol, row.side):
        raise IllegalTransition(
            f"order {row.client_order_id} is a {row.side} of {row.symbol}, and the broker says that it is a "
            f"{order.side} of {order.symbol}, which cannot be"
        )
    check_transition(row.client_order_id, row.status, order.status, row.filled_qty, order.filled_qty)


def never_seen(row: "LedgerOrder") -> bool:
    """Whether its order may have reached the broker, or may reach it yet, without having been seen there."""
    return row.broker_id is None and row.status in (INTENDED, UNKNOWN, ABANDONED)
