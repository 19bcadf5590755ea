"""What the tests of operations share: the platform after one week, on a Dagster instance with files of its own."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg
import pytest

from tokenomics_dagster.interfaces.demo import FAST, dagster_home, environment
from tokenomics_dagster.kit import logs
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.storage.records import LedgerOrder
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import command as command  # the fixture

WEEK = "2026-08-24"
STOCKS = 30


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """To be read only: universe, sweep, scores and a rebalance of 30 stocks, with JSON logs into `folder / "logs"`."""
    folder = tmp_path_factory.mktemp("week")
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    with (
        running_sandbox(listings=300, seed=7) as sandbox,
        dg.DagsterInstance.from_config(str(dagster_home(folder))) as instance,
    ):
        made = Platform(sandbox, instance, folder, settings_file)
        for section, values in FAST.items():
            made.configure(**{f"{section}__{key}": value for key, value in values.items()})
        made.configure(
            universe__size=STOCKS,
            rebalancing__top_n_stocks=12,
            rebalancing__max_position_pct=10.0,
            trading__poll_interval_s=0.05,
        )
        with pytest.MonkeyPatch.context() as patch:
            point_to(made, patch)
            patch.setenv("TOKENOMICS_LOGS", str(folder / "logs"))
            with telling():
                made.run_all(WEEK)
            (folder / "calls.json").write_text(json.dumps(sandbox.admin("GET", "/sandbox/calls")))
            store = made.store  # opened while the environment names it
        yield made
        store.close()


@pytest.fixture
def at_week(week: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The week, with the environment pointing to it."""
    point_to(week, monkeypatch)
    return week


def ledger(platform: Platform) -> list[LedgerOrder]:
    """The orders of the week, all of which went through."""
    [plan] = platform.store.history("trade_plan", limit=1)
    rows = platform.store.orders_of_week(plan.details["plan"]["account"], date.fromisoformat(WEEK))
    assert len(rows) >= 10
    assert {row.status for row in rows} == {"filled"}
    return rows


@contextmanager
def telling() -> Iterator[None]:
    """What `logs.start` begins, ended after it."""
    root, level = logging.getLogger(), logging.getLogger("tokenomics").level
    before = list(root.handlers)
    logs.start()
    try:
        yield
    finally:
        for handler in [one for one in root.handlers if one not in before]:
            root.removeHandler(handler)
        logging.getLogger("tokenomics").setLevel(level)


def point_to(platform: Platform, patch: pytest.MonkeyPatch) -> None:
    for name, value in environment(platform.folder, platform.sandbox.environment(), platform.settings_file).items():
        patch.setenv(name, value)
