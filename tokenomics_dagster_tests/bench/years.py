"""A warehouse after years, made from one real week, so that what is read of it can be timed.

The week's plan, orders, fills, reports and records are those of a cycle on the sandbox, moved to each Monday; figures
and scores are rows of that week, under further names too. The audit is chained and sealed as the platform does it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from itertools import cycle, islice, product
from string import ascii_uppercase
from typing import Any

import pandera.pandas as pa
import sqlalchemy as sa

from tokenomics_dagster.execution.schema import Orders, PortfolioReport
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.storage import covered
from tokenomics_dagster.storage.audit import GENESIS, SNAPSHOT, Head, Link, next_link
from tokenomics_dagster.storage.tables import (
    AUDIT,
    AUDIT_HEAD,
    EQUITY_MARKS,
    FILLS,
    ORDERS,
    SNAPSHOTS,
    SWEEPS,
    UtcDateTime,
)
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import KnownProfiles, Listings, Universe

_UUID = re.compile(r"\b[0-9a-f]{8}(?=-[0-9a-f]{4}-)")  # the beginning of one, which is another's in another week
MONTH = 4  # weeks from one universe to the next
_MONTHLY: dict[str, type[pa.DataFrameModel]] = {"listings": Listings, "universe": Universe}
_WEEKLY: dict[str, type[pa.DataFrameModel]] = {
    "scores": Scores,
    "target_weights": TargetWeights,
    "trade_plan": TradePlan,
    "orders": Orders,
    "portfolio_report": PortfolioReport,
}
_FACTS: dict[str, type[pa.DataFrameModel]] = {"profiles": KnownProfiles, "financials": Financials}


class Move:
    """From the week that happened to another: what names the one, in texts and instants, names the other."""

    def __init__(self, week: date, to: date) -> None:
        self._by = to - week
        self._weeks = self._by // timedelta(weeks=1)
        self._words = [(f"{week:{form}}", f"{to:{form}}") for form in ("%Y-%m-%d", "%Y%m%d")]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            for of_week, of_other in self._words:
                value = value.replace(of_week, of_other)
            return _UUID.sub(lambda found: f"{(int(found[0], 16) + self._weeks) % 2**32:08x}", value)
        if isinstance(value, date):  # an instant, too
            return value + self._by
        return json.loads(self(json.dumps(value))) if isinstance(value, dict) else value

    def rows(self, rows: Sequence[Mapping[str, Any]], **changed: Any) -> list[dict[str, Any]]:
        return [{column: self(value) for column, value in row.items()} | changed for row in rows]

    def column(self, column: sa.Column[Any], dialect: str) -> sa.ColumnElement[Any]:
        """The same of an instant by the database itself: 3 million rows would take Python minutes."""
        if not isinstance(column.type, UtcDateTime):
            return column
        if dialect == "postgresql":
            return column + sa.literal(self._by)
        of_week, of_other = self._words[0]
        return sa.func.replace(sa.type_coerce(column, sa.Text), of_week, of_other)


def grow(happened: Warehouse, grown: Warehouse, week: date, *, symbols: int, weeks: int) -> None:
    """Fills the empty warehouse `grown` with that many weeks up to `week`, which happened in the other one, with that
    many symbols in each."""
    moves = [Move(week, week - timedelta(weeks=number)) for number in reversed(range(weeks))]
    tables = {name: grown._rows_table(name, schema) for name, schema in (_MONTHLY | _WEEKLY).items()}
    facts = {name: grown._facts_table(name, schema) for name, schema in _FACTS.items()}
    with happened._read() as source:
        first = {table.name: _rows(source, table) for table in (*tables.values(), *facts.values())}
        snapshots = {row["asset"]: row for row in _rows(source, SNAPSHOTS)}
        ledgers = {table: _rows(source, table) for table in (SWEEPS, ORDERS, FILLS, EQUITY_MARKS)}
        records = [Link(*row) for row in source.execute(sa.select(AUDIT).order_by(AUDIT.c.seq))]
    followed = [str(row["symbol"]) for row in first["universe"]]
    for name in ("universe", "scores", *facts):
        first[name] = _further(first[name], followed, symbols)
    with grown._write() as target:
        staged = {name: _staged(target, table, first[name]) for name, table in (tables | facts).items()}
        for number, move in enumerate(moves):
            monthly = number % MONTH == 0
            for name in _FACTS if monthly else ("financials",):
                _copy(target, staged[name], facts[name], move)
            for name in _MONTHLY | _WEEKLY if monthly else _WEEKLY:
                stored = move.rows([snapshots[name]], row_count=len(first[name]))[0]
                del stored["id"]
                query = sa.insert(SNAPSHOTS).values(stored).returning(SNAPSHOTS.c.id)
                _copy(target, staged[name], tables[name], move, snapshot_id=target.execute(query).scalar_one())
            for table, rows in ledgers.items():
                target.execute(sa.insert(table), [_unnumbered(table, row) for row in move.rows(rows)])
        _records(target, records, moves)
    with closing(grown._engine.connect().execution_options(isolation_level="AUTOCOMMIT")) as connection:
        connection.exec_driver_sql("ANALYZE")


def _staged(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> sa.Table:
    """The rows in a table of this connection alone, for the database to copy."""
    columns = [sa.Column(column.name, column.type) for column in table.c]
    staged = sa.Table(f"first_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
    staged.create(connection)
    connection.execute(sa.insert(staged), rows)
    return staged


def _copy(connection: sa.Connection, staged: sa.Table, table: sa.Table, move: Move, **values: Any) -> None:
    columns = {c.name: move.column(c, connection.dialect.name) for c in staged.c} | {
        name: sa.literal(value) for name, value in values.items()
    }
    connection.execute(sa.insert(table).from_select(list(columns), sa.select(*columns.values())))


def _unnumbered(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """Without what the database numbers itself."""
    return {name: value for name, value in row.items() if table.c[name].autoincrement is not True}


def _records(connection: sa.Connection, records: list[Link], moves: list[Move]) -> None:
    """Each week's records, chained; then what covers every table, as the platform makes it for a database of before."""
    head = Head(0, GENESIS)
    links = list[Link]()

    def append(kind: str, payload: dict[str, Any], at: datetime, week: date | None) -> None:
        nonlocal head
        links.append(next_link(head, kind, payload, at, week))
        head = Head(links[-1].seq, links[-1].hash)

    for move in moves:
        for record in records:
            if record.kind != SNAPSHOT:
                read = record._replace(at=move(record.at), week=move(record.week), payload=move(record.payload)).read()
                append(read.kind, read.payload, read.at, read.week)
    for payload, week in covered.of_before(connection):
        append(SNAPSHOT, payload, read.at, week)
    connection.execute(sa.insert(AUDIT), [link._asdict() for link in links])
    connection.execute(sa.delete(AUDIT_HEAD))
    connection.execute(sa.insert(AUDIT_HEAD).values(id=1, count=head.count, hash=head.hash))


def _rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def _further(rows: list[dict[str, Any]], followed: list[str], symbols: int) -> list[dict[str, Any]]:
    """The rows of the followed, and as many again under other names as there are to be."""
    of_followed = [row for row in rows if row["symbol"] in set(followed)]
    names = ("".join(letters) for letters in product(*[ascii_uppercase] * 4))
    further = islice(
        (name for name in names if name not in {row["symbol"] for row in rows}), symbols - len(of_followed)
    )
    more = [row | {"symbol": name} for name, row in zip(further, cycle(of_followed))]
    whole = [*of_followed, *more]
    for number, row in enumerate(whole if "position" in whole[0] else ()):
        row["position"] = number
    if "rank" in whole[0]:
        whole.sort(key=lambda row: -row["market_cap_musd"])
        for number, row in enumerate(whole):
            row |= {"position": number, "rank": number + 1}
    return whole
