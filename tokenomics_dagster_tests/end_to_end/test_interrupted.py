"""Ctrl-C: one line that says what was saved and how to go on, exit code 130, and a run that is canceled."""

import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.interfaces.cli.ending import SAVED
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import TOKENOMICS, record_market, without_platform_variables
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import until

METRIC = "GET /api/v1/stock/metric"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The platform's instance is the one that the command finds by DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as made:
        yield made


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"listings": 150, "seed": 7}


def interrupted(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


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
    arguments = [TOKENOMICS, "repair", "--failed"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: platform.calls(METRIC) - asked >= 4, 120, "the repair asks")
        code, out, err = interrupted(process)
    assert (code, err.splitlines()[-1]) == (130, f"interrupted: {SAVED['repair']}")
    assert "Traceback" not in out + err
    run, _ = platform.instance.get_runs(dg.RunsFilter(job_name="fundamentals_refresh"))
    assert run.status == dg.DagsterRunStatus.CANCELED
    slots = platform.instance.event_log_storage.get_concurrency_info("finnhub")
    assert (slots.claimed_slots, slots.pending_steps) == ([], [])
    assert not list((Path(platform.instance.storage_directory()) / "alive").iterdir())

    platform.configure(finnhub__calls_per_minute=60_000.0, finnhub__max_calls_per_second=1_000.0)
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again
    left = re.search(r"all were fetched: (\d) symbols in \d+ (?:second|minute)", again.stdout)
    assert left
    assert 1 <= int(left[1]) <= 5, "three at least had been stored"
    # What was on its way when it was interrupted is asked for a second time, and nothing else.
    assert platform.calls(METRIC) - asked <= 8 + 2


def test_a_demo_is_canceled_and_none_of_its_runs_is_left_as_if_it_ran(tmp_path: Path) -> None:
    market = record_market(tmp_path)
    arguments = [TOKENOMICS, "demo", "--replay", str(market), "--universe-size", "25"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**without_platform_variables(), "PYTHONUNBUFFERED": "1"}
    runs = tmp_path / ".tokenomics/demo/dagster/history/runs.db"
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment, **pipes) as process:
        until(lambda: "STARTED" in states(runs), 300, "its first run has begun")
        code, out, err = interrupted(process)
    assert (code, err) == (130, f"interrupted: {SAVED['demo']}\n")
    assert "Traceback" not in out
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
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([TOKENOMICS, "check"], cwd=tmp_path, env=environment, **pipes) as process:
            silent.settimeout(180)
            connection, _ = silent.accept()
            with connection:
                said = interrupted(process)
    assert said == (130, "", "interrupted: nothing more was done; `tokenomics status` tells how things stand\n")
