"""Whole tables as they were at an instant (`as_of`), append-only: "what did we know at T" can be answered.

What orders rest on is covered by the audit (covered.py), in the transaction that stores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import sqlalchemy as sa

from tokenomics_dagster.model.details import D, Details
from tokenomics_dagster.model.identity import period_of_plan
from tokenomics_dagster.model.plan import plan_id_in
from tokenomics_dagster.storage import covered
from tokenomics_dagster.storage.audit import SNAPSHOT
from tokenomics_dagster.storage.journal import Journal
from tokenomics_dagster.storage.records import Made, Snapshot, Stored, Version, WarehouseError
from tokenomics_dagster.storage.tables import SNAPSHOTS, columns_of, frame_of, rows_of

if TYPE_CHECKING:
    import pandera.pandas as pa

_PAGE = 20  # read together where the first was not the one
_NEWEST_FIRST = (SNAPSHOTS.c.as_of.desc(), SNAPSHOTS.c.id.desc())


class Snapshots(Journal):
    _remembered: dict[tuple[Any, ...], Stored[Any]] | None = None

    def remembering(self) -> Self:
        """This warehouse, which from now on reads each snapshot once: for who answers a question, whose parts look at
        the same tables, and not for who acts on what is there now."""
        self._remembered = {}
        return self

    def save_snapshot(
        self, asset: str, schema: type[pa.DataFrameModel], made: Made[Details], *, run_id: str, partition: str = ""
    ) -> int:
        """Validates and appends a whole table, and what belongs to it; returns the id of the snapshot.

        Raises pandera.errors.SchemaErrors when the frame breaks its schema; nothing is written then.
        """
        as_of, frame = made.as_of, schema.validate(made.frame, lazy=True)
        table = self._rows_table(asset, schema)
        rows = list(rows_of(frame))
        stored: dict[str, Any] = {"asset": asset, "partition": partition, "as_of": as_of, "run_id": run_id}
        stored |= {"row_count": len(rows), "details": made.details.to_document()}
        with self._audited() if asset in covered.COVERED else self._unaudited() as (connection, append):
            if append is not None:
                for payload, week in covered.of_before(connection):
                    append(SNAPSHOT, payload, as_of, week)
            query = sa.insert(SNAPSHOTS).values(**stored).returning(SNAPSHOTS.c.id)
            stored["id"] = connection.execute(query).scalar_one()
            if rows:
                numbered = [{"snapshot_id": stored["id"], "position": n, **row} for n, row in enumerate(rows)]
                connection.execute(sa.insert(table), numbered)
            if append is not None:
                payload = covered.record_of(stored, rows, [str(column) for column in frame.columns])
                append(SNAPSHOT, payload, as_of, covered.week_covered(stored))
        return int(stored["id"])

    def load_snapshot(
        self,
        asset: str,
        schema: type[pa.DataFrameModel],
        *,
        partition: str = "",
        as_of: datetime | None = None,
    ) -> pd.DataFrame | None:
        """The rows of what `load_stored` gives, for who needs nothing else."""
        stored = self.load_stored(asset, schema, Details, partition=partition, as_of=as_of)
        return None if stored is None else stored.frame

    def load_stored(
        self,
        asset: str,
        schema: type[pa.DataFrameModel],
        details: type[D],
        *,
        partition: str = "",
        as_of: datetime | None = None,
        symbol: str | None = None,
    ) -> Stored[D] | None:
        """The newest snapshot (that was known at `as_of`), rows in their order; None when there is none.

        With `symbol` its row alone, whatever became of the others. Raises WarehouseError where rows or details are no
        longer what was stored.
        """
        query = sa.select(SNAPSHOTS.c.id).where(SNAPSHOTS.c.asset == asset, SNAPSHOTS.c.partition == partition)
        if as_of is not None:
            query = query.where(SNAPSHOTS.c.as_of <= as_of)
        with self._read() as connection:
            number = connection.scalar(query.order_by(*_NEWEST_FIRST).limit(1))
        if number is None:
            return None
        key = number, schema, details, symbol
        if self._remembered is None:
            return self._load(*key)
        if key not in self._remembered:
            self._remembered[key] = self._load(*key)
        stored = self._remembered[key]
        return replace(stored, frame=stored.frame.copy(deep=False))

    def _load(self, number: int, schema: type[pa.DataFrameModel], details: type[D], symbol: str | None) -> Stored[D]:
        with self._read() as connection:
            found = Snapshot(
                **connection.execute(sa.select(SNAPSHOTS).where(SNAPSHOTS.c.id == number)).mappings().one()
            )
        read, table = found.details_as(details), self._rows_table(found.asset, schema)
        query = sa.select(*columns_of(table, schema)).where(table.c.snapshot_id == number)
        if symbol is not None:
            query = query.where(table.c.symbol == symbol)
        with self._read() as connection:
            rows = connection.execute(query.order_by(table.c.position)).all()
        frame = frame_of(rows, schema, part=symbol is not None)
        if symbol is None and len(frame) != found.row_count:
            raise WarehouseError(
                f"snapshot {number} of {found.asset} has {len(frame)} rows instead of {found.row_count}: "
                "it was changed by hand; materialize the asset again"
            )
        return Stored(frame, found.as_of, read, number, found.run_id)

    def history(self, asset: str, *, partition: str | None = None, limit: int | None = None) -> list[Snapshot]:
        """The snapshots of an asset (of all partitions, unless one is named), newest first."""
        with self._read() as connection:
            found = connection.execute(_newest_first(asset, partition).limit(limit)).mappings()
            return [Snapshot(**row) for row in found]

    def newest_first(self, asset: str) -> Iterator[Snapshot]:
        """The same of all partitions, read as far as they are taken: who looks for one that is likely new need not read
        five years of them."""
        last: Snapshot | None = None
        size = 1
        while True:
            query = _newest_first(asset).limit(size)
            if last is not None:
                as_old = (SNAPSHOTS.c.as_of == last.as_of) & (SNAPSHOTS.c.id < last.id)
                query = query.where((SNAPSHOTS.c.as_of < last.as_of) | as_old)
            with self._read() as connection:
                page = [Snapshot(**row) for row in connection.execute(query).mappings()]
            yield from page
            if len(page) < size:
                return
            last, size = page[-1], _PAGE

    def versions(self, asset: str) -> list[Version]:
        """Which snapshots of an asset there are, newest first."""
        columns = [SNAPSHOTS.c[field] for field in Version._fields]
        query = sa.select(*columns).where(SNAPSHOTS.c.asset == asset)
        with self._read() as connection:
            return [Version(*row) for row in connection.execute(query.order_by(*_NEWEST_FIRST))]

    def last_with(self, asset: str, symbol: str) -> datetime | None:
        """When the newest snapshot of an asset was made that has a row of the symbol; None where none has."""
        rows = sa.table(asset, sa.column("snapshot_id"), sa.column("symbol"))
        having = sa.select(rows.c.snapshot_id).where(rows.c.symbol == symbol)
        query = sa.select(sa.func.max(SNAPSHOTS.c.as_of)).where(SNAPSHOTS.c.asset == asset, SNAPSHOTS.c.id.in_(having))
        with self._read() as connection:
            return connection.scalar(query)

    def newest_values(self, asset: str, key: str, value: str) -> dict[str, Any]:
        """Two columns of the newest snapshot of any partition, for a room that must not know the table's schema."""
        newest = self.history(asset, limit=1)
        return self.values_of(newest[0], key, value) if newest else {}

    def values_of(self, snapshot: Snapshot | Version, key: str, value: str) -> dict[str, Any]:
        """The same of any snapshot."""
        columns: list[sa.ColumnClause[Any]] = [sa.column(key), sa.column(value)]
        query = sa.select(*columns).select_from(sa.table(snapshot.asset, sa.column("snapshot_id"), *columns))
        with self._read() as connection:
            rows = connection.execute(query.where(sa.column("snapshot_id") == snapshot.id))
            return {row[0]: row[1] for row in rows}

    def find_plan(self, plan_id: str) -> dict[str, Any] | None:
        """The document of a trade plan (model/plan.py) by its id; None where there is none."""
        try:
            period = period_of_plan(plan_id)
        except ValueError:
            return None
        query = sa.select(SNAPSHOTS.c.details).where(SNAPSHOTS.c.asset == "trade_plan", SNAPSHOTS.c.partition == period)
        with self._read() as connection:
            for details in connection.execute(query.order_by(SNAPSHOTS.c.id.desc())).scalars():
                plan = details.get("plan")
                if plan is not None and plan_id_in(plan) == plan_id:
                    return dict(plan)
        return None

    def newest_plan_of(self, account: str) -> Snapshot | None:
        """The newest trade plan that was made for an account, whatever was planned for others since."""
        plans = self.newest_first("trade_plan")
        return next((one for one in plans if one.details.get("plan", {}).get("account") == account), None)

    def _rows_table(self, asset: str, schema: type[pa.DataFrameModel]) -> sa.Table:
        return self._table(asset, schema, {"snapshot_id": sa.Integer, "position": sa.Integer})

    @contextmanager
    def _unaudited(self) -> Iterator[tuple[sa.Connection, None]]:
        with self._write() as connection:
            yield connection, None


def _newest_first(asset: str, partition: str | None = None) -> sa.Select[Any]:
    """The snapshots of an asset, of all partitions unless one is named."""
    query = sa.select(*(SNAPSHOTS.c[field] for field in Snapshot.__dataclass_fields__))
    if partition is not None:
        query = query.where(SNAPSHOTS.c.partition == partition)
    return query.where(SNAPSHOTS.c.asset == asset).order_by(*_NEWEST_FIRST)
