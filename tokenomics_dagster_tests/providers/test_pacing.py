import threading
import time
from collections import deque
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.providers.pacing import Pacer, in_flight


class Time:
    """A clock that only `sleep` moves on, each time a little late, as a real one is."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now = 1000.0
        self.late_s = late_s

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late_s


def paced(time_: Time, calls_per_minute: float, max_calls_per_second: float | None = None) -> Pacer:
    return Pacer(calls_per_minute, max_calls_per_second, clock=time_.clock, sleep=time_.sleep)


def slots(pacer: Pacer, time_: Time, n: int) -> list[float]:
    found = []
    for _ in range(n):
        pacer.acquire()
        found.append(time_.now)
    return found


@given(rate=st.floats(1, 1800), n=st.integers(2, 200), late=st.floats(0, 0.9))
def test_n_calls_take_at_most_1_05_n_over_rate_though_threads_wake_late(rate: float, n: int, late: float) -> None:
    late_s = min(late * 60 / rate, 0.02)
    time_ = Time(late_s)
    taken = slots(paced(time_, rate), time_, n)
    assert taken[-1] - taken[0] <= 1.05 * n * 60 / rate


@given(rate=st.floats(1, 1800), n=st.integers(2, 200))
def test_calls_are_evenly_spaced(rate: float, n: int) -> None:
    time_ = Time()
    gaps = [later - earlier for earlier, later in pairwise(slots(paced(time_, rate), time_, n))]
    assert min(gaps) >= 60 / rate
    assert max(gaps) <= 1.03 * 60 / rate + 1e-9


@given(
    rate=st.floats(10, 1800),
    idle=st.lists(st.one_of(st.just(0.0), st.floats(0, 5)), min_size=20, max_size=60),
    late=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_no_second_and_no_minute_hold_more_calls_than_the_rate_whoever_is_late(
    rate: float, idle: list[float], late: list[float]
) -> None:
    time_ = Time()
    pacer = paced(time_, rate)
    taken = []
    for number, seconds in enumerate(idle * 10):
        time_.now += seconds
        time_.late_s = late[number % len(late)]
        pacer.acquire()
        taken.append(time_.now)
    for n, seconds in ((int(rate / 60), 1.0), (int(rate), 60.0)):
        if n < 2:
            continue
        spans = [later - earlier for earlier, later in zip(taken, taken[n:], strict=False)]
        assert min(spans, default=seconds) >= min(seconds, n * 60 / rate) - 1e-6


@given(rate=st.floats(10, 1800), idle_s=st.floats(0.5, 100))
def test_idle_time_is_not_made_up_for(rate: float, idle_s: float) -> None:
    time_ = Time()
    pacer = paced(time_, rate)
    slots(pacer, time_, 3)
    time_.now += idle_s
    gaps = [later - earlier for earlier, later in pairwise(slots(pacer, time_, 5))]
    assert min(gaps) >= 60 / rate


@given(rate=st.floats(600, 1800), stall_s=st.floats(1, 100))
def test_a_process_that_stood_still_does_not_catch_up_in_a_burst(rate: float, stall_s: float) -> None:
    time_ = Time()
    pacer = paced(time_, rate)
    slots(pacer, time_, 3)
    time_.late_s = stall_s
    pacer.acquire()
    time_.late_s = 0
    back = time_.now
    taken = slots(pacer, time_, 60)
    assert sum(at - back < 0.01 for at in taken) <= 0.2 * rate / 60 + 1
    assert taken[-1] - back >= 60 * 60 / rate - 0.2


def test_the_slower_of_the_two_limits_counts() -> None:
    time_ = Time()
    assert paced(time_, 6000, 10).interval_s == pytest.approx(0.102)
    assert paced(time_, 300, 30).interval_s == pytest.approx(0.202)


def test_a_pause_moves_all_later_slots_and_is_not_followed_by_a_burst() -> None:
    time_ = Time()
    pacer = paced(time_, 60)
    start = slots(pacer, time_, 3)[-1]
    pacer.pause(30)
    pacer.pause(10)  # a shorter one does not cut a longer one
    after = slots(pacer, time_, 3)
    assert after[0] - start == pytest.approx(30)
    assert after[1] - after[0] == pytest.approx(pacer.interval_s)
    assert after[2] - after[1] == pytest.approx(pacer.interval_s)


def test_calls_and_waited_seconds_are_counted() -> None:
    time_ = Time()
    pacer = paced(time_, 60)
    taken = slots(pacer, time_, 5)
    assert pacer.calls == 5
    assert pacer.waited_s == pytest.approx(taken[-1] - taken[0])


def test_a_pause_reaches_the_caller_that_is_already_waiting() -> None:
    pacer = Pacer(600)
    pacer.acquire()
    done = threading.Event()

    def wait() -> None:
        pacer.acquire()
        done.set()

    waiting = threading.Thread(target=wait)
    start = time.monotonic()
    waiting.start()
    pacer.pause(0.4)
    assert done.wait(5)
    assert time.monotonic() - start >= 0.4
    waiting.join()


@pytest.mark.parametrize("threads", [1, 8])
def test_15_calls_a_second_are_never_exceeded(threads: int) -> None:
    pacer = Pacer(900)
    taken: deque[float] = deque()
    n, left = 45, iter(range(45))

    def work() -> None:
        for _ in left:
            pacer.acquire()
            taken.append(time.monotonic())

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert len(taken) == n
    ordered = sorted(taken)
    assert all(ordered[k + 15] - ordered[k] > 1.0 for k in range(n - 15))


def test_calls_in_flight_are_only_as_many_as_the_rate_needs() -> None:
    pacer = Pacer(6000)
    lock = threading.Lock()
    now_flying, most = 0, 0

    def call(number: int) -> int:
        nonlocal now_flying, most
        pacer.acquire()
        with lock:
            now_flying += 1
            most = max(most, now_flying)
        time.sleep(0.1)
        with lock:
            now_flying -= 1
        return number

    answers = sorted(future.result() for _, future in in_flight(range(100), call, 300))
    assert answers == list(range(100))
    assert 1 < most <= 15, "100 calls a second x 0.1 s"


def test_calls_in_flight_never_exceed_the_maximum() -> None:
    pacer = Pacer(60_000)
    lock = threading.Lock()
    now_flying, most = 0, 0

    def call(_number: int) -> None:
        nonlocal now_flying, most
        pacer.acquire()
        with lock:
            now_flying += 1
            most = max(most, now_flying)
        time.sleep(0.01)
        with lock:
            now_flying -= 1

    assert len(list(in_flight(range(60), call, 3))) == 60
    assert most == 3


def test_work_that_makes_no_call_and_work_that_fails_are_both_reported() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        return number

    results = dict(in_flight(range(200), work, 4))
    assert len(results) == 200
    assert isinstance(results[3].exception(), ZeroDivisionError)
    assert results[199].result() == 199


def test_closing_stops_the_calls_at_once_and_waits_for_none() -> None:
    pacer = Pacer(60)
    started: list[int] = []
    release = threading.Event()

    def call(number: int) -> None:
        pacer.acquire()
        started.append(number)
        release.wait(10)

    results = in_flight(range(100), call, 10)
    with closing(results):
        release.set()
        next(results)  # the next call now waits a second for its slot
        release.clear()
        start = time.monotonic()
    assert time.monotonic() - start < 0.5
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("sweep") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a thread still waits for a slot that nobody wants"
        time.sleep(0.01)
    assert started == [0]


def test_calls_stop_when_nobody_reads_their_answers_and_go_on_when_somebody_does() -> None:
    pacer = Pacer(600_000)
    made: list[int] = []

    def call(number: int) -> None:
        pacer.acquire()
        made.append(number)

    results = in_flight(range(500), call, 10)
    with closing(results):
        next(results)
        seen = -1
        while seen != len(made):
            seen = len(made)
            time.sleep(0.05)
        assert seen <= 1 + 50 + 10
        assert len(list(results)) == 499
