"""The warehouse: SQLAlchemy on SQLite (embedded) or PostgreSQL; the one place that speaks SQL.

Snapshots of whole tables (`as_of`) and facts per symbol (`known_at`) are append-only, so that "what did we know at T"
can be answered; only sweeps and the order ledger change. Columns of a table come from its pandera schema: there is no
second definition. Every write is one transaction. What the rows mean belongs to the rooms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import exc

if TYPE_CHECKING:
    import pandera.pandas as pa


class WarehouseError(RuntimeError):
    """The database cannot be read or written; the text says which, why and what to do, without its password."""


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC instants with microseconds; SQLite has no time zones, so there they are stored as naive UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the warehouse holds UTC instants")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(sa.TypeDecorator[Decimal]):
    """Exact decimals, stored as text: SQLite would turn them into floats."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


_metadata = sa.MetaData()

_snapshots = sa.Table(
    "snapshots",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),  # "" for assets without partitions
    sa.Column("as_of", UtcDateTime, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Index("snapshots_by_asset", "asset", "partition", "as_of"),
)

_sweeps = sa.Table(
    "sweeps",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("fresh_since", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("requested", sa.Integer, nullable=False),
    sa.Column("failures", sa.JSON, nullable=False),
)

_orders = sa.Table(
    "orders_ledger",
    _metadata,
    sa.Column("client_order_id", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("plan_id", sa.Text, nullable=False),
    sa.Column("week", sa.Date, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("qty", Money),
    sa.Column("notional", Money),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("broker_id", sa.Text),
    sa.Column("filled_qty", Money, nullable=False),
    sa.Column("filled_avg_price", Money),
    sa.Column("note", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index("orders_by_week", "account", "week"),
)

_SQL_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "str": sa.Text,
    "string[python]": sa.Text,
    "float64": sa.Float,
    "int64": sa.BigInteger,
    "bool": sa.Boolean,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """That a table was stored; `partition` is "" for assets without partitions."""

    id: int
    partition: str
    as_of: datetime
    run_id: str
    row_count: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the financials of the whole universe; finished_at is None while it runs or after it was killed."""

    id: int
    started_at: datetime
    fresh_since: datetime
    finished_at: datetime | None
    run_id: str
    requested: int
    failures: dict[str, str]


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    """An order as we know it: written before its call and after each change. Amounts in USD and shares."""

    client_order_id: str
    account: str
    plan_id: str
    week: date
    symbol: str
    side: Literal["buy", "sell"]
    attempt: int
    qty: Decimal | None
    notional: Decimal | None
    status: str
    broker_id: str | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    note: str | None
    created_at: datetime
    updated_at: datetime


class Warehouse:
    """The database at `url` (SQLAlchemy form); creates what is missing. Safe for several threads and processes."""

    def __init__(self, url: str) -> None:
        try:
            self._url = sa.make_url(url)
        except exc.ArgumentError:
            raise WarehouseError(
                "TOKENOMICS_DATABASE_URL is not a database address; "
                "examples: sqlite:///.tokenomics/warehouse.db, postgresql+psycopg2://user:password@host/database"
            ) from None
        self._tables: dict[str, sa.Table] = {}
        with self._explained():
            self._engine = self._connect()
            _metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def check_writable(self) -> None:
        """Raises WarehouseError when a row could not be written now; leaves nothing behind."""
        with self._explained(), self._engine.connect() as connection:
            connection.execute(sa.delete(_snapshots).where(_snapshots.c.id == -1))
            connection.rollback()

    def _connect(self) -> sa.Engine:
        if self._url.get_backend_name() != "sqlite":
            return sa.create_engine(self._url, pool_pre_ping=True)
        if self._url.database and self._url.database != ":memory:":
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(self._url, connect_args={"timeout": 30})

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver would begin transactions by itself, and too late
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            options = connection.get_execution_options()
            if options.get("reads"):
                connection.exec_driver_sql("BEGIN")
                return
            # A committed order row must survive a power cut: FULL waits for the disk, 0.7 ms on an idle one, 6 ms on a
            # busy one. What can be asked for again does not wait: a power cut (no crash) may take its last commits, and
            # the next FULL commit secures those before it.
            connection.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if options.get('repeatable') else 'FULL'}")
            # A deferred transaction that turns into a writer fails at once instead of waiting for its turn.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (exc.OperationalError, exc.InternalError) as error:
            raise WarehouseError(
                f"warehouse {self._url.render_as_string(hide_password=True)}: {str(error.orig).strip()}; "
                "check that TOKENOMICS_DATABASE_URL is right, the server runs, there is room, and it can be written"
            ) from None
        except OSError as error:
            raise WarehouseError(
                f"warehouse {self._url.render_as_string(hide_password=True)}: {error.strerror} ({error.filename}); "
                "choose a folder that can be written with TOKENOMICS_DATABASE_URL"
            ) from None

    @contextmanager
    def _write(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        """One transaction; `repeatable` where a power cut may take what can be asked for again."""
        with (
            self._explained(),
            self._engine.connect() as connection,
            connection.execution_options(repeatable=repeatable).begin(),
        ):
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as connection:
            yield connection.execution_options(reads=True)

    def _table(
        self, name: str, schema: type[pa.DataFrameModel], keys: Mapping[str, type[sa.types.TypeEngine[Any]]]
    ) -> sa.Table:
        """The table of a pandera schema, with `keys` in front; created when it is not there yet."""
        if name not in self._tables:
            fields = schema.to_schema().columns.items()
            columns = [sa.Column(key, sql_type, primary_key=True) for key, sql_type in keys.items()]
            columns += [
                sa.Column(field, _sql_type(str(c.dtype)), nullable=bool(c.nullable))
                for field, c in fields
                if field not in keys
            ]
            table = sa.Table(name, sa.MetaData(), *columns)
            with self._explained():
                table.create(self._engine, checkfirst=True)
            self._tables[name] = table
        return self._tables[name]

    def _rows_table(self, asset: str, schema: type[pa.DataFrameModel]) -> sa.Table:
        return self._table(asset, schema, {"snapshot_id": sa.Integer, "position": sa.Integer})

    def _facts_table(self, kind: str, schema: type[pa.DataFrameModel]) -> sa.Table:
        return self._table(kind, schema, {"symbol": sa.Text, "known_at": UtcDateTime})

    def save_snapshot(
        self, asset: str, schema: type[pa.DataFrameModel], frame: pd.DataFrame, *, run_id: str, partition: str = ""
    ) -> int:
        """Validates and appends a whole table; returns the id of the snapshot.

        `frame.attrs["as_of"]` is the instant it describes; the other attrs are kept beside it and must be JSON-able.
        Raises pandera.errors.SchemaErrors when the frame breaks its schema; nothing is written then.
        """
        details = dict(frame.attrs)
        as_of = details.pop("as_of")
        # pandas copies attrs deeply in every step: 0.15 s in all, with the 6,500 names that a universe has dropped
        frame = frame.copy(deep=False)
        frame.attrs = {}
        frame = schema.validate(frame, lazy=True)
        table = self._rows_table(asset, schema)
        with self._write() as connection:
            snapshot_id = connection.execute(
                sa.insert(_snapshots)
                .values(
                    asset=asset, partition=partition, as_of=as_of, run_id=run_id, row_count=len(frame), details=details
                )
                .returning(_snapshots.c.id)
            ).scalar_one()
            rows = [
                {"snapshot_id": snapshot_id, "position": position, **row}
                for position, row in enumerate(_records(frame))
            ]
            if rows:
                connection.execute(sa.insert(table), rows)
        return snapshot_id

    def load_snapshot(
        self,
        asset: str,
        schema: type[pa.DataFrameModel],
        *,
        partition: str = "",
        as_of: datetime | None = None,
    ) -> pd.DataFrame | None:
        """The newest snapshot (that was known at `as_of`), rows in their order; None when there is none.

        attrs: as_of, snapshot_id, run_id, and what was kept with it.
        """
        query = sa.select(_snapshots).where(_snapshots.c.asset == asset, _snapshots.c.partition == partition)
        if as_of is not None:
            query = query.where(_snapshots.c.as_of <= as_of)
        query = query.order_by(_snapshots.c.as_of.desc(), _snapshots.c.id.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).mappings().first()
        if found is None:
            return None
        table = self._rows_table(asset, schema)
        with self._read() as connection:
            rows = connection.execute(
                sa.select(table).where(table.c.snapshot_id == found["id"]).order_by(table.c.position)
            ).mappings()
            frame = _frame(rows.all(), schema)
        if len(frame) != found["row_count"]:
            raise WarehouseError(
                f"snapshot {found['id']} of {asset} has {len(frame)} rows instead of {found['row_count']}: "
                "it was changed by hand; materialize the asset again"
            )
        frame.attrs = {
            **found["details"],
            "as_of": found["as_of"],
            "snapshot_id": found["id"],
            "run_id": found["run_id"],
        }
        return frame

    def history(self, asset: str, *, partition: str | None = None, limit: int | None = None) -> list[Snapshot]:
        """The snapshots of an asset (of all partitions, unless one is named), newest first."""
        query = sa.select(*(_snapshots.c[field] for field in Snapshot.__dataclass_fields__))
        query = query.where(_snapshots.c.asset == asset)
        if partition is not None:
            query = query.where(_snapshots.c.partition == partition)
        query = query.order_by(_snapshots.c.as_of.desc(), _snapshots.c.id.desc()).limit(limit)
        with self._read() as connection:
            return [Snapshot(**row) for row in connection.execute(query).mappings()]

    def append_fact(self, kind: str, schema: type[pa.DataFrameModel], row: Mapping[str, Any]) -> None:
        """Appends what became known of one symbol (`symbol`, `known_at`, the columns of the schema).

        It survives a crash; after a power cut the last ones may be missing, so that they are asked for again.
        """
        table = self._facts_table(kind, schema)
        with self._write(repeatable=True) as connection:
            connection.execute(sa.insert(table), dict(row))

    def latest_facts(
        self, kind: str, schema: type[pa.DataFrameModel], *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        """One row per symbol: the newest that was known (at `as_of`), ordered by symbol."""
        table = self._facts_table(kind, schema)
        known = sa.select(table.c.symbol, sa.func.max(table.c.known_at).label("known_at"))
        if as_of is not None:
            known = known.where(table.c.known_at <= as_of)
        newest = known.group_by(table.c.symbol).subquery()
        query = (
            sa.select(table)
            .join(newest, (table.c.symbol == newest.c.symbol) & (table.c.known_at == newest.c.known_at))
            .order_by(table.c.symbol)
        )
        with self._read() as connection:
            return _frame(connection.execute(query).mappings().all(), schema)

    def start_sweep(self, *, started_at: datetime, fresh_since: datetime, run_id: str, requested: int) -> int:
        with self._write() as connection:
            return connection.execute(
                sa.insert(_sweeps)
                .values(started_at=started_at, fresh_since=fresh_since, run_id=run_id, requested=requested, failures={})
                .returning(_sweeps.c.id)
            ).scalar_one()

    def finish_sweep(self, sweep_id: int, *, finished_at: datetime, failures: Mapping[str, str]) -> None:
        with self._write() as connection:
            connection.execute(
                sa.update(_sweeps)
                .where(_sweeps.c.id == sweep_id)
                .values(finished_at=finished_at, failures=dict(failures))
            )

    def latest_sweep(self) -> Sweep | None:
        query = sa.select(_sweeps).order_by(_sweeps.c.started_at.desc(), _sweeps.c.id.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).mappings().first()
        return Sweep(**found) if found else None

    def record_order(self, order: LedgerOrder) -> None:
        """Inserts or replaces the ledger row of `order.client_order_id`."""
        row = {field: getattr(order, field) for field in LedgerOrder.__dataclass_fields__}
        match = _orders.c.client_order_id == order.client_order_id
        with self._write() as connection:
            if connection.execute(sa.update(_orders).where(match).values(row)).rowcount == 0:
                connection.execute(sa.insert(_orders).values(row))

    def orders_of_week(self, account: str, week: date) -> list[LedgerOrder]:
        """Ledger rows of an account's rebalance week, oldest first."""
        query = (
            sa.select(_orders)
            .where(_orders.c.account == account, _orders.c.week == week)
            .order_by(_orders.c.created_at, _orders.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]


def _sql_type(dtype: str) -> type[sa.types.TypeEngine[Any]]:
    return UtcDateTime if dtype.startswith("datetime64") else _SQL_TYPES[dtype]


def _records(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as plain Python values; missing values are None."""
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        yield {str(k): v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in row.items()}


def _frame(rows: Sequence[sa.RowMapping], schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    columns = list(schema.to_schema().columns)
    return schema.validate(pd.DataFrame([[row[c] for c in columns] for row in rows], columns=columns))
