"""What became known of a symbol, and when (`known_at`): append-only. And the sweeps that ask for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import exc

from tokenomics_dagster.storage.database import Database
from tokenomics_dagster.storage.records import Sweep, WarehouseError
from tokenomics_dagster.storage.tables import SWEEPS, UtcDateTime, columns_of, frame_of
from tokenomics_dagster.storage.together import together

if TYPE_CHECKING:
    import pandera.pandas as pa

# A write takes 1 ms. Answers that are paced come 33 ms apart at the fastest (Finnhub's cap), and wait for nothing.
_STORE_EVERY_S = 0.02


class Facts(Database):
    def append_fact(self, kind: str, schema: type[pa.DataFrameModel], row: Mapping[str, Any]) -> None:
        """Appends what became known of one symbol (`symbol`, `known_at`, the columns of the schema); once.

        It survives a crash; after a power cut the last ones may be missing, so that they are asked for again.
        """
        self._append(self._facts_table(kind, schema), [row])

    def appending(
        self,
        kind: str,
        schema: type[pa.DataFrameModel],
        then: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
    ) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        """As `append_fact` for each row that it is given; those that come faster than they are stored, together.

        `then` is called with the rows once they are stored. A crash may take those of the last moment.
        """
        table = self._facts_table(kind, schema)

        def store(rows: Sequence[Mapping[str, Any]]) -> None:
            self._append(table, rows)
            then(rows)

        return together(store, _STORE_EVERY_S)

    def _append(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            with self._write(repeatable=True) as connection:
                connection.execute(sa.insert(table), [dict(row) for row in rows])
        except exc.IntegrityError:
            if len(rows) > 1:  # one of them is known already: which one, they tell alone
                for row in rows:
                    self._append(table, [row])
                return
            (row,) = rows
            same = (table.c.symbol == row["symbol"]) & (table.c.known_at == row["known_at"])
            with self._read() as connection:
                found = connection.execute(sa.select(table).where(same)).mappings().first()
            if found is None:
                raise
            if any(found[column] != row.get(column) for column in found):
                raise WarehouseError(
                    f"{table.name} of {row['symbol']} at {row['known_at']} are known already, with other figures: what "
                    "was known is never changed; ask again later"
                ) from None

    def latest_facts(
        self,
        kind: str,
        schema: type[pa.DataFrameModel],
        *,
        as_of: datetime | None = None,
        symbol: str | None = None,
    ) -> pd.DataFrame:
        """One row per symbol, or of this one: the newest that was known (at `as_of`), ordered by symbol."""
        table = self._facts_table(kind, schema)
        newest = _newest(table, as_of, symbol)
        query = sa.select(*columns_of(table, schema)).join(
            newest, (table.c.symbol == newest.c.symbol) & (table.c.known_at == newest.c.known_at)
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        # Not by the database: where its collation is a language's, BRK.B and BRKA change places.
        return frame_of(sorted(rows, key=lambda row: row.symbol), schema)

    def all_facts(self, kind: str, schema: type[pa.DataFrameModel], columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """(known_at, symbol, *columns) of every row that ever became known, in the order of both: for a replay."""
        table = self._facts_table(kind, schema)
        query = sa.select(table.c.known_at, table.c.symbol, *(table.c[column] for column in columns))
        with self._read() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return sorted(rows, key=lambda row: row[:2])

    def known_at(
        self, kind: str, schema: type[pa.DataFrameModel], *, as_of: datetime | None = None
    ) -> dict[str, datetime]:
        """When the newest row of each symbol became known (at `as_of`)."""
        newest = _newest(self._facts_table(kind, schema), as_of)
        query = sa.select(newest).where(newest.c.known_at.is_not(None))
        with self._read() as connection:
            return {row.symbol: row.known_at for row in connection.execute(query)}

    def _facts_table(self, kind: str, schema: type[pa.DataFrameModel]) -> sa.Table:
        return self._table(kind, schema, {"symbol": sa.Text, "known_at": UtcDateTime})

    def start_sweep(self, *, started_at: datetime, fresh_since: datetime, run_id: str, requested: int) -> int:
        with self._write() as connection:
            return connection.execute(
                sa.insert(SWEEPS)
                .values(started_at=started_at, fresh_since=fresh_since, run_id=run_id, requested=requested, failures={})
                .returning(SWEEPS.c.id)
            ).scalar_one()

    def finish_sweep(self, sweep_id: int, *, finished_at: datetime, failures: Mapping[str, str]) -> None:
        with self._write() as connection:
            connection.execute(
                sa.update(SWEEPS)
                .where(SWEEPS.c.id == sweep_id)
                .values(finished_at=finished_at, failures=dict(failures))
            )

    def sweeps(self, *, limit: int | None = None, finished: bool = False) -> list[Sweep]:
        """The sweeps, newest first; with `finished` only those that came to their end."""
        query = sa.select(SWEEPS).order_by(SWEEPS.c.started_at.desc(), SWEEPS.c.id.desc()).limit(limit)
        if finished:
            query = query.where(SWEEPS.c.finished_at.is_not(None))
        with self._read() as connection:
            return [Sweep(**row) for row in connection.execute(query).mappings()]

    def latest_sweep(self, *, finished: bool = False) -> Sweep | None:
        return next(iter(self.sweeps(limit=1, finished=finished)), None)


def _newest(table: sa.Table, as_of: datetime | None, symbol: str | None = None) -> sa.CTE:
    """When the newest row of each symbol (at `as_of`) became known; missing of a symbol that was known only later.

    From symbol to symbol along the primary key (a loose index scan, which neither database does by itself): it costs
    symbols, where GROUP BY costs all their weeks: 6,000 for 1.56 million after five years.
    """
    if symbol is not None:
        symbols = sa.select(sa.literal(symbol).label("symbol")).cte("symbols")
    else:
        symbols = sa.select(sa.func.min(table.c.symbol).label("symbol")).cte("symbols", recursive=True)
        following = sa.select(sa.func.min(table.c.symbol)).where(table.c.symbol > symbols.c.symbol).scalar_subquery()
        symbols = symbols.union_all(sa.select(following).where(symbols.c.symbol.is_not(None)))
    newest = sa.select(sa.func.max(table.c.known_at)).where(table.c.symbol == symbols.c.symbol)
    if as_of is not None:
        newest = newest.where(table.c.known_at <= as_of)
    # Else PostgreSQL, which knows nothing of how many symbols there are, may look for the newest row by row.
    return (
        sa.select(symbols.c.symbol, newest.scalar_subquery().label("known_at"))
        .where(symbols.c.symbol.is_not(None))
        .cte("newest")
        .prefix_with("MATERIALIZED")
    )
