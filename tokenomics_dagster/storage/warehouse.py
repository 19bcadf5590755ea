"""The warehouse: SQLAlchemy on SQLite (embedded) or PostgreSQL; the one place that speaks SQL.

Snapshots of whole tables (`as_of`) and facts per symbol (`known_at`) are append-only, so that "what did we know at T"
can be answered; only sweeps and the order ledger change. Columns of a table come from its pandera schema: there is no
second definition; how older databases follow is in migrations.py. Every write is one transaction. What a person
decides and what becomes of money is also a record of the audit (audit.py), in the same transaction. What the rows mean
belongs to the rooms.

A server that went away is waited for before a transaction, never within one: whether a commit whose answer was lost
took place is for the next run to find out, which repeats nothing that is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import exc
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import plan_id_of, week_of_plan
from tokenomics_dagster.settings import NO_DATABASE
from tokenomics_dagster.storage import covered, migrations, private
from tokenomics_dagster.storage.audit import (
    ANCHORED,
    GENESIS,
    AuditFlaw,
    AuditRecord,
    Head,
    Link,
    first_flaw,
    next_link,
)
from tokenomics_dagster.storage.embedded import DatabaseFile
from tokenomics_dagster.storage.records import (
    Alert,
    Approval,
    FillRow,
    Halt,
    LedgerOrder,
    Snapshot,
    Sweep,
    WarehouseBusy,
    WarehouseError,
)

if TYPE_CHECKING:
    import pandera.pandas as pa

log = logging.getLogger("tokenomics.storage")
# Whatever is recorded is told, once it is committed: two of the streams that a person can follow (logs.py).
_trades = logging.getLogger("tokenomics.trades")
_decisions = logging.getLogger("tokenomics.decisions")


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

_fills = sa.Table(
    "fills",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("broker_order_id", sa.Text, nullable=False),
    sa.Column("client_order_id", sa.Text),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("qty", Money, nullable=False),
    sa.Column("price", Money, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("fills_by_account", "account", "at"),
)

_equity_marks = sa.Table(
    "equity_marks",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.Text, nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("equity", Money, nullable=False),
)

# What is wrong now, one row per problem; a row goes when its end was announced (alerts.py).
_alerts = sa.Table(
    "alerts",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("link", sa.Text),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("told_at", UtcDateTime),
)

# All text: what is stored is what was hashed, on every database, and can be checked even after it was damaged.
_audit = sa.Table(
    "audit",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("week", sa.Text),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("audit_by_kind", "kind", "seq"),
    sa.Index("audit_by_week", "week", "seq"),
)

_audit_head = sa.Table(
    "audit_head",
    _metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

# Tables whose rows must be told by the audit: by their key, the last record of that kind holds the whole row.
_AUDITED = (("order", _orders, "client_order_id"), ("fill", _fills, "id"))
# Halts and approvals are nothing but records: a second table could only disagree with them.
_HALT, _RESUME, _APPROVAL, _SETTLEMENT = "halt", "resume", "approval", "settlement"
_RESERVED = frozenset({*(kind for kind, _, _ in _AUDITED), _HALT, _RESUME, _APPROVAL, _SETTLEMENT, covered.KIND})
_VERIFY_ROWS = 1_000  # held in memory at once
_IDS_PER_QUERY = 500  # SQLite takes 999 parameters in builds before 3.32

# In-memory databases belong to one process: who is in is known here.
_in_memory_locks: dict[str, threading.Lock] = {}

_SQL_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "str": sa.Text,
    "string[python]": sa.Text,
    "float64": sa.Float,
    "int64": sa.BigInteger,
    "bool": sa.Boolean,
}


_NAMING = ("host", "port", "mode", "uri")  # of an address's query: what names the database and may be shown
_SCHEMA = "schema"  # the lock under which tables are made and changed
_ROOM = 4 << 20  # bytes; a week of 1,500 names takes less
_PATIENCE_S = 30  # for a lock, and for a server that went away; a restart of PostgreSQL takes seconds
# Without these a machine that vanished is noticed after two hours (TCP's keepalive), or never while connecting.
_POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Warehouse:
    """The database at `url` (SQLAlchemy form). Safe for several threads and processes.

    An empty database gets its tables, an embedded one of an earlier version is brought to this one. A server's is only
    with `upgrade`: others may be at work on it; else WarehouseError, as for one that is newer than this code. With
    `existing` it must be there and hold the tables: who only looks must not make the database that he looks for.
    """

    def __init__(self, url: str, *, upgrade: bool = False, existing: bool = False) -> None:
        try:
            self._url = sa.make_url(url)
            self._url.get_dialect().import_dbapi()
        except ModuleNotFoundError:
            raise WarehouseError(
                "the driver of PostgreSQL, which TOKENOMICS_DATABASE_URL names, is not installed: run "
                "`pip install 'tokenomics-dagster[postgres]'`"
            ) from None
        except (exc.ArgumentError, ValueError):  # the latter, of a port, quotes what may be of the password
            raise WarehouseError(f"TOKENOMICS_DATABASE_URL {NO_DATABASE}") from None
        # libpq takes a password in the query, too.
        named = {name: value for name, value in self._url.query.items() if name in _NAMING}
        self._shown = self._url.set(query=named).render_as_string(hide_password=True)
        self._tables: dict[str, sa.Table] = {}
        self._locks: list[_SessionLock] = []
        self._patience_s = 0
        self._disk = DatabaseFile.of(self._url)
        self._seen: Head | None = None  # the end of the audit as this process last saw it
        with self._explained():
            if self._disk is not None:
                if existing and (missing := self._disk.missing()) is not None:
                    raise self._absent(missing)
                self._disk.make()
            self._engine = self._connect()
            self.upgraded = self._prepare(upgrade, existing)
            if self._disk is not None:
                self._disk.hold()
        if self._engine.dialect.name == "postgresql":
            self._patience_s = _PATIENCE_S

    def _absent(self, why: str) -> WarehouseError:
        return WarehouseError(
            f"warehouse {self._shown}: {why}: nothing was looked at or made; "
            "name the running platform's database by TOKENOMICS_DATABASE_URL, or make a new one by `tokenomics migrate`"
        )

    def _prepare(self, upgrade: bool, existing: bool) -> list[str]:
        """Makes the tables of an empty database, or brings an older one up; returns what was changed."""
        try:
            with self._read() as connection:
                found = migrations.version_of(connection)
            if found == migrations.LATEST:
                return []
            if found is None and existing:
                raise self._absent("it holds no tables")
            if found is not None and found > migrations.LATEST:
                raise WarehouseError(
                    f"warehouse {self.address} has schema version {found}, this code knows {migrations.LATEST}: it was "
                    "migrated by newer code; run that, or restore the backup from before"
                )
            if found is not None and not upgrade and self._engine.dialect.name != "sqlite":
                raise WarehouseError(
                    f"warehouse {self.address} has schema version {found}, this code needs {migrations.LATEST}: make a "
                    "backup, then run `tokenomics migrate`"
                )
            with self._engine.begin() as connection:
                _lock_schema(connection)
                return migrations.upgrade(connection, _metadata.create_all)
        except migrations.SchemaError as error:
            raise WarehouseError(f"warehouse {self.address}: {error}") from None

    def close(self) -> None:
        self._engine.dispose()

    @property
    def address(self) -> str:
        """Where it is, without its password; a SQLite file by its absolute path."""
        return self._file() or self._shown

    def check_writable(self) -> None:
        """Raises WarehouseError when a week's tables could not be written now; leaves nothing behind."""
        with self._explained(), self._engine.connect() as connection:
            # What is taken back before it is committed needs no disk, but for what memory does not hold: SQLite keeps
            # 2 MB of a transaction there and then writes on, PostgreSQL makes a table longer at once.
            probe = sa.Table("probe", sa.MetaData(), sa.Column("content", sa.LargeBinary))
            probe.create(connection)
            connection.execute(sa.insert(probe).values(content=os.urandom(_ROOM)))
            connection.rollback()

    def check_usable(self) -> None:
        """As check_writable, at next to no cost, for who looks each minute: writes nothing, not even for a moment.

        Of a server's disk it says nothing.
        """
        with self._write():  # first of all whether the file is still there
            free = None if self._disk is None else self._disk.room()
        if free is not None and free < _ROOM:
            raise WarehouseError(
                f"warehouse {self._shown}: its disk is full, {free / 2**20:.1f} MiB are free: make room"
            )

    def _connect(self) -> sa.Engine:
        if self._url.get_backend_name() != "sqlite":
            options = {name: value for name, value in _POSTGRES.items() if name not in self._url.query}
            server = sa.create_engine(self._url, pool_pre_ping=True, connect_args=options)

            @sa.event.listens_for(server, "connect")
            def _limit_waits(connection: Any, _record: Any) -> None:
                # As on SQLite: behind a writer that hangs, a person who halts must get an answer.
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(f"SET lock_timeout = '{_PATIENCE_S}s'")
                connection.autocommit = False

            return server
        engine = sa.create_engine(self._url, connect_args={"timeout": _PATIENCE_S})

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
        except exc.DBAPIError as error:
            what = _explanation(error, embedded=self._disk is not None)
            if what is None:
                raise
            raise WarehouseError(f"warehouse {self._shown}{what}") from None
        except OSError as error:
            raise WarehouseError(
                f"warehouse {self._shown}: {error.strerror} ({error.filename}); "
                "choose a folder that can be written with TOKENOMICS_DATABASE_URL"
            ) from None

    def _reach(self) -> sa.Connection:
        """A connection that answers; waits for a server that is away. Only for what begins anew."""
        for lock in self._locks:
            lock.require()
        if self._disk is not None and (flaw := self._disk.flaw()) is not None:
            raise WarehouseError(
                f"{flaw}: nothing more is recorded or traded here; put the right file back, then run it again: it goes "
                "on where that file was"
            )
        return Retrying(
            retry=retry_if_exception_type(exc.OperationalError),
            stop=stop_after_delay(self._patience_s),
            wait=wait_exponential(multiplier=0.1, max=2),
            before_sleep=lambda _: log.warning("the warehouse does not answer: waiting up to %d s", _PATIENCE_S),
            reraise=True,
        )(self._engine.connect)

    @contextmanager
    def _write(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        """One transaction; `repeatable` where a power cut may take what can be asked for again."""
        with (
            self._explained(),
            self._reach() as connection,
            connection.execution_options(repeatable=repeatable).begin(),
        ):
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._explained(), self._reach() as connection:
            try:
                yield connection.execution_options(reads=True)
            except (ValueError, TypeError, ArithmeticError) as error:  # of turning what is stored into values
                raise WarehouseError(
                    f"a value in warehouse {self._shown} cannot be read "
                    f"({' '.join(str(error).split())[:200]}): it was damaged or changed by hand; restore a backup"
                ) from None

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
            with self._read() as connection:
                known = sa.inspect(connection).has_table(name)
            if not known:
                with self._write() as connection:
                    _lock_schema(connection)
                    table.create(connection, checkfirst=True)
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
        rows = list(_records(frame))
        stored = {"asset": asset, "partition": partition, "as_of": as_of, "run_id": run_id, "row_count": len(rows)}
        stored["details"] = details
        with self._audited() if asset in covered.COVERED else self._unaudited() as (connection, append):
            if append is not None:
                for payload, week in covered.of_before(connection, _snapshots, _audit):
                    append(covered.KIND, payload, as_of, week)
            query = sa.insert(_snapshots).values(**stored).returning(_snapshots.c.id)
            stored["id"] = connection.execute(query).scalar_one()
            if rows:
                numbered = [{"snapshot_id": stored["id"], "position": n, **row} for n, row in enumerate(rows)]
                connection.execute(sa.insert(table), numbered)
            if append is not None:
                payload = covered.record_of(stored, rows, [str(column) for column in frame.columns])
                append(covered.KIND, payload, as_of, covered.week_covered(stored))
        return int(stored["id"])

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

    def newest_values(self, asset: str, key: str, value: str) -> dict[str, Any]:
        """Two columns of the newest snapshot of any partition, for a room that must not know the table's schema."""
        newest = self.history(asset, limit=1)
        if not newest:
            return {}
        columns: list[sa.ColumnClause[Any]] = [sa.column(key), sa.column(value)]
        query = sa.select(*columns).select_from(sa.table(asset, sa.column("snapshot_id"), *columns))
        with self._read() as connection:
            rows = connection.execute(query.where(sa.column("snapshot_id") == newest[0].id))
            return {row[0]: row[1] for row in rows}

    def append_fact(self, kind: str, schema: type[pa.DataFrameModel], row: Mapping[str, Any]) -> None:
        """Appends what became known of one symbol (`symbol`, `known_at`, the columns of the schema); once.

        It survives a crash; after a power cut the last ones may be missing, so that they are asked for again.
        """
        table = self._facts_table(kind, schema)
        try:
            with self._write(repeatable=True) as connection:
                connection.execute(sa.insert(table), dict(row))
        except exc.IntegrityError:
            same = (table.c.symbol == row["symbol"]) & (table.c.known_at == row["known_at"])
            with self._read() as connection:
                found = connection.execute(sa.select(table).where(same)).mappings().first()
            if found is None:
                raise
            if any(found[column] != row.get(column) for column in found):
                raise WarehouseError(
                    f"{kind} of {row['symbol']} at {row['known_at']} are known already, with other figures: what was "
                    "known is never changed; ask again later"
                ) from None

    def latest_facts(
        self, kind: str, schema: type[pa.DataFrameModel], *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        """One row per symbol: the newest that was known (at `as_of`), ordered by symbol."""
        table = self._facts_table(kind, schema)
        newest = _newest(table, as_of).subquery()
        query = sa.select(table).join(
            newest, (table.c.symbol == newest.c.symbol) & (table.c.known_at == newest.c.known_at)
        )
        with self._read() as connection:
            rows = connection.execute(query).mappings().all()
        # Not by the database: where its collation is a language's, BRK.B and BRKA change places.
        return _frame(sorted(rows, key=lambda row: row["symbol"]), schema)

    def known_at(
        self, kind: str, schema: type[pa.DataFrameModel], *, as_of: datetime | None = None
    ) -> dict[str, datetime]:
        """When the newest row of each symbol became known: 0.1 s for 10,000 symbols after a year of weeks."""
        query = _newest(self._facts_table(kind, schema), as_of)
        with self._read() as connection:
            return {row.symbol: row.known_at for row in connection.execute(query)}

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

    def sweeps(self, *, limit: int | None = None, finished: bool = False) -> list[Sweep]:
        """The sweeps, newest first; with `finished` only those that came to their end."""
        query = sa.select(_sweeps).order_by(_sweeps.c.started_at.desc(), _sweeps.c.id.desc()).limit(limit)
        if finished:
            query = query.where(_sweeps.c.finished_at.is_not(None))
        with self._read() as connection:
            return [Sweep(**row) for row in connection.execute(query).mappings()]

    def latest_sweep(self, *, finished: bool = False) -> Sweep | None:
        return next(iter(self.sweeps(limit=1, finished=finished)), None)

    def record_order(self, order: LedgerOrder) -> None:
        """Inserts or replaces the ledger row of `order.client_order_id` and audits it; an equal row changes nothing."""
        self._keep_order(order)

    def settle_order(self, order: LedgerOrder, *, end: str, reason: str, by: str) -> None:
        """As record_order, by a person's word, which is a record of its own beside it."""
        self._keep_order(order, {"client_order_id": order.client_order_id, "end": end, "reason": reason, "by": by})

    def _keep_order(self, order: LedgerOrder, settlement: Mapping[str, Any] | None = None) -> None:
        row = _fields(order)
        match = _orders.c.client_order_id == order.client_order_id
        with self._audited() as (connection, append):
            before = connection.execute(sa.select(_orders).where(match)).mappings().first()
            if before is not None and LedgerOrder(**before) == order:
                return
            connection.execute(sa.insert(_orders) if before is None else sa.update(_orders).where(match), row)
            append("order", _plain(row), order.updated_at, order.week)
            if settlement is not None:
                append(_SETTLEMENT, settlement, order.updated_at, order.week)

    def find_order(self, client_order_id: str) -> LedgerOrder | None:
        query = sa.select(_orders).where(_orders.c.client_order_id == client_order_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else LedgerOrder(**row)

    def orders_of_week(self, account: str, week: date) -> list[LedgerOrder]:
        """Ledger rows of an account's rebalance week, oldest first."""
        query = (
            sa.select(_orders)
            .where(_orders.c.account == account, _orders.c.week == week)
            .order_by(_orders.c.created_at, _orders.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def orders_except(self, account: str, statuses: Collection[str]) -> list[LedgerOrder]:
        """Ledger rows of an account, of all weeks, in any other state than these; oldest first."""
        query = (
            sa.select(_orders)
            .where(_orders.c.account == account, _orders.c.status.not_in(sorted(statuses)))
            .order_by(_orders.c.created_at, _orders.c.client_order_id)
        )
        with self._read() as connection:
            return [LedgerOrder(**row) for row in connection.execute(query).mappings()]

    def audit(self, kind: str, payload: Mapping[str, Any], *, at: datetime, week: date | None = None) -> None:
        """Appends a record; payload: Decimals, dates and instants become text. Never a secret: it cannot be removed."""
        if kind in _RESERVED:
            raise ValueError(f"records of kind {kind} are written with what they tell of")
        with self._audited() as (_, append):
            append(kind, payload, at, week)

    def audit_records(self, week: date | None = None) -> list[AuditRecord]:
        """The records (of a rebalance week), in their order."""
        query = sa.select(_audit).order_by(_audit.c.seq)
        if week is not None:
            query = query.where(_audit.c.week == week.isoformat())
        with self._read() as connection:
            return [_read_link(Link(*row)) for row in connection.execute(query)]

    def audit_head(self) -> Head:
        """How many records there are and the hash of the last: what to note elsewhere."""
        with self._read() as connection:
            return _head(connection)

    def head_told_at(self) -> datetime | None:
        """When a person was last told where the audit ends; before the first time when it began; None without any."""
        told = self._newest_record(_audit.c.kind == "head_told") or self._newest_record(_audit.c.seq == 1)
        return None if told is None else told.at

    def verify_audit(self) -> AuditFlaw | None:
        """The first record that is not as it was written, or that the ledgers disagree with; None when all is whole.

        Reads one consistent state while others write; holds a thousand records in memory.
        """
        query = sa.select(_audit).order_by(_audit.c.seq).execution_options(yield_per=_VERIFY_ROWS)
        with self._read() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            head = _head(connection)
            with connection.execute(query) as links:
                flaw = first_flaw((Link(*row) for row in links), head)
            if flaw is not None:
                return flaw
            flaws = [flaw for audited in _AUDITED if (flaw := _ledger_flaw(connection, *audited)) is not None]
            if (flaw := covered.first_flaw(connection, _snapshots, _audit)) is not None:
                flaws.append(flaw)
        return min(flaws, key=lambda flaw: float("inf") if flaw.seq is None else flaw.seq, default=None)

    def uncovered_snapshots(self) -> int:
        """Scores, weights and plans that were stored before their hashes were: `verify_audit` says nothing of them."""
        with self._read() as connection:
            return covered.uncovered(connection, _snapshots, _audit)

    def record_with(self, hash_: str) -> int | None:
        """The number of the audit record with this hash; None when there is none."""
        with self._read() as connection:
            return connection.scalar(sa.select(_audit.c.seq).where(_audit.c.hash == hash_))

    def halt(self, reason: str, *, by: str, at: datetime) -> None:
        """From now on nothing is traded, until `resume`; `reason` must not be empty."""
        self._decide(_HALT, reason, by, at)

    def resume(self, reason: str, *, by: str, at: datetime) -> None:
        """Lifts every halt; `reason` must not be empty."""
        self._decide(_RESUME, reason, by, at)

    def _decide(self, kind: str, reason: str, by: str, at: datetime) -> None:
        if not reason.strip():
            raise ValueError(f"a {kind} needs a reason")
        with self._audited() as (_, append):
            append(kind, {"reason": reason, "by": by}, at, calendar.week_of(at))

    def halted(self) -> Halt | None:
        """The newest halt that no resume has lifted."""
        record = self._newest_record(_audit.c.kind.in_((_HALT, _RESUME)))
        if record is None or record.kind == _RESUME:
            return None
        return Halt(record.payload["reason"], record.payload["by"], record.at)

    def approve(self, plan_id: str, plan_hash: str, *, by: str, at: datetime) -> None:
        payload = {"plan_id": plan_id, "plan_hash": plan_hash, "by": by}
        with self._audited() as (_, append):
            append(_APPROVAL, payload, at, calendar.week_of(at))

    def approval(self, plan_hash: str | None = None) -> Approval | None:
        """The newest approval of the plan with this hash; without one, of any plan."""
        wanted = [_audit.c.kind == _APPROVAL]
        if plan_hash is not None:
            # Quotes inside a value are escaped in canonical JSON: no other field can look like this one.
            wanted.append(_audit.c.payload.contains(f'"plan_hash":"{plan_hash}"', autoescape=True))
        record = self._newest_record(*wanted)
        return None if record is None else Approval(**record.payload, at=record.at)

    def alerts(self) -> dict[str, Alert]:
        """The problems that are known, by their keys."""
        with self._read() as connection:
            return {row["key"]: Alert(**row) for row in connection.execute(sa.select(_alerts)).mappings()}

    def save_alert(self, alert: Alert) -> None:
        """Inserts or replaces the problem of that key."""
        with self._write() as connection:
            connection.execute(sa.delete(_alerts).where(_alerts.c.key == alert.key))
            connection.execute(sa.insert(_alerts), _fields(alert))

    def forget_alert(self, key: str) -> None:
        with self._write() as connection:
            connection.execute(sa.delete(_alerts).where(_alerts.c.key == key))

    def _newest_record(self, *wanted: sa.ColumnElement[bool]) -> AuditRecord | None:
        query = sa.select(_audit).where(*wanted).order_by(_audit.c.seq.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).first()
        return None if found is None else _read_link(Link(*found))

    def find_plan(self, plan_id: str) -> dict[str, Any] | None:
        """The document of a trade plan (model/plan.py) by its id; None where there is none."""
        try:
            week = week_of_plan(plan_id)
        except ValueError:
            return None
        query = sa.select(_snapshots.c.details).where(
            _snapshots.c.asset == "trade_plan", _snapshots.c.partition == week
        )
        with self._read() as connection:
            for details in connection.execute(query.order_by(_snapshots.c.id.desc())).scalars():
                plan = details.get("plan")
                if plan is not None and plan_id_of(week, plan["plan_hash"]) == plan_id:
                    return dict(plan)
        return None

    def save_fills(self, fills: Iterable[FillRow]) -> int:
        """Keeps and audits the fills that are not known yet, by their id; returns how many were new."""
        wanted = {fill.id: fill for fill in fills}
        ids = list(wanted)
        with self._audited() as (connection, append):
            for start in range(0, len(ids), _IDS_PER_QUERY):
                known = sa.select(_fills.c.id).where(_fills.c.id.in_(ids[start : start + _IDS_PER_QUERY]))
                for fill_id in connection.execute(known).scalars().all():
                    del wanted[fill_id]
            for fill in wanted.values():
                connection.execute(sa.insert(_fills), _fields(fill))
                append("fill", _plain(_fields(fill)), fill.at, calendar.week_of(fill.at))
        return len(wanted)

    def fills_of(self, account: str, since: datetime) -> list[FillRow]:
        """The fills of an account at and after `since`, oldest first."""
        query = (
            sa.select(_fills)
            .where(_fills.c.account == account, _fills.c.at >= since)
            .order_by(_fills.c.at, _fills.c.id)
        )
        with self._read() as connection:
            return [FillRow(**row) for row in connection.execute(query).mappings()]

    def mark_equity(self, account: str, equity: Decimal, at: datetime) -> None:
        with self._write() as connection:
            connection.execute(sa.insert(_equity_marks).values(account=account, at=at, equity=equity))

    def resumed_at(self) -> datetime | None:
        """When a person last lifted a halt."""
        record = self._newest_record(_audit.c.kind == _RESUME)
        return None if record is None else record.at

    def equity_marks(self, account: str, since: datetime | None = None) -> list[tuple[datetime, Decimal]]:
        """When which equity was marked (since an instant), USD, oldest first."""
        query = sa.select(_equity_marks.c.at, _equity_marks.c.equity).where(_equity_marks.c.account == account)
        if since is not None:
            query = query.where(_equity_marks.c.at >= since)
        with self._read() as connection:
            return [(row.at, row.equity) for row in connection.execute(query.order_by(_equity_marks.c.id))]

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Held by one process (and thread) at a time, and gone with the process however it ends.

        Raises WarehouseBusy at once when another holds `name`. On PostgreSQL the server must see the session itself:
        a pooler between in transaction mode would lose the lock.
        """
        release = self._acquire(name)
        try:
            yield
        finally:
            release()

    def _acquire(self, name: str) -> Callable[[], None]:
        busy = WarehouseBusy(
            f"{name} is already under way in another process on {self.address}: wait until it has ended"
        )
        if self._engine.dialect.name == "postgresql":
            return self._acquire_session(name, busy)
        file = self._file()
        if file is None:
            lock = _in_memory_locks.setdefault(name, threading.Lock())
            if not lock.acquire(blocking=False):
                raise busy
            return lock.release
        with self._explained():
            # The file stays when the lock goes: deleting it would let two in, on two files of one name.
            lock_file = Path(f"{file}.{quote(name, safe='')}.lock")
            private.tighten(lock_file)
            handle = private.opener(lock_file, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise busy from None
        return partial(os.close, handle)

    def _acquire_session(self, name: str, busy: WarehouseBusy) -> Callable[[], None]:
        with self._explained():
            connection = self._reach().execution_options(isolation_level="AUTOCOMMIT")
            if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_lock_key(name)))):
                connection.close()
                raise busy
            connection.execute(sa.select(*(sa.func.set_config(name, value, False) for name, value in _KEEPALIVES)))
        lock = _SessionLock(name, connection)
        self._locks.append(lock)

        def release() -> None:
            self._locks.remove(lock)
            lock.release()

        return release

    def _file(self) -> str | None:
        """Absolute path of the SQLite file; None for a database in memory and for a server."""
        if self._engine.dialect.name != "sqlite":
            return None
        with self._read() as connection:
            files = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
        return files["main"] or None

    @contextmanager
    def _unaudited(self) -> Iterator[tuple[sa.Connection, None]]:
        with self._write() as connection:
            yield connection, None

    @contextmanager
    def _audited(self) -> Iterator[tuple[sa.Connection, _Append]]:
        """A write transaction that owns the end of the audit: its connection, and how to append a record.

        The head is locked before anything else is written, so that writers queue up: no fork, and no deadlock.
        """
        with self._write() as connection:
            head = self._same_audit(connection, _head(connection, lock=True))
            links: list[Link] = []

            def append(kind: str, payload: Mapping[str, Any], at: datetime, week: date | None) -> None:
                last = Head(links[-1].seq, links[-1].hash) if links else head
                links.append(next_link(last, kind, payload, at, week))

            yield connection, append
            if not links:
                return
            try:
                connection.execute(sa.insert(_audit), [link._asdict() for link in links])
            except exc.IntegrityError:
                raise WarehouseError(
                    f"the audit's head counts {head.count} records, but record {head.count + 1} is there: it was "
                    "changed by hand, and nothing more is recorded or traded; run `tokenomics audit verify`"
                ) from None
            connection.execute(sa.update(_audit_head).values(count=links[-1].seq, hash=links[-1].hash))
        self._seen = Head(links[-1].seq, links[-1].hash)
        for link in links:
            _tell(link)
        if any(link.kind in ANCHORED for link in links):
            # Outside of the database: who cuts the chain behind this line is found by `audit verify --head`.
            _trades.info(
                "the audit has %d records, the last one's hash is %s",
                *(self._seen.count, self._seen.hash),
                extra={"audit": self._seen.count, "hash": self._seen.hash},
            )

    def _same_audit(self, connection: sa.Connection, head: Head) -> Head:
        """The end of the audit, which must have grown from where this process saw it last: else it is another's."""
        seen = self._seen
        if seen is not None and seen.count > 0 and head != seen:
            found = connection.scalar(sa.select(_audit.c.hash).where(_audit.c.seq == seen.count))
            if found != seen.hash:
                raise WarehouseError(
                    f"warehouse {self._shown} was replaced or restored while it was "
                    f"in use: record {seen.count} of its audit is no longer the one that was there; nothing more is "
                    "recorded or traded here; make sure that it is the right one, then run it again"
                )
        return head


# Else the server keeps the session of a machine that was switched off, and its lock, for its own system's two hours.
_KEEPALIVES = (("tcp_keepalives_idle", "20"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3"))


class _SessionLock:
    """An advisory lock of PostgreSQL: it goes with its session, however that ends."""

    def __init__(self, name: str, connection: sa.Connection) -> None:
        self._name = name
        self._connection = connection
        # As pg_locks shows a lock on one 64-bit key: its two halves, unsigned, and objsubid 1.
        high, low = divmod(_lock_key(name) % 2**64, 2**32)
        self._held = sa.text(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
            "AND classid = :high AND objid = :low AND objsubid = 1)"
        ).bindparams(high=high, low=low)

    def _is_held(self) -> bool:
        try:
            # Else a connection that was lost is silently made anew, by a session without the lock.
            return not self._connection.invalidated and bool(self._connection.scalar(self._held))
        except exc.DBAPIError:
            return False

    def require(self) -> None:
        """Raises WarehouseError when another process may have entered."""
        if not self._is_held():
            raise WarehouseError(
                f"the lock {self._name} was lost with its connection to the database: another process may have "
                "entered, so nothing more is done here; when the database is back, run it again: it goes on where it "
                "was"
            )

    def release(self) -> None:
        if self._is_held():
            self._connection.execute(sa.select(sa.func.pg_advisory_unlock(_lock_key(self._name))))
        else:
            log.error("the lock %s was lost before its end, another process may have entered", self._name)
        self._connection.close()


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"tokenomics/{name}".encode()).digest()[:8], signed=True)


def _lock_schema(connection: sa.Connection) -> None:
    """Until the end of the transaction, which on SQLite owns the file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_lock_key(_SCHEMA))))


def migrate(url: str) -> Iterator[str]:
    """Brings the database at `url` to the schema of this code; tells what was done. Safe to repeat, and at once."""
    with closing(Warehouse(url, upgrade=True)) as store:
        for what in store.upgraded:
            yield f"added: {what}"
        yield f"{store.address} has schema version {migrations.LATEST}"


def _explanation(error: exc.DBAPIError, *, embedded: bool) -> str | None:
    """What is wrong with the database and what to do, after its name; None where the fault is the code's."""
    reason = " ".join(str(error.orig).split())
    # SQLite's word for a file that is none of its own, or no longer; psycopg2's for a connection that was lost.
    unspecific = type(error) is exc.DatabaseError
    if unspecific and embedded:
        return f" is damaged ({reason}): stop what uses it and restore a backup"
    unusable = unspecific or isinstance(error, exc.OperationalError | exc.InternalError | exc.InterfaceError)
    if not (unusable or error.connection_invalidated or _lacks_tables(error)):
        return None
    remedy = "check that TOKENOMICS_DATABASE_URL is right, the server runs, there is room, and it can be written"
    if embedded and "is locked" in reason:
        remedy = f"another process has held it for {_PATIENCE_S} s: see which one, and run it again when that has ended"
    return f": {reason}; {remedy}"


def _lacks_tables(error: exc.DBAPIError) -> bool:
    """PostgreSQL's undefined table, column or schema: the database was replaced by an empty one."""
    return getattr(error.orig, "pgcode", None) in ("42P01", "42703", "3F000")


def _newest(table: sa.Table, as_of: datetime | None) -> sa.Select[Any]:
    query = sa.select(table.c.symbol, sa.func.max(table.c.known_at).label("known_at")).group_by(table.c.symbol)
    return query if as_of is None else query.where(table.c.known_at <= as_of)


_Append = Callable[[str, Mapping[str, Any], datetime, date | None], None]


def _tell(link: Link) -> None:
    """Logs a record: what becomes of orders as trades, all else as decisions; what only repeats another as DEBUG."""
    row = json.loads(link.payload)
    fields: dict[str, Any] = {"audit": link.seq, "week": link.week}
    if link.kind in ("order", "fill"):
        fields |= {"order_id": row["client_order_id"], "symbol": row["symbol"], "side": row["side"]}
        if link.kind == "fill":
            bought = (row["side"], row["symbol"], row["qty"], row["price"])
            _trades.debug("fill: %s %s, %s at %s USD", *bought, extra=fields)
            return
        asked = f"{row['notional']} USD" if row["qty"] is None else f"{row['qty']} shares"
        filled = f", {row['filled_qty']} filled at {row['filled_avg_price']} USD" if row["filled_avg_price"] else ""
        _trades.log(
            # The call follows at once, and its answer is told.
            logging.DEBUG if row["status"] == "intended" else logging.INFO,
            "%s %s, %s: %s%s%s",
            *(row["side"], row["symbol"], asked, row["status"], filled, f" ({row['note']})" if row["note"] else ""),
            extra={**fields, "plan_id": row["plan_id"], "status": row["status"]},
        )
        return
    told = {key: row[key] for key in ("plan_id", "plan_hash", "by", "reason", "symbol") if row.get(key) is not None}
    if link.kind == "plan" and link.week is not None:
        told["plan_id"] = plan_id_of(link.week, row["plan_hash"])
    # A plan's account is nobody's business who follows the decisions, and its documents are too long for a line.
    words = "; ".join(f"{k} {v}" for k, v in row.items() if k != "account" and not isinstance(v, dict | list))
    _decisions.log(
        # The phases of a rebalance are told by the room itself, and tables by their materialization.
        logging.DEBUG if link.kind in ("phase", covered.KIND) else logging.INFO,
        "%s: %s%s",
        *(link.kind, words, f"; does not agree: {'; '.join(row['flaws'])}" if row.get("flaws") else ""),
        extra={**fields, "kind": link.kind, **told},
    )


def _head(connection: sa.Connection, *, lock: bool = False) -> Head:
    query = sa.select(_audit_head.c.count, _audit_head.c.hash)
    found = connection.execute(query.with_for_update() if lock else query).first()
    if found is None and lock:
        first = {"id": 1, "count": 0, "hash": GENESIS}
        connection.execute(
            sa.text("INSERT INTO audit_head (id, count, hash) VALUES (:id, :count, :hash) ON CONFLICT DO NOTHING"),
            first,
        )
        found = connection.execute(query.with_for_update()).one()
    return Head(0, GENESIS) if found is None else Head(*found)


def _read_link(link: Link) -> AuditRecord:
    try:
        return link.read()
    except (ValueError, TypeError):
        raise WarehouseError(
            f"audit record {link.seq} cannot be read: it was changed by hand; run `tokenomics audit verify`"
        ) from None


def _ledger_flaw(connection: sa.Connection, kind: str, table: sa.Table, key: str) -> AuditFlaw | None:
    """The first record of `kind` that its ledger row does not agree with, else a row without any record."""
    text = _audit.c.payload
    document = sa.type_coerce(text, sa.JSON) if connection.dialect.name == "sqlite" else sa.cast(text, sa.JSON)
    named = document[key].as_string()
    latest = (
        sa.select(named.label("key"), sa.func.max(_audit.c.seq).label("seq"))
        .where(_audit.c.kind == kind)
        .group_by(named)
        .subquery()
    )
    # Untyped: a damaged value must be named, not fail while a thousand rows are fetched.
    columns = [sa.type_coerce(column, sa.types.NullType()).label(f"row_{column.name}") for column in table.c]
    told = (
        sa.select(_audit.c.seq, latest.c.key, _audit.c.payload, *columns)
        .select_from(latest.join(_audit, _audit.c.seq == latest.c.seq).outerjoin(table, table.c[key] == latest.c.key))
        .order_by(_audit.c.seq)
    )
    with connection.execute(told.execution_options(yield_per=_VERIFY_ROWS)) as rows:
        for seq, name, payload, *stored in rows:
            if stored[table.c.keys().index(key)] is None:
                return AuditFlaw(seq, f"tells of {kind} {name}, which {table.name} has no more: its row was deleted")
            row = _plain(dict(zip(table.c.keys(), _typed(connection, table, stored), strict=True)))
            audited = json.loads(payload)
            changed = [field for field in row if row[field] != audited.get(field)]
            if changed:
                return AuditFlaw(
                    seq, f"is the last of {kind} {name}, whose row in {table.name} was changed: {', '.join(changed)}"
                )
    untold = sa.select(table.c[key]).outerjoin(latest, latest.c.key == table.c[key]).where(latest.c.key.is_(None))
    found = connection.execute(untold.order_by(table.c[key]).limit(1)).scalar()
    return None if found is None else AuditFlaw(None, f"{kind} {found} is in {table.name}, but no record tells of it")


def _typed(connection: sa.Connection, table: sa.Table, stored: Sequence[Any]) -> Iterator[Any]:
    for column, value in zip(table.c, stored, strict=True):
        process = column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        try:
            yield value if process is None else process(value)
        except (ValueError, TypeError, ArithmeticError):
            yield value


def _fields(row: LedgerOrder | FillRow | Alert) -> dict[str, Any]:
    return {field: getattr(row, field) for field in row.__dataclass_fields__}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the audit tells it: amounts as they are stored, instants in UTC; the same before and after storing."""
    plain: dict[str, Any] = {}
    for field, value in row.items():
        if isinstance(value, Decimal):
            plain[field] = format(value, "f")
        elif isinstance(value, datetime):
            plain[field] = value.astimezone(UTC).isoformat()
        else:
            plain[field] = value.isoformat() if isinstance(value, date) else value
    return plain


def _sql_type(dtype: str) -> type[sa.types.TypeEngine[Any]]:
    return UtcDateTime if dtype.startswith("datetime64") else _SQL_TYPES[dtype]


def _records(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as plain Python values; missing values are None."""
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        yield {str(k): v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in row.items()}


def _frame(rows: Sequence[sa.RowMapping], schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    from pandera.errors import SchemaErrors

    columns = list(schema.to_schema().columns)
    try:
        return schema.validate(pd.DataFrame([[row[c] for c in columns] for row in rows], columns=columns), lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise WarehouseError(
            f"{len(error.failure_cases)} stored values break {schema.__name__}, first {first['column']} "
            f"({first['check']}): they were damaged or changed by hand; restore a backup, or make the table anew"
        ) from None
