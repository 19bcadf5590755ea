"""The database of the warehouse: its address, how it is opened, transactions, locks, and the driver's errors as ours.

SQLAlchemy on SQLite (embedded) or PostgreSQL. Every write is one transaction. What is read and written is the families'
(snapshots, facts, ledger, journal, verification), which are classes on top of this one.

A server that went away is waited for before a transaction, never within one: whether a commit whose answer was lost
took place is for the next run to find out, which repeats nothing that is there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import exc
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from tokenomics_dagster.settings.addresses import NO_DATABASE
from tokenomics_dagster.storage import locks, migrations, tables
from tokenomics_dagster.storage.embedded import DatabaseFile
from tokenomics_dagster.storage.postgres import OPTIONS
from tokenomics_dagster.storage.records import SchemaVersionError, WarehouseBusy, WarehouseError

if TYPE_CHECKING:
    import pandera.pandas as pa

log = logging.getLogger("tokenomics.storage")

_NAMING = ("host", "port", "mode", "uri")  # of an address's query: what names the database and may be shown
_ROOM = 4 << 20  # bytes; a week of 1,500 names takes less
_PATIENCE_S = 30  # for a lock, and for a server that went away; a restart of PostgreSQL takes seconds


class Database:
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
        self._locks: list[locks.SessionLock] = []
        self._patience_s = 0
        self._disk = DatabaseFile.of(self._url)
        with self._explained():
            if self._disk is not None:
                if existing and (missing := self._disk.missing()) is not None:
                    raise self._absent(missing)
                self._disk.make()
            self._engine = _connect(self._url)
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
                raise SchemaVersionError(
                    f"warehouse {self.address} has schema version {found}, this code knows {migrations.LATEST}: it was "
                    "migrated by newer code; run that, or restore the backup from before",
                    found,
                )
            if found is not None and not upgrade and self._engine.dialect.name != "sqlite":
                raise SchemaVersionError(
                    f"warehouse {self.address} has schema version {found}, this code needs {migrations.LATEST}: make a "
                    "backup, then run `tokenomics migrate`",
                    found,
                )
            with self._engine.begin() as connection:
                locks.lock_schema(connection)
                return migrations.upgrade(connection, tables.METADATA.create_all)
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
        if self._disk is not None and (discrepancy := self._disk.discrepancy()) is not None:
            raise WarehouseError(
                f"{discrepancy}: nothing more is recorded or traded here; put the right file back, then run it "
                "again: it goes on where that file was"
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
            table = tables.of_schema(name, schema, keys)
            with self._read() as connection:
                known = sa.inspect(connection).has_table(name)
            if not known:
                with self._write() as connection:
                    locks.lock_schema(connection)
                    table.create(connection, checkfirst=True)
            self._tables[name] = table
        return self._tables[name]

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
            release = self._acquire_session(name)
        elif (file := self._file()) is None:
            release = locks.acquire_here(name)
        else:
            with self._explained():
                release = locks.acquire_file(Path(f"{file}.{quote(name, safe='')}.lock"))
        if release is None:
            raise busy
        return release

    def _acquire_session(self, name: str) -> Callable[[], None] | None:
        with self._explained():
            lock = locks.acquire_session(name, self._reach())
        if lock is None:
            return None
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


def _connect(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        options = {name: value for name, value in OPTIONS.items() if name not in url.query}
        server = sa.create_engine(url, pool_pre_ping=True, connect_args=options)

        @sa.event.listens_for(server, "connect")
        def _limit_waits(connection: Any, _record: Any) -> None:
            # As on SQLite: behind a writer that hangs, a person who halts must get an answer.
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{_PATIENCE_S}s'")
            connection.autocommit = False

        return server
    # One in memory is its connection's: each thread would have another one.
    of_memory: dict[str, Any] = {"poolclass": sa.StaticPool} if url.database in (None, "", ":memory:") else {}
    engine = sa.create_engine(url, connect_args={"timeout": _PATIENCE_S, "check_same_thread": False}, **of_memory)

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


def _explanation(error: exc.DBAPIError, *, embedded: bool) -> str | None:
    """What is wrong with the database and what to do, after its name; None where the fault is the code's."""
    reason = " ".join(str(error.orig).split())
    # SQLite's word for a file that is none of its own, or no longer; psycopg2's for a connection that was lost.
    unspecific = type(error) is exc.DatabaseError
    if unspecific and embedded:
        return f" is damaged ({reason}): stop what uses it and restore a backup"
    # Before any statement it is a word of the address that the driver does not know.
    misspelt = isinstance(error, exc.ProgrammingError) and error.statement is None
    unusable = unspecific or isinstance(error, exc.OperationalError | exc.InternalError | exc.InterfaceError)
    if not (unusable or misspelt or error.connection_invalidated or _lacks_tables(error)):
        return None
    remedy = "check that TOKENOMICS_DATABASE_URL is right, the server runs, there is room, and it can be written"
    if embedded and "is locked" in reason:
        remedy = f"another process has held it for {_PATIENCE_S} s: see which one, and run it again when that has ended"
    return f": {reason}; {remedy}"


def _lacks_tables(error: exc.DBAPIError) -> bool:
    """PostgreSQL's undefined table, column or schema: the database was replaced by an empty one."""
    return getattr(error.orig, "pgcode", None) in ("42P01", "42703", "3F000")
