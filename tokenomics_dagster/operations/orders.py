"""Orders whose end is not known: which they are, what to do about each, and what a person says became of one.

Nothing is traded here. Where the broker knows an order, its word holds, and a person's that contradicts it is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from tokenomics_dagster.execution.book import CLOCK_SLACK, as_seen, check_same, never_seen
from tokenomics_dagster.execution.states import CLOSED, FINAL, QUIET, WRITTEN_OFF, IllegalTransition
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import NothingToDo
from tokenomics_dagster.model.trading import Fill, Order
from tokenomics_dagster.operations.common import (
    OperationRefused,
    document_of,
    new_york,
    open_store,
    share_count,
    user_name,
)
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse

End = Literal["canceled", "filled", "never-sent"]

_WEEK = timedelta(days=7)
_END_OF: dict[str, End] = {"filled": "filled", WRITTEN_OFF: "never-sent"}
"""What a person would say of a final state; of all others, that it was canceled."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A ledger row whose end is not known, or is another at the broker, and what the broker says of its order."""

    row: "LedgerOrder"
    order: Order | None

    @property
    def contradiction(self) -> str | None:
        if self.order is None:
            return None
        try:
            check_same(self.row, self.order)
        except IllegalTransition as error:
            return str(error)
        return None

    @property
    def is_one(self) -> bool:
        """Whether a final row may yet turn out otherwise, or the broker shows what it was said not to have."""
        seen = self.order is not None and self.row.broker_id is None
        return self.contradiction is not None or never_seen(self.row) or seen

    def advice(self, today: datetime) -> str:
        """What to do about it, naming the command."""
        command = f'tokenomics settle-order {self.row.client_order_id} --as {{}} "reason"'
        if self.order is None:
            if never_seen(self.row):
                return (
                    "nothing: the next plan that wants it sends it again under this id, which the broker takes once; "
                    f"only if the broker calls the id a duplicate each time: {command.format('never-sent')}"
                )
            return f"see in the broker's dashboard how it ended, then {command.format('canceled')}, or filled"
        if _is_over(self.order, today):
            end = command.format("filled" if self.order.status == "filled" else "canceled")
            if self.contradiction is not None:
                return f"compare with the broker's dashboard; if the broker is right: {end}"
            return f"nothing: the next rebalance takes it over; or at once: {end}"
        if self.order.status in QUIET:
            return (
                "nothing: nobody waits for it, and the next rebalance takes over how it ends; from the next session "
                f"on, if that is never told: {command.format('canceled')}, or filled"
            )
        return "nothing: the next rebalance waits for it, and cancels it at its deadline; or cancel it in the dashboard"


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The orders of an account whose end is not known at an instant, by the broker's clock."""

    account: str
    at: datetime
    doubts: list[Doubt]

    def document(self) -> dict[str, Any]:
        """What `--json` writes: of each the ledger's row, what the broker says (null: it does not find it), and what to
        do."""
        doubts = [
            {"ledger": document_of(one.row), "broker": document_of(one.order), "advice": one.advice(self.at)}
            for one in self.doubts
        ]
        return {"account": self.account, "at": self.at.isoformat(), "orders_in_doubt": doubts}


def orders_in_doubt() -> InDoubt:
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now, account = alpaca.clock().now, alpaca.account().number
        return InDoubt(account, now, _doubts(account, now, store, alpaca))


def settle_order(client_order_id: str, end: End, reason: str) -> Iterator[str]:
    """Keeps in ledger and audit how an order ended, by a person's word. Raises OperationRefused where that cannot be,
    NothingToDo where it is known to have ended so.

    WarehouseBusy while a rebalance of the account runs.
    """
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now, account = alpaca.clock().now, alpaca.account().number
        with store.exclusive(f"rebalance-{account}"):
            row = store.find_order(client_order_id)
            if row is None or row.account != account:
                raise OperationRefused(
                    f"there is no order {client_order_id} of account {account} in {store.address}: `tokenomics orders` "
                    "lists those whose end is not known"
                )
            doubt = Doubt(row, alpaca.order_by_client_id(client_order_id))
            if row.status in FINAL and not doubt.is_one:
                known = f"{client_order_id} is {row.status}, and nobody doubts it"
                if end == _END_OF.get(row.status, "canceled"):
                    raise NothingToDo(f"{known}: nothing is to be settled")
                raise OperationRefused(f"{known}: it cannot be settled as {end}")
            fills = [f for f in alpaca.fills(after=row.created_at - CLOCK_SLACK) if f.order_id == row.broker_id]
            settled = settled_row(doubt, end, fills, now)
            by = user_name()
            settled = replace(settled, note=f"settled as {end} by {by}: {reason}", updated_at=now)
            store.settle_order(settled, end=end, reason=reason, by=by)
        status = with_fills(settled.status, settled.filled_qty)
        yield f"{client_order_id} was {row.status} and is {status} now, by {by}: {reason}"
        yield f"recorded in {store.address} at {new_york(now)}; the next run of the rebalance goes by it"


def settled_row(doubt: Doubt, end: End, fills: Sequence[Fill], now: datetime) -> "LedgerOrder":
    """The row as it ends; `fills` are those of the order in the account's activities.

    Raises OperationRefused where the broker says otherwise, or the row does.
    """
    row, order = doubt.row, doubt.order
    which = f"{row.client_order_id} cannot be settled as {end}"
    if order is not None:
        if not _is_over(order, now):
            raise OperationRefused(
                f"{which}: the broker says that it is {order.status}; cancel it in the broker's dashboard, or wait for "
                "the end of the session"
            )
        if end == "never-sent" or (end == "filled") != (order.status == "filled"):
            status = with_fills(order.status, order.filled_qty)
            raise OperationRefused(f"{which}: the broker says that it is {status}")
        status = order.status if order.status in CLOSED else end
        return replace(as_seen(row, order), status=status)
    if never_seen(row):
        if end != "never-sent":
            raise OperationRefused(
                f"{which}: it was never seen at the broker, which does not find it now; say never-sent, if anything"
            )
        return replace(row, status=WRITTEN_OFF)
    if end == "never-sent":
        raise OperationRefused(f"{which}: the broker had it, as {row.broker_id}; say canceled or filled")
    filled = sum((fill.qty for fill in fills), Decimal(0))
    if end == "filled" and not filled:
        raise OperationRefused(f"{which}: no fill of it is among the account's activities; say canceled")
    average = sum((fill.qty * fill.price for fill in fills), Decimal(0)) / filled if filled else None
    return replace(row, status=end, filled_qty=filled, filled_avg_price=average)


def as_at_broker(rows: Iterable["LedgerOrder"], alpaca: AlpacaResource) -> dict[str, "LedgerOrder"]:
    """By client id those whose end the ledger does not know and which the broker shows, as it shows them: a run that
    was stopped has told the ledger of no fill. Nothing is stored. Raises ProviderError."""
    found = {}
    for row in rows:
        if row.status in FINAL and not never_seen(row):
            continue
        doubt = Doubt(row, alpaca.order_by_client_id(row.client_order_id))
        order = doubt.order
        if order is not None and doubt.contradiction is None:
            found[row.client_order_id] = as_seen(row, order)
    return found


def _doubts(account: str, now: datetime, store: "Warehouse", alpaca: AlpacaResource) -> list[Doubt]:
    """Of all weeks what is not final; of this and the last one also what differs at the broker, or may yet come."""
    found = [Doubt(row, alpaca.order_by_client_id(row.client_order_id)) for row in store.orders_except(account, FINAL)]
    week = calendar.week_of(now)
    at_broker = {order.client_order_id: order for order in alpaca.orders(status="all", after=now - 2 * _WEEK)}
    final = [
        Doubt(row, at_broker.get(row.client_order_id))
        for monday in (week - _WEEK, week)
        for row in store.orders_of_week(account, monday)
        if row.status in FINAL
    ]
    return found + [doubt for doubt in final if doubt.is_one]


def _is_over(order: Order, now: datetime) -> bool:
    """Whether nothing more can become of it: by its state, or because it is a day order of an earlier session."""
    if order.status in CLOSED:
        return True
    sent = order.submitted_at
    return sent is not None and sent.astimezone(calendar.NEW_YORK).date() < (now.astimezone(calendar.NEW_YORK).date())


def with_fills(status: str, filled: Decimal) -> str:
    """The state of an order in words, with the shares that have filled, if any."""
    return f"{status}, {share_count(filled)} shares filled" if filled else status
