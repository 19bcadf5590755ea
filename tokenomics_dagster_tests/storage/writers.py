"""What processes of their own do to one warehouse, until they end or are killed; what must be true of it afterwards.

Imports nothing of pytest: the processes are forked from one that has imported the platform (execution/crash.py).
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Made, WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse, migrate

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)
ACCOUNT = "PA1"


def open_at_once(url: str, upgrade: bool, answer: Connection, start: Any) -> None:
    """Opens the warehouse when all are ready; answers what was upgraded, or the error."""
    start.wait(30)
    try:
        with closing(Warehouse(url, upgrade=upgrade)) as store:
            store.append_fact("financials", Financials, _fact("A", os.getpid()))
            answer.send(store.upgraded)
    except WarehouseError as error:
        answer.send(str(error))


def migrate_until(url: str, statement: int) -> None:
    """Migrates, and kills itself when it has sent so many statements."""
    sent = 0

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def _count(*_: Any) -> None:
        nonlocal sent
        sent += 1
        if sent == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    list(migrate(url))


class Log:
    """What a writer knows to be committed, a line for each; in a file that outlives it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")


def write_on(url: str, name: str, folder: Path) -> None:
    """Writes until it is killed; begins with what it may or may not have written last."""
    log = Log(folder / name)
    done = log.read()
    with closing(Warehouse(url)) as store:
        for number in range(len(done), 1_000_000):
            _write(store, name, number)
            log.append(str(number))


KINDS = ("fact", "order", "change", "fills", "snapshot", "audit")


def _write(store: Warehouse, name: str, number: int) -> None:
    kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
    if kind == "fact":
        store.append_fact("financials", Financials, _fact(name, turn))
    elif kind == "order":
        store.record_order(_order(name, turn, "intended"))
    elif kind == "change":
        store.record_order(_order(name, turn, "filled"))
    elif kind == "fills":
        store.save_fills([_fill(f"{name}-{turn}"), _fill(f"all-{turn}")])
    elif kind == "snapshot":
        frame = pd.DataFrame([(f"S{n}", 0.05, 90.0, 1e6, n) for n in range(1, 21)], columns=_COLUMNS)
        made = Made(frame, T0, Details())
        store.save_snapshot("target_weights", TargetWeights, made, run_id=f"{name}-{turn}", partition=str(WEEK))
    else:
        store.audit("phase", {"by": name, "turn": turn}, at=T0, week=WEEK)


_COLUMNS = list(TargetWeights.to_schema().columns)


def _fact(symbol: str, turn: int) -> dict[str, Any]:
    figures: dict[str, Any] = {**dict.fromkeys(Financials.to_schema().columns, 1.0), "reported_period": None}
    return {**figures, "symbol": symbol, "known_at": T0 + timedelta(seconds=turn)}


def _order(name: str, turn: int, status: str) -> LedgerOrder:
    filled = status == "filled"
    return LedgerOrder(
        client_order_id=f"{name}-{turn}",
        account=ACCOUNT,
        sleeve="fundamentals",
        period="2026-08-24",
        plan_id="p1",
        week=WEEK,
        symbol=name,
        side="buy",
        attempt=turn,
        qty=None,
        notional=Decimal("12.34"),
        status=status,
        broker_id=f"b-{name}-{turn}" if filled else None,
        filled_qty=Decimal("0.123456789") if filled else Decimal(0),
        filled_avg_price=Decimal("99.95") if filled else None,
        note=None,
        created_at=T0,
        updated_at=T0 + timedelta(seconds=filled),
    )


def _fill(fill_id: str) -> FillRow:
    return FillRow(fill_id, "b", None, ACCOUNT, "A", "buy", Decimal("0.5"), Decimal("99.95"), T0)


def flaws(url: str, logs: dict[str, Log], kills: int) -> Iterator[str]:
    """What was lost, stored twice or by half; nothing when all is right."""
    with closing(Warehouse(url)) as store:
        if (flaw := store.verify_audit()) is not None:
            yield f"audit: record {flaw.seq} {flaw.what}"
        table = store._facts_table("financials", Financials)
        with store._read() as connection:
            facts = {(row.symbol, row.known_at) for row in connection.execute(sa.select(table))}
            rows = store._rows_table("target_weights", TargetWeights)
            query = sa.select(rows.c.snapshot_id, sa.func.count()).group_by(rows.c.snapshot_id)
            stored = {snapshot: count for snapshot, count in connection.execute(query)}  # noqa: C416
        orders = {row.client_order_id: row for row in store.orders_of_week(ACCOUNT, WEEK)}
        fills = {fill.id for fill in store.fills_of(ACCOUNT, T0)}
        snapshots = store.history("target_weights")
        phases = [record.payload for record in store.audit_records() if record.kind == "phase"]
    told = Counter(f"{payload['by']}-{payload['turn']}" for payload in phases)
    runs = Counter(snapshot.run_id for snapshot in snapshots)
    if set(stored.values()) != {20} or {s.id: s.row_count for s in snapshots} != stored:
        yield f"snapshots by half: {stored}"
    for name, log in logs.items():
        numbers = log.read()
        if numbers != [str(number) for number in range(len(numbers))]:
            yield f"{name} skipped what it had to write"
        for number in range(len(numbers)):
            kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
            key = f"{name}-{turn}"
            is_there = {
                "fact": (name, T0 + timedelta(seconds=turn)) in facts,
                "order": key in orders,
                "change": orders.get(key) == _order(name, turn, "filled"),
                "fills": {key, f"all-{turn}"} <= fills,
                "snapshot": runs[key] >= 1,
                "audit": told[key] >= 1,
            }
            if not is_there[kind]:
                yield f"{kind} {key} was committed and is lost"
    # A snapshot or a record whose commit was not known of is made anew; nothing else may be there twice.
    again = sum(runs.values()) - len(runs) + sum(told.values()) - len(told)
    if again > kills:
        yield f"{again} snapshots and records are there twice after {kills} kills"
