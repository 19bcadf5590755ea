"""Runs whose processes are killed: they are ended, give back their slots, and the next run goes on where they were."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.concurrency import ConcurrencyKeyInfo

from tokenomics_dagster.demo import dagster_home
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import BIN, until

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
            until(lambda: killed not in holders(platform), 45, "the slot is free")
            assert second.wait(60) == 0, (tmp_path / "second.log").read_text()
    after, before = runs(platform, "fundamentals_refresh")
    assert (before.run_id, before.status.value, after.status.value) == (killed, "FAILURE", "SUCCESS")
    said = rf"run {killed} of fundamentals_refresh is dead: its process \(pid {first.pid} on "
    assert re.search(said, (tmp_path / "second.log").read_text())
    # What was on its way when the first was killed is asked for a second time, and nothing else.
    assert platform.calls(METRIC) - asked <= 60 + 1
