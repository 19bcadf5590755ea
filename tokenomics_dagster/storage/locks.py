"""What one process alone may do at a time: locks that are gone with their process, however it ends."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from tokenomics_dagster.storage import private
from tokenomics_dagster.storage.records import WarehouseError

log = logging.getLogger("tokenomics.storage")

_SCHEMA = "schema"  # the lock under which tables are made and changed
# Else the server keeps the session of a machine that was switched off, and its lock, for its own system's two hours.
_KEEPALIVES = (("tcp_keepalives_idle", "20"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3"))
# In-memory databases belong to one process: who is in is known here.
_in_memory_locks: dict[str, threading.Lock] = {}


def acquire_here(name: str) -> Callable[[], None] | None:
    """For a database in memory; returns how to release it, None where another thread holds it."""
    lock = _in_memory_locks.setdefault(name, threading.Lock())
    return lock.release if lock.acquire(blocking=False) else None


def acquire_file(path: Path) -> Callable[[], None] | None:
    """For an embedded database; returns how to release it, None where another holds it. Raises OSError.

    The file stays when the lock goes: deleting it would let two in, on two files of one name.
    """
    private.tighten(path)
    handle = private.opener(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return partial(os.close, handle)


class SessionLock:
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


def acquire_session(name: str, connection: sa.Connection) -> SessionLock | None:
    """For a server, on a connection that is the lock's from now on; None where another session holds it."""
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_lock_key(name)))):
        connection.close()
        return None
    connection.execute(sa.select(*(sa.func.set_config(name, value, False) for name, value in _KEEPALIVES)))
    return SessionLock(name, connection)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"tokenomics/{name}".encode()).digest()[:8], signed=True)


def lock_schema(connection: sa.Connection) -> None:
    """Until the end of the transaction, which on SQLite owns the file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_lock_key(_SCHEMA))))
