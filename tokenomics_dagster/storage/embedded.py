"""The file of an embedded database: how it is made, and whether it is still the one that was opened.

A process that has a file open does not see that its name now leads elsewhere: what it writes then goes to nowhere. What
is wrong is said as a sentence; what to raise, and when to look, is database.py's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy as sa

from tokenomics_dagster.storage import private


class DatabaseFile:
    """The file at `path`; safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._opened: tuple[int, int] | None = None

    @classmethod
    def of(cls, url: sa.URL) -> DatabaseFile | None:
        """None for a server, and for a database in memory."""
        named = url.get_backend_name() == "sqlite" and url.database
        return cls(Path(named)) if named and not named.startswith((":memory:", "file:")) else None

    def missing(self) -> str | None:
        """Why there is no database to look at; nothing is made, for one that was just made knows of nothing."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return f"there is no file {self._path}"
        return f"the file {self._path} is empty" if size == 0 else None

    def make(self) -> None:
        """Makes the file and its folders where they are missing; all is its owner's alone. Raises OSError."""
        private.make_folder(self._path.parent)
        private.make_file(self._path)  # SQLite gives the files beside it the mode of this one
        for suffix in ("-wal", "-shm"):
            private.tighten(self._path.with_name(f"{self._path.name}{suffix}"))

    def room(self) -> int:
        """Bytes that the disk has left for this user."""
        return shutil.disk_usage(self._path.parent).free

    def hold(self) -> None:
        """Remembers which file it is: from now on `flaw` compares."""
        found = self._path.stat()
        self._opened = found.st_dev, found.st_ino

    def discrepancy(self) -> str | None:
        """Why what is written now would be lost; 2 microseconds."""
        if self._opened is None:
            return None
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return f"the file {self._path} was removed while it was in use"
        if (found.st_dev, found.st_ino) != self._opened:
            return f"the file {self._path} was replaced by another while it was in use"
        return f"the file {self._path} was emptied while it was in use" if found.st_size == 0 else None
