"""Eight processes write to one warehouse and are killed at random: nothing is lost, by half, or there twice."""

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.crash import processes
from tokenomics_dagster_tests.storage.writers import KINDS, Log, flaws, write_on

WRITERS = [f"w{number}" for number in range(8)]
TURN = len(KINDS)
DEADLINE_S = 120


def wait_until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.005)


def has_written(log: Log, lines: int) -> bool:
    return len(log.read()) >= lines


def kill_at_random(url: str, folder: Path, kills: int) -> dict[str, Log]:
    """Lets all write, kills one after the other after some writes more, and starts it again; in the end all of them."""
    Warehouse(url).close()
    logs = {name: Log(folder / name) for name in WRITERS}

    def start(name: str) -> ForkServerProcess:
        process = processes.Process(target=write_on, args=(url, name, folder), daemon=True)
        process.start()
        return process

    running = {name: start(name) for name in WRITERS}
    draw = random.Random(0)
    try:
        for _ in range(kills):
            name = draw.choice(WRITERS)
            enough = len(logs[name].read()) + 1 + draw.randrange(2 * TURN)
            wait_until(partial(has_written, logs[name], enough), f"{name} to write")
            running[name].kill()
            running[name].join()
            running[name] = start(name)
        for name, log in logs.items():
            wait_until(partial(has_written, log, 2 * TURN), f"{name} to write")
        assert all(process.is_alive() for process in running.values())
    finally:
        for process in running.values():
            process.kill()
            process.join()
    return logs


def test_eight_writers_that_are_killed_lose_nothing_and_store_nothing_twice_or_by_half(url, tmp_path):
    logs = kill_at_random(url, tmp_path, kills=12)
    assert list(flaws(url, logs, kills=12 + len(WRITERS))) == []


@pytest.mark.soak
def test_eight_writers_that_are_killed_for_long_lose_nothing(url, tmp_path, capsys, record_property):
    record_property("kills", 400)
    began = time.monotonic()
    logs = kill_at_random(url, tmp_path, kills=400)
    written = sum(len(log.read()) for log in logs.values())
    with capsys.disabled():
        sys.stdout.write(f"\n{written} transactions of 8 writers, 400 kills, {time.monotonic() - began:.0f} s\n")
    assert list(flaws(url, logs, kills=400 + len(WRITERS))) == []
