"""Writing many together, where each write costs far more than what is written: a transaction, a wait for the disk."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

T = TypeVar("T")
MOST = 200  # in one write; SQLite binds 32,766 values in a statement, and a row of ours has under 20


@contextmanager
def together(write: Callable[[Sequence[T]], None], every_s: float) -> Iterator[Callable[[T], None]]:
    """Gives a function that takes what is to be written, one by one; `write` is called with all that has come.

    At once where the last write is `every_s` seconds past, so that what comes slowly waits for nothing; else once these
    have passed, by another thread while nothing more comes, and at the end of the block however that ends. One write at
    a time; the error of that thread is raised by what comes next, or by the end. Where the process is killed before,
    what waits is lost: it must be found again, or asked for again.
    """
    waiting: list[T] = []
    written_at = float("-inf")
    lock, over = Lock(), Event()
    late: Future[None] | None = None

    def flush() -> None:
        nonlocal written_at
        if waiting:
            now, waiting[:] = list(waiting), []
            write(now)
            written_at = time.monotonic()

    def flush_later(seconds: float) -> None:
        if not over.wait(seconds):
            with lock:
                flush()

    def take(one: T) -> None:
        nonlocal late
        with lock:
            if late is not None and late.done():
                late.result()
                late = None
            waiting.append(one)
            left_s = written_at + every_s - time.monotonic()
            if len(waiting) >= MOST or left_s <= 0:
                flush()
            elif late is None:
                late = pool.submit(flush_later, left_s)

    with ThreadPoolExecutor(1, thread_name_prefix="together") as pool:
        try:
            yield take
        finally:
            over.set()
            with lock:
                flush()
    if late is not None:
        late.result()
