"""Ctrl-C: one line that says what was saved and how to go on, exit code 130, and a run that is canceled."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.test_utils import create_run_for_test

from tokenomics_dagster.interfaces.cli.ending import SAVED
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import (
    TOKENOMICS,
    FinishedDemo,
    record_market,
    without_platform_variables,
)
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import until
from tokenomics_dagster_tests.research.tunable import written

METRIC = "GET /api/v1/stock/metric"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The platform's instance is the one that the command finds by DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as made:
        yield made


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"listings": 150, "seed": 7}


@contextmanager
def begun(*arguments: Any, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process group of its own, as a shell starts it in a terminal."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [TOKENOMICS, *map(str, arguments)]
    with subprocess.Popen(command, start_new_session=True, **pipes, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def interrupted(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Ctrl-C: a terminal sends it to all processes of the group. None of them is left, or writes a trace."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in out + err
    until(lambda: not alive_in(process.pid), 60, "all processes of the command have ended")
    return process.returncode, out, err


def alive_in(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.soak
def test_a_repair_is_canceled_keeps_what_it_fetched_and_goes_on(platform: Platform) -> None:
    platform.configure(universe__size=25, finnhub__max_attempts=1)
    platform.must_run("universe_refresh")
    failing = platform.instance.get_dynamic_partitions("symbols")[:8]
    rules = [{"endpoint": METRIC, "query": {"symbol": symbol}, "kind": "500"} for symbol in failing]
    platform.sandbox.admin("PUT", "/sandbox/faults", rules)
    assert not platform.run("fundamentals_refresh").success
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.configure(finnhub__calls_per_minute=60.0, finnhub__max_calls_per_second=1.0, finnhub__max_in_flight=1)
    asked = platform.calls(METRIC)
    with begun("repair", "--failed") as process:
        until(lambda: platform.calls(METRIC) - asked >= 4, 120, "the repair asks")
        code, _, err = interrupted(process)
    assert (code, err.splitlines()[-1]) == (130, f"interrupted: {SAVED['repair']}")
    run, _ = platform.instance.get_runs(dg.RunsFilter(job_name="fundamentals_refresh"))
    assert run.status == dg.DagsterRunStatus.CANCELED
    nothing_is_held(platform)

    platform.configure(finnhub__calls_per_minute=60_000.0, finnhub__max_calls_per_second=1_000.0)
    arguments = [TOKENOMICS, "repair", "--failed"]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again
    left = re.search(r"all were fetched: (\d) symbols in \d+ (?:second|minute)", again.stdout)
    assert left
    assert 1 <= int(left[1]) <= 5, "three at least had been stored"
    # What was on its way when it was interrupted is asked for a second time, and nothing else.
    assert platform.calls(METRIC) - asked <= 8 + 2


def nothing_is_held(platform: Platform) -> None:
    """No slot of a pool, and no lock by which the run would seem to live."""
    slots = platform.instance.event_log_storage.get_concurrency_info("finnhub")
    assert (slots.claimed_slots, slots.pending_steps) == ([], [])
    assert not list((Path(platform.instance.storage_directory()) / "alive").iterdir())


@pytest.mark.soak
def test_a_start_is_canceled_keeps_what_it_fetched_and_goes_on(platform: Platform) -> None:
    platform.configure(universe__size=25)
    platform.must_run("universe_refresh")
    platform.configure(finnhub__calls_per_minute=60.0, finnhub__max_calls_per_second=1.0, finnhub__max_in_flight=1)
    asked = platform.calls(METRIC)
    with begun("start", "--yes") as process:
        until(lambda: platform.calls(METRIC) - asked >= 4, 180, "the sweep of the start asks")
        code, out, err = interrupted(process)
    assert (code, err) == (130, f"interrupted: {SAVED['start']}\n")
    assert "fundamentals_refresh ..." in out
    sweep, universe = platform.instance.get_runs()
    assert (sweep.job_name, sweep.status) == ("fundamentals_refresh", dg.DagsterRunStatus.CANCELED)
    assert universe.status == dg.DagsterRunStatus.SUCCESS, "what had ended before stays as it is"
    nothing_is_held(platform)
    assert not platform.sandbox.admin("GET", "/sandbox/broker")["book"]["orders"]

    platform.configure(finnhub__calls_per_minute=60_000.0, finnhub__max_calls_per_second=1_000.0)
    arguments = [TOKENOMICS, "start", "--yes"]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again
    assert platform.calls(METRIC) - asked <= 25 + 2, "what was on its way is asked for again, and nothing else"
    assert platform.broker().positions()


@pytest.mark.soak
def test_a_demo_is_canceled_and_none_of_its_runs_is_left_as_if_it_ran(tmp_path: Path) -> None:
    market = record_market(tmp_path)
    environment = {**without_platform_variables(), "PYTHONUNBUFFERED": "1"}
    runs = tmp_path / ".tokenomics/demo/dagster/history/runs.db"
    with begun("demo", "--replay", market, "--universe-size", 25, cwd=tmp_path, env=environment) as process:
        until(lambda: "STARTED" in states(runs), 300, "its first run has begun")
        code, _, err = interrupted(process)
    assert (code, err) == (130, f"interrupted: {SAVED['demo']}\n")
    assert states(runs) == ["CANCELED"]
    assert (tmp_path / ".tokenomics/demo/sandbox.json").is_file(), "the sandbox has saved its state"


def states(runs: Path) -> list[str]:
    if not runs.exists():
        return []
    with closing(sqlite3.connect(runs)) as database:
        try:
            return [status for (status,) in database.execute("select status from runs")]
        except sqlite3.OperationalError:  # no such table yet
            return []


def test_a_command_that_waits_for_a_host_is_interrupted_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ours = {
            "FINNHUB_API_KEY": "key", "FINNHUB_BASE_URL": url, "ALPACA_API_KEY": "PKKEY",
            "ALPACA_SECRET_KEY": "secret", "ALPACA_TRADING_URL": url, "ALPACA_DATA_URL": url,
        }  # fmt: skip
        environment = {**without_platform_variables(), **ours}
        with begun("check", cwd=tmp_path, env=environment) as process:
            silent.settimeout(180)
            connection, _ = silent.accept()
            with connection:
                said = interrupted(process)
    assert said == (130, "", "interrupted: nothing more was done; `tokenomics status` tells how things stand\n")


BACKTEST_OPTIONS: list[list[str]] = [[], ["--check-lookahead"]]


@pytest.mark.soak
@pytest.mark.parametrize("options", BACKTEST_OPTIONS, ids=["", "look-ahead"])
def test_a_backtest_that_is_interrupted_writes_nothing_and_leaves_no_process(
    tmp_path: Path, options: list[str]
) -> None:
    file = written(tmp_path)
    before = everything_in(tmp_path)
    outputs = ["--json", "out.json", "--html", "out.html"]
    with begun("backtest", file, *options, *outputs, cwd=tmp_path, env=without_platform_variables()) as process:
        said = lines_until(process, "deciding anew" if options else "reading the data")
        code, out, err = interrupted(process)
    assert code == 130, said + err
    assert err.splitlines()[-1] == f"interrupted: {SAVED['backtest']}"
    assert out == ""
    assert everything_in(tmp_path) == before


@pytest.mark.soak  # half a minute of work, for its processes each import what they need
def test_a_tuning_that_is_interrupted_keeps_whole_trials_and_goes_on_there(tmp_path: Path) -> None:
    file, environment = written(tmp_path), without_platform_variables()
    arguments = ["tune", file, "--processes", 2, "--json", "out.json"]
    trials = tmp_path / ".tokenomics/trials"
    with begun(*arguments, cwd=tmp_path, env=environment) as process:
        until(lambda: list(trials.glob("*/*.npy")), 300, "its first trial is kept")
        code, _, err = interrupted(process)
    assert (code, err.splitlines()[-1]) == (130, f"interrupted: {SAVED['tune']}")
    assert not (tmp_path / "out.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in trials.glob("*/*")}
    assert all(path.suffix == ".npy" for path in kept), "none is half written"
    whole = [TOKENOMICS, *map(str, arguments)]
    again = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, timeout=600, check=False)
    assert again.returncode == 0, again
    assert json.loads((tmp_path / "out.json").read_text())["tried"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing is tried twice"


@pytest.mark.soak
def test_a_purge_that_is_interrupted_leaves_every_other_run_whole(platform: Platform) -> None:
    at = (datetime.now(UTC) - timedelta(days=400)).replace(tzinfo=None)
    platform.must_run("universe_refresh")
    for _ in range(400):
        create_run_for_test(platform.instance, job_name="score", status=dg.DagsterRunStatus.SUCCESS)
    with platform.instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(sa.text("update runs set update_timestamp = :at where pipeline_name = 'score'"), {"at": at})
    there = len(platform.instance.get_run_ids())
    with begun("purge", "--json", "out.json", cwd=platform.folder) as process:
        until(lambda: len(platform.instance.get_run_ids()) < there - 5, 300, "its first runs are deleted")
        code, _, err = interrupted(process)
    left = platform.instance.get_run_ids()
    assert (code, err) == (130, f"interrupted: {SAVED['purge']}\n")
    assert 1 < len(left) < there
    assert not (platform.folder / "out.json").exists()
    arguments = [TOKENOMICS, "purge"]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again
    assert len(platform.instance.get_run_ids()) == 2, "the universe's, and the last of the job"


def test_a_report_that_is_interrupted_leaves_no_half_of_a_page(finished_demo: FinishedDemo, tmp_path: Path) -> None:
    environment = {**without_platform_variables(), **finished_demo.variables}
    with begun("report", "--json", "out.json", cwd=tmp_path, env=environment) as process:
        until(lambda: has_open(process.pid, "warehouse.db"), 180, "it reads the records")
        code, _, err = interrupted(process)
    assert (code, err) == (130, f"interrupted: {SAVED['report']}\n")
    assert everything_in(tmp_path) == set()


def everything_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def has_open(pid: int, name: str) -> bool:
    return any(name in str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())


def lines_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it tells beside its answer, until it has told this."""
    assert process.stderr is not None
    said = ""
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said
