"""What the audit says: whether it is whole, and the story of a week. How records are chained is storage/audit.py's."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import booked
from tokenomics_dagster.operations.common import OperationRefused, document_of, open_records, share_count
from tokenomics_dagster.operations.week_summary import week_summary

if TYPE_CHECKING:
    from tokenomics_dagster.storage.audit import AuditRecord
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Verified:
    """An audit that is whole: the database it is in, how many records it has, the hash of the last one.

    `noted_at`: which record has the hash that was noted elsewhere. `uncovered`: number of scores, weights and plans
    that are older than the first of them that has a hash.
    """

    address: str
    count: int
    hash: str
    noted_at: int | None
    uncovered: int


def verify_audit(noted: str | None = None, count: int | None = None) -> Verified:
    """Looks at the whole audit, and whether it holds the head that was `noted` (as record `count`).

    Raises OperationRefused, naming the first bad record.
    """
    with closing(open_records()) as store:
        head = store.audit_head()
        discrepancy = store.verify_audit()
        if discrepancy is None and head.count == 0:
            raise OperationRefused(
                f"nothing is recorded in {store.address}, so nothing can be verified: if the platform has traded, this "
                "is not its database, or its records were deleted"
            )
        if discrepancy is not None:
            which = discrepancy.what if discrepancy.seq is None else f"record {discrepancy.seq} {discrepancy.what}"
            raise OperationRefused(
                f"the audit in {store.address} was tampered with: {which}. Halt trading, and compare with a backup"
            )
        noted_at = None if noted is None else _record_with(store, noted, count)
        return Verified(store.address, head.count, head.hash, noted_at, store.uncovered_snapshots())


def _record_with(store: "Warehouse", noted: str, count: int | None) -> int:
    """The record that has the hash noted elsewhere. Raises OperationRefused when none has, or another than noted."""
    seq = store.record_with(noted)
    if seq is None:
        raise OperationRefused(
            f"no record of the audit in {store.address} has the hash {noted}: the chain was cut before it or written "
            "anew, or this is another database. Halt trading, and compare with a backup"
        )
    if count is not None and seq != count:
        raise OperationRefused(
            f"the hash {noted} is that of record {seq} in {store.address}, not of record {count}: the chain was "
            "written anew, or the count was noted wrongly. Halt trading, and compare with a backup"
        )
    return seq


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the audit in words, one line; `at` in UTC."""

    seq: int
    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """What is recorded of a week (its Monday) in the database at `address`, in order; before that in short: what each
    line is about, and the line."""

    week: date
    address: str
    summary: list[tuple[str, str]]
    entries: list[Entry]

    def document(self) -> dict[str, Any]:
        """What `--json` writes."""
        summary = [{"about": about, "text": text} for about, text in self.summary]
        return {
            "week": self.week.isoformat(),
            "database": self.address,
            "summary": summary,
            "records": document_of(self.entries),
        }


def audit_story(day: date) -> Story:
    """Of the week that `day` lies in."""
    week = day - timedelta(days=day.weekday())
    with closing(open_records()) as store:
        records = store.audit_records(week)
        address = store.address
    entries = [Entry(one.seq, one.at, one.kind, " ".join(_in_words(one).split())) for one in records]
    return Story(week, address, week_summary(records) if records else [], entries)


def _in_words(record: "AuditRecord") -> str:
    describe = _DESCRIPTIONS.get(record.kind)
    if describe is not None:
        try:
            return describe(record.payload)
        except (KeyError, ValueError, TypeError, ArithmeticError):
            pass  # written by another version, or by hand: as it is
    return ", ".join(f"{name} {value}" for name, value in record.payload.items())


def _describe_order(row: dict[str, Any]) -> str:
    asked = f"{share_count(row['qty'])} shares" if row["notional"] is None else _usd(row["notional"])
    text = f"{row['side']} {row['symbol']}, {asked}: {row['status']}"
    if Decimal(row["filled_qty"]):
        text += f", {share_count(row['filled_qty'])} shares filled at {_usd(row['filled_avg_price'])}"
    return f"{text} ({row['note']})" if row["note"] else text


def _describe_fill(row: dict[str, Any]) -> str:
    value = _usd(booked(Decimal(row["qty"]), Decimal(row["price"])))
    return f"{row['side']} {row['symbol']}, {share_count(row['qty'])} shares at {_usd(row['price'])} = {value}"


def _describe_plan(document: dict[str, Any]) -> str:
    plan = Plan.from_document(document)
    orders = ", ".join(f"{sum(o.side == side for o in plan.orders)} {side}s" for side in ("sell", "buy"))
    return f"{plan.plan_id}: {orders}, turnover {plan.turnover:.1%}, equity {_usd(plan.equity)}, cash {_usd(plan.cash)}"


def _describe_reconciliation(result: dict[str, Any]) -> str:
    found = "; ".join(result["flaws"]) or "the books agree"
    cash = f"cash {_usd(result['cash_found'])} of {_usd(result['cash_expected'])} expected"
    return f"{result['fills']} fills, {result['positions']} positions, {cash}: {found}"


def _describe_fulfilment(document: dict[str, Any]) -> str:
    done = Fulfilment.from_document(document)
    short = "; ".join(f"{kind} {_usd(usd)} in {names}" for kind, (usd, names) in done.by_kind.items())
    return f"{_usd(done.traded_usd)} of {_usd(done.planned_usd)} in {done.names} names were traded; {short or 'all'}"


def _describe_resized(payload: dict[str, Any]) -> str:
    return "; ".join(f"{symbol}: {why}" for symbol, why in payload["orders"].items())


_DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "order": _describe_order,
    "fill": _describe_fill,
    "plan": _describe_plan,
    "reconciliation": _describe_reconciliation,
    "fulfilment": _describe_fulfilment,
    "resized": _describe_resized,
    "halt": lambda payload: f"{payload['reason']} (by {payload['by']})",
    "resume": lambda payload: f"{payload['reason']} (by {payload['by']})",
    "approval": lambda payload: f"plan {payload['plan_id']} (by {payload['by']})",
    "adoption": lambda payload: f"{payload['qty']} shares of {payload['symbol']} (by {payload['by']})",
    "settlement": lambda payload: (
        f"{payload['client_order_id']} as {payload['end']}: {payload['reason']} (by {payload['by']})"
    ),
    "phase": lambda payload: f"{payload['phase']}: equity {_usd(payload['equity'])}, cash {_usd(payload['cash'])}",
    "stopped": lambda payload: str(payload["reason"]),
    "snapshot": lambda payload: f"{payload['asset']}: {payload['rows']:,} rows, SHA-256 {payload['sha256']}",
}


def _usd(amount: Any) -> str:
    return f"{Decimal(amount):,.2f} USD"
