"""A week of the audit in some ten lines, before its records one by one: equity, planned, traded, not traded and why,
decisions of people, books. What is not recorded is said to be not recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.execution.states import FINAL
from tokenomics_dagster.kit.checks import counted
from tokenomics_dagster.model.plan import UNREADABLE, Plan
from tokenomics_dagster.model.trading import booked
from tokenomics_dagster.operations.common import new_york
from tokenomics_dagster.reports.trades import at_least
from tokenomics_dagster.storage.audit import ADOPTION, APPROVAL, FILL, HALT, ORDER, RESUME, SETTLEMENT

if TYPE_CHECKING:
    from tokenomics_dagster.storage.audit import AuditRecord

Records = dict[str, list["AuditRecord"]]

_UNREADABLE = (*UNREADABLE, AttributeError)
_LARGEST = 3
"""Names that are told of what was not traded, for each reason."""


def week_summary(records: Sequence[AuditRecord]) -> list[tuple[str, str]]:
    """What each line is about, and the line; `records` are all of a week, in order."""
    by_kind: Records = defaultdict(list)
    for record in records:
        by_kind[record.kind].append(record)
    return [(about, line) for about, tell in _LINES for line in _told(tell, by_kind)]


def _told(tell: Callable[[Records], Iterator[str]], by_kind: Records) -> list[str]:
    try:
        return list(tell(by_kind))
    except _UNREADABLE:  # written by another version, or by hand
        return ["what is recorded of it cannot be read: see the records"]


def _equity(of: Records) -> Iterator[str]:
    if not of["phase"]:
        yield "not recorded: no rebalance came to its first phase"
        return
    first, last = of["phase"][0], of["phase"][-1]
    yield f"{_usd(first.payload['equity'])}, of it cash {_usd(first.payload['cash'])}, at {new_york(first.at)}"
    if last.payload["equity"] != first.payload["equity"]:
        yield f"{_usd(last.payload['equity'])}, of it cash {_usd(last.payload['cash'])}, at {new_york(last.at)}"


def _planned(of: Records) -> Iterator[str]:
    if not of["plan"]:
        yield "nothing: there was no plan"
        return
    plan = Plan.from_document(of["plan"][-1].payload)
    earlier = f"; {counted(len(of['plan']) - 1, 'earlier plan')} of the week gave way to it" if of["plan"][1:] else ""
    yield f"{_orders(plan, 'sell')} and {_orders(plan, 'buy')}, turnover {plan.turnover:.1%} of equity{earlier}"


def _orders(plan: Plan, side: str) -> str:
    wanted = [order for order in plan.orders if order.side == side]
    return f"{counted(len(wanted), side)} of {_usd(sum((one.value for one in wanted), Decimal(0)))}"


def _traded(of: Records) -> Iterator[str]:
    orders = {one.payload["client_order_id"]: one.payload for one in of[ORDER]}  # of each its newest record
    sums: dict[str, Decimal] = defaultdict(Decimal)
    shares: dict[str, Decimal] = defaultdict(Decimal)
    for fill in (one.payload for one in of[FILL]):
        sums[fill["side"]] += booked(Decimal(fill["qty"]), Decimal(fill["price"]))
        shares[fill["broker_order_id"]] += Decimal(fill["qty"])
    # Fills are recorded after the orders that they are of: a run that was stopped has recorded these alone.
    lacking = [one for one in orders.values() if Decimal(one["filled_qty"]) > shares[one["broker_id"]]]
    for one in lacking:
        qty = Decimal(one["filled_qty"]) - shares[one["broker_id"]]
        sums[one["side"]] += booked(qty, Decimal(one["filled_avg_price"] or 0))
    sides = (("sell", "sold"), ("buy", "bought"))
    filled = " and ".join(f"{word} {_usd(sums[side])}" for side, word in sides if side in sums)
    told = f"{counted(len(of[FILL]), 'fill')}: {filled}" if filled else "nothing"
    if lacking:
        told += f", of it {counted(len(lacking), 'order')} by their mean price, for not all their fills are recorded"
    unended = sum(one["status"] not in FINAL for one in orders.values())
    yield at_least(told, anything=bool(filled), unended=unended)
    if of["fulfilment"]:
        done = Fulfilment.from_document(of["fulfilment"][-1].payload)
        meant = f"{_usd(done.planned_usd)} in {counted(done.names, 'name')} that were meant"
        yield f"{_usd(done.traded_usd)} of the {meant}"


def _untraded(of: Records) -> Iterator[str]:
    if not of["fulfilment"]:
        yield "not recorded: no rebalance came to its end"
        return
    done = Fulfilment.from_document(of["fulfilment"][-1].payload)
    for kind, (usd, names) in done.by_kind.items():
        short = [one for one in done.shortfalls if one.kind == kind]
        some = "; ".join(f"{one.side} {one.symbol}: {one.reason}" for one in short[:_LARGEST])
        more = f"; and {len(short) - _LARGEST:,} more" if len(short) > _LARGEST else ""
        yield f"{kind}: {_usd(usd)} in {counted(names, 'name')} ({some}{more})"
    if not done.by_kind:
        yield "nothing: all that was meant was traded"


def _stopped(of: Records) -> Iterator[str]:
    for record in of["stopped"]:
        yield f"at {new_york(record.at)}: {record.payload['reason']}"


def _approvals(of: Records) -> Iterator[str]:
    for record in of[APPROVAL]:
        yield f"plan {record.payload['plan_id']} by {record.payload['by']} at {new_york(record.at)}"
    if not of[APPROVAL]:
        yield "none"


def _halts(of: Records) -> Iterator[str]:
    ordered = sorted((*of[HALT], *of[RESUME]), key=lambda record: record.seq)
    for record in ordered:
        what = "halted" if record.kind == HALT else "resumed"
        yield f"{what} by {record.payload['by']} at {new_york(record.at)}: {record.payload['reason']}"
    if not ordered:
        yield "none"


def _decided(of: Records) -> Iterator[str]:
    for record in of[ADOPTION]:
        yield f"{record.payload['symbol']} adopted by {record.payload['by']}"
    for record in of[SETTLEMENT]:
        yield f"{record.payload['client_order_id']} settled as {record.payload['end']} by {record.payload['by']}"


def _books(of: Records) -> Iterator[str]:
    if not of["reconciliation"]:
        yield "not compared with the broker's"
        return
    newest = of["reconciliation"][-1]
    found = "; ".join(newest.payload["flaws"]) or "agree with the broker's"
    yield f"{found} ({counted(newest.payload['positions'], 'position')}, cash {_usd(newest.payload['cash_found'])})"


def _usd(amount: Any) -> str:
    return f"{Decimal(amount):,.2f} USD"


_LINES: tuple[tuple[str, Callable[[Records], Iterator[str]]], ...] = (
    ("equity", _equity),
    ("planned", _planned),
    ("traded", _traded),
    ("not traded", _untraded),
    ("stopped", _stopped),
    ("approvals", _approvals),
    ("halts", _halts),
    ("decided", _decided),
    ("books", _books),
)
