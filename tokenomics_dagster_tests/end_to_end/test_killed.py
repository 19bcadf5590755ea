"""Runs whose processes are killed: they are ended, give back their slots, and the next run goes on where they were."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.concurrency import ConcurrencyKeyInfo

from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit import alive
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import BIN, REPO, Ui, until

METRIC = "GET /api/v1/stock/metric"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The platform's instance is the one that the commands find by DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as made:
        yield made


@contextmanager
def executed(platform: Platform, job: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster job execute` in a process of its own, with no daemon beside it."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / "dagster", "job", "execute", "-m", "tokenomics_dagster.definitions", "-j", job],
            cwd=platform.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def runs(platform: Platform, job: str) -> list[dg.DagsterRun]:
    """The newest first."""
    return list(platform.instance.get_runs(dg.RunsFilter(job_name=job)))


def slots_of(platform: Platform) -> ConcurrencyKeyInfo:
    return platform.instance.event_log_storage.get_concurrency_info("finnhub")


def holders(platform: Platform) -> set[str]:
    return {slot.run_id for slot in slots_of(platform).claimed_slots}


@pytest.mark.soak
def test_without_a_daemon_a_run_that_waits_for_a_killed_one_s_slot_ends_it_and_goes_on_where_it_was(
    platform: Platform, tmp_path: Path
) -> None:
    platform.configure(universe__size=60)
    platform.must_run("universe_refresh")
    asked = platform.calls(METRIC)
    platform.configure(finnhub__calls_per_minute=60.0, finnhub__max_calls_per_second=1.0, finnhub__max_in_flight=1)
    with executed(platform, "fundamentals_refresh", tmp_path / "first.log") as first:
        until(lambda: platform.calls(METRIC) - asked >= 5, 60, "the first sweep asks")
        platform.configure(finnhub__calls_per_minute=6_000.0, finnhub__max_calls_per_second=100.0)
        with executed(platform, "fundamentals_refresh", tmp_path / "second.log") as second:
            until(lambda: slots_of(platform).pending_steps, 60, "the second waits for the slot")
            (killed,) = holders(platform)
            assert runs(platform, "fundamentals_refresh")[-1].run_id == killed
            first.kill()
            first.wait()
            begun = time.monotonic()
            until(lambda: killed not in holders(platform), 45, "the slot is free")
            sys.stdout.write(f"\nno daemon, slot free after {time.monotonic() - begun:.0f} s\n")
            assert second.wait(60) == 0, (tmp_path / "second.log").read_text()
    after, before = runs(platform, "fundamentals_refresh")
    assert (before.run_id, before.status.value, after.status.value) == (killed, "FAILURE", "SUCCESS")
    said = rf"run {killed} of fundamentals_refresh is dead: its process \(pid {first.pid} on "
    assert re.search(said, (tmp_path / "second.log").read_text())
    # What was on its way when the first was killed is asked for a second time, and nothing else.
    assert platform.calls(METRIC) - asked <= 60 + 1


@dataclass
class Dev:
    """`dagster dev` on the platform's folder, all of whose processes can be killed at once, and started again."""

    platform: Platform
    port: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        with (self.platform.folder / "dev.log").open("a") as output:
            process = subprocess.Popen(
                [BIN / "dagster", "dev", "-w", REPOSITORY / "workspace.yaml", "-p", str(self.port)],
                cwd=self.platform.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        self.started.append(process)

    def kill(self) -> None:
        """As a machine does that is switched off."""
        ours = f"DAGSTER_HOME={self.platform.folder}/dagster".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(process.name) != os.getpid() and ours in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
        for started in self.started:
            started.wait()


@pytest.fixture
def dev(platform: Platform) -> Iterator[Dev]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Dev(platform, probe.getsockname()[1])
    yield made
    made.kill()


def worker(platform: Platform, run: dg.DagsterRun) -> int:
    said = (Path(platform.instance.storage_directory()) / "alive" / run.run_id).read_text()
    return int(said.split()[1])


def working(platform: Platform, job: str, *but: dg.DagsterRun) -> dg.DagsterRun | None:
    """A run of a job that has come to its steps and is none of those."""
    over = {run.run_id for run in but}
    found = [run for run in runs(platform, job) if run.run_id not in over and run.status.value == "STARTED"]
    return next((run for run in found if alive._file(platform.instance, run.run_id).exists()), None)


def measured(platform: Platform, what: str, pool: str, killed: dg.DagsterRun, *before: dg.DagsterRun) -> None:
    """Waits for the end of a killed run, its slots and the next run, and shows after how many seconds each came."""
    begun, job = time.monotonic(), killed.job_name
    until(lambda: runs_by_id(platform, killed.run_id).status.value == "FAILURE", 200, f"{what}: the run is failed")
    ended = time.monotonic() - begun
    info = platform.instance.event_log_storage.get_concurrency_info
    until(lambda: killed.run_id not in {slot.run_id for slot in info(pool).claimed_slots}, 60, f"{what}: slot free")
    free = time.monotonic() - begun
    until(lambda: working(platform, job, killed, *before), 300, f"{what}: the next run")
    sys.stdout.write(
        f"\n{what}: failed {ended:.0f} s, slot free {free:.0f} s, next run {time.monotonic() - begun:.0f} s\n"
    )
    sys.stdout.flush()


def runs_by_id(platform: Platform, run_id: str) -> dg.DagsterRun:
    found = platform.instance.get_run_by_id(run_id)
    assert found is not None
    return found


@pytest.mark.soak
def test_a_killed_machine_and_killed_runs_are_found_within_a_minute_and_a_stopped_run_is_not_ended(
    platform: Platform, dev: Dev
) -> None:
    platform.configure(
        universe__size=40,
        rebalancing__top_n_stocks=15,
        rebalancing__max_position_pct=15.0,
        schedules__fundamentals="* * * * *",
        schedules__rebalance="* * * * *",
    )
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-03T14:05:00Z"})
    platform.must_run("universe_refresh")
    asked = platform.calls(METRIC)
    platform.configure(finnhub__calls_per_minute=10.0, finnhub__max_calls_per_second=1.0, finnhub__max_in_flight=1)
    dev.start()
    until(lambda: platform.calls(METRIC) - asked >= 4, 420, "the first sweep asks")
    first = working(platform, "fundamentals_refresh")
    assert first is not None
    dev.kill()
    until(lambda: alive.dead(platform.instance) == [first.run_id], 5, "its lock is free")
    dev.start()
    measured(platform, "machine switched off in a sweep, from its start", "finnhub", first)

    second = until(lambda: working(platform, "fundamentals_refresh", first), 300, "the second sweep")
    os.kill(worker(platform, second), signal.SIGSTOP)
    time.sleep(90)
    assert runs_by_id(platform, second.run_id).status == dg.DagsterRunStatus.STARTED, "it is stopped, and lives"
    os.kill(worker(platform, second), signal.SIGCONT)
    at = platform.calls(METRIC)
    until(lambda: platform.calls(METRIC) > at, 60, "it goes on")
    platform.configure(finnhub__calls_per_minute=6_000.0, finnhub__max_calls_per_second=100.0)
    os.kill(worker(platform, second), signal.SIGKILL)
    measured(platform, "worker killed in a sweep", "finnhub", second, first)
    until(lambda: platform.store.history("scores"), 240, "the sweep goes on where it was, and is scored")
    assert platform.calls(METRIC) - asked <= 40 + 2, "what was stored is not asked for again"

    platform.configure(trading__poll_interval_s=1.0)
    ui = Ui(f"http://127.0.0.1:{dev.port}")
    ui.ask(
        "mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) { __typename "
        "... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message } } }",
        selector={**REPO, "scheduleName": "rebalance"},
    )

    def orders() -> list[dict[str, str]]:
        return list(platform.sandbox.admin("GET", "/sandbox/broker")["book"]["orders"])

    until(orders, 300, "the first order")
    trading = working(platform, "rebalance")
    assert trading is not None, "it trades"
    dev.kill()
    dev.start()
    measured(platform, "machine switched off in a rebalance, from its start", "alpaca", trading)
    until(lambda: platform.store.history("portfolio_report"), 240, "the rebalance goes on")
    sent = Counter(order["client_order_id"] for order in orders())
    assert set(sent.values()) == {1}
    assert set(Counter((order["symbol"], order["side"]) for order in orders()).values()) == {1}
    assert "dagster/will_retry" not in runs_by_id(platform, trading.run_id).tags or (
        runs_by_id(platform, trading.run_id).tags["dagster/will_retry"] == "false"
    )
