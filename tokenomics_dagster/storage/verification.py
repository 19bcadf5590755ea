"""Whether what is stored is what was recorded: the chain, the rows of the ledger, the tables that orders rest on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.storage import covered
from tokenomics_dagster.storage.audit import FILL, ORDER, AuditDiscrepancy, Link, as_payload, first_discrepancy
from tokenomics_dagster.storage.database import Database
from tokenomics_dagster.storage.journal import head_of
from tokenomics_dagster.storage.tables import AUDIT, FILLS, ORDERS

# Tables whose rows must be told by the audit: by their key, the last record of that kind holds the whole row.
_AUDITED = ((ORDER, ORDERS, "client_order_id"), (FILL, FILLS, "id"))
_ROWS = 1_000  # held in memory at once


class Verification(Database):
    def verify_audit(self) -> AuditDiscrepancy | None:
        """The first record that is not as it was written, or that the ledgers disagree with; None when all is whole.

        Reads one consistent state while others write; holds a thousand records in memory.
        """
        query = sa.select(AUDIT).order_by(AUDIT.c.seq).execution_options(yield_per=_ROWS)
        with self._read() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            head = head_of(connection)
            with connection.execute(query) as links:
                discrepancy = first_discrepancy((Link(*row) for row in links), head)
            if discrepancy is not None:
                return discrepancy
            found = [_ledger_discrepancy(connection, *audited) for audited in _AUDITED]
            found.append(covered.first_discrepancy(connection))
        discrepancies = [one for one in found if one is not None]
        return min(discrepancies, key=lambda one: float("inf") if one.seq is None else one.seq, default=None)

    def uncovered_snapshots(self) -> int:
        """Scores, weights and plans that were stored before their hashes were: `verify_audit` says nothing of them."""
        with self._read() as connection:
            return covered.uncovered(connection)


def _ledger_discrepancy(connection: sa.Connection, kind: str, table: sa.Table, key: str) -> AuditDiscrepancy | None:
    """The first record of `kind` that its ledger row does not agree with, else a row without any record."""
    text = AUDIT.c.payload
    document = sa.type_coerce(text, sa.JSON) if connection.dialect.name == "sqlite" else sa.cast(text, sa.JSON)
    named = document[key].as_string()
    latest = (
        sa.select(named.label("key"), sa.func.max(AUDIT.c.seq).label("seq"))
        .where(AUDIT.c.kind == kind)
        .group_by(named)
        .subquery()
    )
    # Untyped: a damaged value must be named, not fail while a thousand rows are fetched.
    columns = [sa.type_coerce(column, sa.types.NullType()).label(f"row_{column.name}") for column in table.c]
    recorded = (
        sa.select(AUDIT.c.seq, latest.c.key, AUDIT.c.payload, *columns)
        .select_from(latest.join(AUDIT, AUDIT.c.seq == latest.c.seq).outerjoin(table, table.c[key] == latest.c.key))
        .order_by(AUDIT.c.seq)
    )
    told = 0
    with connection.execute(recorded.execution_options(yield_per=_ROWS)) as rows:
        for seq, name, payload, *stored in rows:
            told += 1
            if stored[table.c.keys().index(key)] is None:
                return AuditDiscrepancy(
                    seq, f"tells of {kind} {name}, which {table.name} has no more: its row was deleted"
                )
            row = as_payload(dict(zip(table.c.keys(), _typed(connection, table, stored), strict=True)))
            audited = _with_sleeve(kind, json.loads(payload))
            changed = [field for field in row if row[field] != audited.get(field)]
            if changed:
                return AuditDiscrepancy(
                    seq, f"is the last of {kind} {name}, whose row in {table.name} was changed: {', '.join(changed)}"
                )
    # Each record has its own row, so that as many rows as records are those that they tell of. To look for a row
    # without one takes PostgreSQL, which does not know how many names the records hold, minutes: 26,000 x 26,000.
    if connection.scalar(sa.select(sa.func.count()).select_from(table)) == told:
        return None
    recorded_names = set(connection.execute(sa.select(latest.c.key)).scalars())
    keys = connection.execute(sa.select(table.c[key])).scalars()
    found = min((name for name in keys if name not in recorded_names), default=None)
    return (
        None
        if found is None
        else AuditDiscrepancy(None, f"{kind} {found} is in {table.name}, but no record tells of it")
    )


def _with_sleeve(kind: str, recorded: dict[str, Any]) -> dict[str, Any]:
    """What a record from before sleeves tells of an order, and what its row was then given (migrations.py)."""
    return {"sleeve": FUNDAMENTALS, "period": recorded.get("week"), **recorded} if kind == ORDER else recorded


def _typed(connection: sa.Connection, table: sa.Table, stored: Sequence[Any]) -> Iterator[Any]:
    for column, value in zip(table.c, stored, strict=True):
        process = column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        try:
            yield value if process is None else process(value)
        except (ValueError, TypeError, ArithmeticError):
            yield value
