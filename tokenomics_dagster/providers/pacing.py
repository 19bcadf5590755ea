"""Calls at an even rate, and as many at once as that rate needs. Nothing here knows HTTP or a provider.

Own code because pyrate-limiter (4.4 was measured, buffer_ms=0) cannot hold everybody back for a Retry-After, cannot
let go of a caller whose work was cancelled, and counts in whole milliseconds: at 30/s its slots are either 1 % too
short or 3.6 % too long, and with its default buffer of 50 ms 15/s becomes 8.5/s.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Stopped(Exception):
    """The work that this call belongs to was cancelled; the call was not made."""


BACKLOG_S = 0.2  # lateness of our own that is made up for; what is later than this is lost, as it would be a burst


class Pacer:
    """Evenly spaced slots for calls, shared by all threads.

    Slots are 2 ms (at most 3 %) longer than the limit asks, so that n calls take 1.03 n/rate with one always waiting.
    A slot that a waiting caller took late (a busy machine wakes threads late) does not move the later ones, yet no
    minute, nor at two calls a second and more any second, holds more calls than the rate allows. A caller that comes
    late moves them.
    """

    def __init__(
        self,
        calls_per_minute: float,
        max_calls_per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        by_second = 1.0 / max_calls_per_second if max_calls_per_second else 0.0
        bare = max(60.0 / calls_per_minute, by_second)
        margin_s = min(0.002, 0.03 * bare)
        self.interval_s = bare + margin_s
        period_s = 1.0 if bare == by_second or bare <= 0.5 else 60.0
        calls_in_period = max(1, int(period_s / bare + 1e-9))
        # of the margin, half may be used up for catching up; the other half is for what the network does to the times
        self._window_s = calls_in_period * (bare + margin_s / 2)
        self._recent: deque[float] = deque(maxlen=calls_in_period)
        self._clock = clock
        self._sleep = sleep
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._next = float("-inf")
        self._calls = 0
        self._waited_s = 0.0

    @property
    def calls(self) -> int:
        """Slots given out so far."""
        return self._calls

    @property
    def waited_s(self) -> float:
        """Seconds during which at least one caller was held back."""
        return self._waited_s

    def acquire(self) -> None:
        """Block until the caller's slot. Raises Stopped if the caller's work is cancelled before."""
        flight = _flight.get()
        came = self._clock()
        with self._turn:  # only the first in the queue watches the time
            while True:
                if flight is not None and flight.stop.is_set():
                    raise Stopped
                with self._state:
                    now = self._clock()
                    due = self._next
                    if len(self._recent) == self._recent.maxlen:
                        due = max(due, self._recent[0] + self._window_s)
                    wait_s = due - now
                    if wait_s <= 0:
                        slot = max(self._next, now - BACKLOG_S) if came <= due else now
                        self._next = slot + self.interval_s
                        self._recent.append(now)
                        self._calls += 1
                        break
                (self._sleep if flight is None else flight.stop.wait)(wait_s)
                self._waited_s += self._clock() - now
        if flight is not None:
            flight.departed()

    def pause(self, seconds: float) -> None:
        """No slot before `seconds` from now, for anybody."""
        with self._state:
            self._next = max(self._next, self._clock() + seconds)


class _Flight:
    """One piece of work of a crew, as its pacer sees it."""

    def __init__(self, stop: threading.Event, on_departure: Callable[[], None]) -> None:
        self.stop = stop
        self.waiting = True
        self._on_departure = on_departure

    def departed(self) -> None:
        if self.waiting:
            self.waiting = False
            self._on_departure()


_flight: ContextVar[_Flight | None] = ContextVar("flight", default=None)


def sleep_unless_stopped(seconds: float) -> None:
    """Sleep, but wake at once when the work that this thread does is cancelled."""
    flight = _flight.get()
    if flight is None:
        time.sleep(seconds)
    else:
        flight.stop.wait(seconds)


# A reader that fails keeps its iterator alive for as long as its traceback; without this, the calls would go on.
MAX_UNREAD = 50


class _Crew(Generic[S, T]):
    """Keeps exactly one piece of work waiting for its slot, however many are in flight."""

    def __init__(self, items: Sequence[S], work: Callable[[S], T], max_in_flight: int) -> None:
        self._done: SimpleQueue[tuple[S, Future[T]]] = SimpleQueue()
        self._items = iter(items)
        self._work = work
        self._max_in_flight = max_in_flight
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="sweep")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0
        self._in_flight = 0
        self._unread = 0

    def start_next(self) -> None:
        with self._lock:
            full = self._in_flight >= self._max_in_flight or self._unread >= MAX_UNREAD
            if self._stop.is_set() or self._waiting or full:
                return
            try:
                item = next(self._items)
            except StopIteration:
                return
            self._waiting += 1
            self._in_flight += 1
            try:
                future = self._pool.submit(self._run, item)
            except RuntimeError as error:  # no thread to be had: the reader must hear of it, or waits for ever
                future = Future()
                future.set_exception(error)
        future.add_done_callback(partial(self._report, item))

    def _report(self, item: S, future: Future[T]) -> None:
        self._done.put((item, future))

    def _run(self, item: S) -> T:
        flight = _Flight(self._stop, self._departed)
        _flight.set(flight)
        try:
            return self._work(item)
        finally:
            with self._lock:
                self._in_flight -= 1
                self._waiting -= flight.waiting
                self._unread += 1
            self.start_next()

    def _departed(self) -> None:
        with self._lock:
            self._waiting -= 1
        self.start_next()

    def next_done(self) -> tuple[S, Future[T]]:
        result = self._done.get()
        with self._lock:
            self._unread -= 1
        self.start_next()
        return result

    def stop(self) -> None:
        with self._lock:
            self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


def in_flight(
    items: Sequence[S], work: Callable[[S], T], max_in_flight: int
) -> Generator[tuple[S, Future[T]], None, None]:
    """`work` for each item, its paced calls overlapping, in order of completion.

    A thread is added only when the last one has got its slot, so calls in flight are rate x latency, up to the
    maximum. Closing the iterator stops further calls at once and does not wait for those under way; a reader that
    stops reading stops them after some 50.
    """
    crew = _Crew(items, work, max_in_flight)
    try:
        crew.start_next()
        for _ in range(len(items)):
            yield crew.next_done()
    finally:
        crew.stop()
