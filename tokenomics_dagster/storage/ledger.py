"""What became of money: orders, fills, and the equity that was marked.

An order's row changes, and each change of it, as each fill, is a record of the audit in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tokenomics_dagster.model import calendar
from tokenomics_dagster.storage.audit import FILL, ORDER, SETTLEMENT, as_payload
from tokenomics_dagster.storage.journal import Journal
from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Owned, fields_of
from tokenomics_dagster.storage.tables import EQUITY_MARKS, FILLS, ORDERS

_IDS_PER_QUERY = 500  # SQLite takes 999 parameters in builds before 3.32


def _number(column: sa.Column[Any]) -> sa.Cast[float]:
    """An exact amount, which is stored as text, as the database can compare and add it."""
    return sa.cast(sa.type_coerce(column, sa.Text), sa.Float)


class Ledger(Journal):
    def record_order(self, order: LedgerOrder) -> None:
        """Inserts or replaces the ledger row of `order.client_order_id` and audits it; an equal row changes nothing."""
        self._keep_order(order)

    def settle_order(self, order: LedgerOrder, *, end: str, reason: str, by: str) -> None:
        """As record_order, by a person's word, which is a record of its own beside it."""
        self._keep_order(order, {"client_order_id": order.client_order_id, "end": end, "reason": reason, "by": by})

    def _keep_order(self, order: LedgerOrder, settlement: Mapping[str, Any] | None = None) -> None:
        row = fields_of(order)
        match = ORDERS.c.client_order_id == order.client_order_id
        with self._audited() as (connection, append):
            before = connection.execute(sa.select(ORDERS).where(match)).mappings().first()
            if before is not None and LedgerOrder(**before) == order:
                return
            connection.execute(sa.insert(ORDERS) if before is None else sa.update(ORDERS).where(match), row)
            append(ORDER, as_payload(row), order.updated_at, order.week)
            if settlement is not None:
                append(SETTLEMENT, settlement, order.updated_at, order.week)

    def find_order(self, client_order_id: str) -> LedgerOrder | None:
        query = sa.select(ORDERS).where(ORDERS.c.client_order_id == client_order_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else LedgerOrder(**row)

    def orders_of_week(self, account: str, week: date) -> list[LedgerOrder]:
        """Ledger rows of an account's rebalance week, oldest first."""
        query = (
            sa.select(ORDERS)
            .where(ORDERS.c.account == account, ORDERS.c.week == week)
            .order_by(ORDERS.c.created_at, ORDERS.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def orders_of_period(self, account: str, sleeve: str, period: str) -> list[LedgerOrder]:
        """Ledger rows of a sleeve's period in an account, oldest first."""
        query = (
            sa.select(ORDERS)
            .where(ORDERS.c.account == account, ORDERS.c.sleeve == sleeve, ORDERS.c.period == period)
            .order_by(ORDERS.c.created_at, ORDERS.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def orders_in(self, account: str, symbols: Collection[str]) -> list[LedgerOrder]:
        """Ledger rows of an account in these symbols, as they were called then; oldest first."""
        query = (
            sa.select(ORDERS)
            .where(ORDERS.c.account == account, ORDERS.c.symbol.in_(sorted(symbols)))
            .order_by(ORDERS.c.created_at, ORDERS.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def orders_except(self, account: str, statuses: Collection[str]) -> list[LedgerOrder]:
        """Ledger rows of an account, of all weeks, in any other state than these; oldest first."""
        query = (
            sa.select(ORDERS)
            .where(ORDERS.c.account == account, ORDERS.c.status.not_in(sorted(statuses)))
            .order_by(ORDERS.c.created_at, ORDERS.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def weeks_except(self, statuses: Collection[str]) -> list[date]:
        """The weeks of orders, of any account, in any other state than these."""
        query = sa.select(ORDERS.c.week).where(ORDERS.c.status.not_in(sorted(statuses))).distinct()
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def orders_lacking_fills(self, account: str, since: datetime) -> list[LedgerOrder]:
        """Ledger rows of an account, made at or after `since`, of which more shares filled than its kept fills have;
        oldest first."""
        kept = (
            sa.select(FILLS.c.broker_order_id, sa.func.sum(_number(FILLS.c.qty)).label("qty"))
            .where(FILLS.c.account == account)
            .group_by(FILLS.c.broker_order_id)
            .subquery()
        )
        query = (
            sa.select(ORDERS)
            .outerjoin(kept, kept.c.broker_order_id == ORDERS.c.broker_id)
            .where(
                ORDERS.c.account == account,
                ORDERS.c.created_at >= since,
                # Sums of floats: a millionth of a share is no fill.
                _number(ORDERS.c.filled_qty) > sa.func.coalesce(kept.c.qty, 0.0) + 1e-6,
            )
            .order_by(ORDERS.c.created_at, ORDERS.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def owned(self, account: str) -> Owned:
        """Of an account: what its ledger says was bought, in part at least, and what a person has adopted."""
        filled = _number(ORDERS.c.filled_qty) > 0
        bought = sa.select(ORDERS.c.symbol, sa.func.max(ORDERS.c.created_at)).where(
            # What a person settled as filled may have no shares: the broker has forgotten how many.
            ORDERS.c.account == account,
            ORDERS.c.side == "buy",
            sa.or_(filled, ORDERS.c.status == "filled"),
        )
        with self._read() as connection:
            times = {row.symbol: row[1] for row in connection.execute(bought.group_by(ORDERS.c.symbol))}
        return Owned(times, self.adoptions(account))

    def save_fills(self, fills: Iterable[FillRow]) -> int:
        """Keeps and audits the fills that are not known yet, by their id; returns how many were new."""
        wanted = {fill.id: fill for fill in fills}
        ids = list(wanted)
        with self._audited() as (connection, append):
            for start in range(0, len(ids), _IDS_PER_QUERY):
                known = sa.select(FILLS.c.id).where(FILLS.c.id.in_(ids[start : start + _IDS_PER_QUERY]))
                for fill_id in connection.execute(known).scalars().all():
                    del wanted[fill_id]
            for fill in wanted.values():
                connection.execute(sa.insert(FILLS), fields_of(fill))
                append(FILL, as_payload(fields_of(fill)), fill.at, calendar.week_of(fill.at))
        return len(wanted)

    def fills_of_orders(self, account: str, broker_ids: Collection[str]) -> list[FillRow]:
        """The fills of an account's orders, by the broker's ids of these; oldest first."""
        ids, found = sorted(broker_ids), list[FillRow]()
        with self._read() as connection:
            for start in range(0, len(ids), _IDS_PER_QUERY):
                asked = FILLS.c.broker_order_id.in_(ids[start : start + _IDS_PER_QUERY])
                query = sa.select(FILLS).where(FILLS.c.account == account, asked)
                found += [FillRow(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda fill: (fill.at, fill.id))

    def fills_of(self, account: str, since: datetime, symbols: Collection[str] | None = None) -> list[FillRow]:
        """The fills of an account at and after `since`, of all symbols or of these; oldest first."""
        query = sa.select(FILLS).where(FILLS.c.account == account, FILLS.c.at >= since).order_by(FILLS.c.at, FILLS.c.id)
        if symbols is not None:
            query = query.where(FILLS.c.symbol.in_(sorted(symbols)))
        with self._read() as connection:
            return [FillRow(**row) for row in connection.execute(query).mappings()]

    def mark_equity(self, account: str, equity: Decimal, at: datetime) -> None:
        with self._write() as connection:
            connection.execute(sa.insert(EQUITY_MARKS).values(account=account, at=at, equity=equity))

    def equity_marks(self, account: str, since: datetime | None = None) -> list[tuple[datetime, Decimal]]:
        """When which equity was marked (since an instant), USD, oldest first."""
        query = sa.select(EQUITY_MARKS.c.at, EQUITY_MARKS.c.equity).where(EQUITY_MARKS.c.account == account)
        if since is not None:
            query = query.where(EQUITY_MARKS.c.at >= since)
        with self._read() as connection:
            return [(row.at, row.equity) for row in connection.execute(query.order_by(EQUITY_MARKS.c.id))]
