"""Writing many together, where each write costs far more than what is written: a transaction, a wait for the disk."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
MOST = 200  # in one write; SQLite binds 32,766 values in a statement, and a row of ours has under 20


@contextmanager
def together(write: Callable[[Sequence[T]], None], every_s: float) -> Iterator[Callable[[T], None]]:
    """Gives a function that takes what is to be written, one by one; `write` is called with all that has come.

    At once where the last write is `every_s` seconds past, so that what comes slowly waits for nothing; else with the
    first that comes after these, and at the end of the block however that ends. Where the process is killed before,
    what waits is lost: it must be found again, or asked for again.
    """
    waiting: list[T] = []
    written_at = float("-inf")

    def flush() -> None:
        nonlocal written_at
        if waiting:
            now, waiting[:] = list(waiting), []
            write(now)
            written_at = time.monotonic()

    def take(one: T) -> None:
        waiting.append(one)
        if len(waiting) >= MOST or time.monotonic() - written_at >= every_s:
            flush()

    try:
        yield take
    finally:
        flush()
