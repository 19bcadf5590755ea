"""Eight processes write to one warehouse and are killed at random: nothing is lost, by half, or there twice."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import sqlalchemy as sa

from tokenomics_dagster.storage.records import WarehouseBusy
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


def test_a_lock_is_gone_with_a_process_that_is_killed_and_kept_by_one_that_is_stopped(url):
    says, tells = os.pipe()
    holder = os.fork()
    if holder == 0:
        with Warehouse(url).exclusive("rebalance"):
            os.write(tells, b"!")
            signal.pause()
    os.read(says, 1)
    with closing(Warehouse(url)) as store:
        os.kill(holder, signal.SIGSTOP)
        os.waitpid(holder, os.WUNTRACED)
        with pytest.raises(WarehouseBusy), store.exclusive("rebalance"):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)

        def free() -> bool:
            try:
                with store.exclusive("rebalance"):
                    return True
            except WarehouseBusy:
                return False

        wait_until(free, "the lock")


def test_the_server_asks_after_a_session_whose_machine_was_switched_off(postgres_url):
    """Seen as set by the session only: over a Unix socket, which is what tests have, the values have no effect."""
    with closing(Warehouse(postgres_url)) as store, store.exclusive("rebalance"):
        held = store._locks[0]._connection
        names = held.execute(sa.text("select name from pg_settings where source = 'session' and name like 'tcp_%'"))
        assert {*names.scalars()} == {"tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"}


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
    logs = kill_at_random(url, tmp_path, kills=4)
    assert list(flaws(url, logs, kills=4 + len(WRITERS))) == []


@pytest.mark.soak
def test_eight_writers_that_are_killed_for_long_lose_nothing(url, tmp_path, capsys, record_property):
    record_property("kills", 400)
    began = time.monotonic()
    logs = kill_at_random(url, tmp_path, kills=400)
    written = sum(len(log.read()) for log in logs.values())
    with capsys.disabled():
        sys.stdout.write(f"\n{written} transactions of 8 writers, 400 kills, {time.monotonic() - began:.0f} s\n")
    assert list(flaws(url, logs, kills=400 + len(WRITERS))) == []
