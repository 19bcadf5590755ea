"""From keys to a first paper portfolio, as a person comes to it, with the limits of the free plans in force: timed."""

import re
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster_tests import reading
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.conftest import tokenomics

FREE_PLANS = {"finnhub_limit": ("60/min", "30/s"), "trading_limit": ("200/min",)}
MONDAY = "2026-08-24T14:30:00Z"  # an hour after the open
MOST_S = 300.0


def cpu_s() -> float:
    """Seconds of CPU that processes have taken which this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.soak
def test_a_first_paper_portfolio_takes_less_than_five_minutes_from_keys(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    market = {"replay": reading.MARKET} if reading.MARKET.is_dir() else {}  # real turnovers make half more calls
    with running_sandbox(port=0, now=MONDAY, **market, **FREE_PLANS) as sandbox:
        spent_s = cpu_s()
        keys = sandbox.environment()
        begun = time.monotonic()
        done = tokenomics("init", "--no-input", cwd=tmp_path, **keys)
        assert done.code == 0, done
        set_up_s = time.monotonic() - begun
        home = {"DAGSTER_HOME": str(tmp_path / ".tokenomics/dagster")}
        started = tokenomics("start", "--yes", cwd=tmp_path, **keys, **home)
        took_s = time.monotonic() - begun
        spent_s = cpu_s() - spent_s
        assert started.code == 0, started
        calls = dict(sandbox.admin("GET", "/sandbox/calls"))
    record_property("seconds", f"{took_s:.0f}, of which init {set_up_s:.0f}, of the CPU {spent_s:.0f}")
    record_property("calls", sum(calls.values()))
    sys.stdout.write(f"\nin {took_s:.0f} s, {set_up_s:.0f} of them init, {spent_s:.0f} of CPU; {calls}\n{started.out}")
    held = re.search(r"(\d+) stocks, equity ([\d,.]+) USD, cash ([\d,.]+) USD", started.out)
    assert held
    assert int(held[1]) >= 20
    equity, cash = (float(held[number].replace(",", "")) for number in (2, 3))
    assert cash < 0.1 * equity
    assert took_s < MOST_S
