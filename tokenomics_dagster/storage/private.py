"""Files and folders that only their owner reads and writes, whatever the umask: they tell what an account holds.

What is made here is made so; what is there with a wider mode is tightened, or told where that is another user's to do.
"""

import logging
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("tokenomics.storage")

_FILE, _FOLDER = 0o600, 0o700
_OTHERS = 0o077


def opener(path: str | os.PathLike[str], flags: int) -> int:
    """For `open(..., opener=opener)`: a file that this makes is private."""
    return os.open(path, flags, _FILE)


def write_text(path: Path, text: str) -> None:
    """Replaces what the file holds, wholly, or not at all where a disk is full or the process ends; it is private
    before it holds anything. What is no file, a device or a pipe, is written to as it stands."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`, of a file or what is to be one."""
    place = path.resolve()  # a link stays one
    # Not by the process: in two containers on one volume both may be number 1, and one would replace the file by what
    # the other has half written.
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        make_file(beside)
        beside.write_bytes(content)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Makes the folder and the missing ones above it; one that is there is its user's, and stays as it is."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(_FOLDER, exist_ok=True)
    folder.mkdir(_FOLDER, exist_ok=True)  # raises where a file has this name


def make_file(path: Path) -> None:
    """Makes the file, empty, or tightens the one that is there; a folder or a device of that name stays as it is."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE))
    except FileExistsError:
        tighten(path)


def tighten(path: Path) -> None:
    """Takes from others what they may do with a file of ours; nothing where there is none."""
    _tighten(path, stat.S_ISREG)


def tighten_folder(folder: Path) -> None:
    """Takes from others what they may do with a folder that is ours alone: not for one that a user has named."""
    _tighten(folder, stat.S_ISDIR)


def _tighten(path: Path, is_ours: Callable[[int], bool]) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if not found.st_mode & _OTHERS or not is_ours(found.st_mode):
        return
    try:
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except PermissionError:
        log.warning("%s can be used by others than its owner, who alone can change that: chmod go= %s", path, path)
