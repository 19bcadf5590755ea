"""Ctrl-C and the processes that a command starts: who hears of it. How a run ends by it is alive.py's."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def for_parent_alone() -> Iterator[None]:
    """Processes that are started in the block never get SIGINT: a terminal sends it to all of them, and each would
    write a trace between the words of the one that a person waits for, which ends them. To this thread it comes once
    the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
