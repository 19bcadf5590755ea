"""The platform left to itself: `dagster dev` with its schedules and sensors, while the market's clock moves on.

Crons are of each minute, so that nothing but the broker's clock decides what is due. Every wait has an end that names
what it waited for.
"""

import os
import signal
import socket
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
import yaml

from tokenomics_dagster.interfaces.demo import FAST, environment
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import without_platform_variables
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import BIN, REPO, Ui, until
from tokenomics_dagster_tests.webhook import Webhook, running_webhook

MONTH = ("2026-08-03", "2026-08-10", "2026-08-17", "2026-08-24")
METRICS = "GET /api/v1/stock/metric"
EACH_MINUTE = "* * * * *"
# A tick within a minute, a run of ten seconds after it, and much room for a busy machine.
SOON_S = 180.0
FAILED = "fundamentals_refresh failed"

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    **FAST,
    "finnhub": {**FAST["finnhub"], "max_attempts": 2},
    "universe": {**FAST["universe"], "size": 40},
    "rebalancing": {"top_n_stocks": 15, "max_position_pct": 15.0},
    "schedules": {
        "universe": EACH_MINUTE,
        "fundamentals": EACH_MINUTE,
        "rebalance": EACH_MINUTE,
        "sensors_every_s": 10,
    },
}


@dataclass
class Left:
    """The platform that nobody looks after, and what can be seen of it from outside."""

    ui: Ui
    sandbox: SandboxHandle
    store: Warehouse
    webhook: Webhook
    database: Path
    log: Path

    def until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            until(condition, SOON_S, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\ntold: {self.webhook.texts()}\n{self.log.read_text()[-4000:]}") from None

    def monday(self, week: str) -> None:
        """A little after the open of that Monday, when its rebalance is due."""
        self.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{week}T14:05:00Z"})

    def switch_rebalance_on(self) -> None:
        query = (
            "mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) { __typename "
            "... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message } } }"
        )
        started = self.ui.ask(query, selector={**REPO, "scheduleName": "rebalance"})
        assert started["scheduleState"]["status"] == "RUNNING"

    def scored_since(self, week: str) -> bool:
        return any(f"{snapshot.as_of:%Y-%m-%d}" >= week for snapshot in self.store.history("scores"))

    def rebalanced(self, week: str) -> bool:
        return bool(self.store.history("portfolio_report", partition=week))

    def sweeps(self) -> list[tuple[str, bool]]:
        """The day of each sweep by the broker's clock, and whether it fetched everything; oldest first."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("select started_at, finished_at, failures from sweeps order by id").fetchall()
        return [(str(began)[:10], ended is not None and failures == "{}") for began, ended, failures in rows]

    def must_have_done_everything_once(self, *weeks: str) -> None:
        assert len(self.store.history("universe")) == 1
        assert [day for day, whole in self.sweeps() if whole] == list(weeks)
        assert [f"{one.as_of:%Y-%m-%d}" for one in reversed(self.store.history("scores"))] == list(weeks)
        for asset in ("target_weights", "trade_plan", "orders", "portfolio_report"):
            assert sorted(one.partition for one in self.store.history(asset)) == list(weeks), asset
        orders = self.sandbox.admin("GET", "/sandbox/broker")["book"]["orders"]
        sent = Counter(order["client_order_id"] for order in orders)
        assert sent
        assert set(sent.values()) == {1}
        account = self.store.history("portfolio_report")[0].details["account"]
        ledger = [row for week in weeks for row in self.store.orders_of_week(account, date.fromisoformat(week))]
        assert Counter(row.client_order_id for row in ledger) == sent
        assert set(Counter((row.week, row.symbol, row.side) for row in ledger).values()) == {1}
        assert self.store.verify_audit() is None


@contextmanager
def left_alone(folder: Path, *first: str) -> Iterator[Left]:
    """`dagster dev` on a new sandbox until the block ends; the jobs in `first` have run before."""
    settings = folder / "settings.yaml"
    document = yaml.safe_load((REPOSITORY / "config/settings.yaml").read_text())
    for section, values in SETTINGS.items():
        document[section].update(values)
    settings.write_text(yaml.safe_dump(document))
    log, database = folder / "dagster.log", folder / "warehouse.db"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running_sandbox(listings=300, seed=7) as sandbox, running_webhook() as webhook, log.open("w") as output:
        sandbox.admin("PUT", "/sandbox/clock", {"now": f"{MONTH[0]}T14:05:00Z"})
        ours = environment(folder, sandbox.environment(), settings)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            with dg.DagsterInstance.get() as instance:
                Platform(sandbox, instance, folder, settings).must_run(*first)
        process = subprocess.Popen(
            [BIN / "dagster", "dev", "-w", REPOSITORY / "workspace.yaml", "-p", str(port)],
            cwd=folder,
            env={**without_platform_variables(), **ours, "ALERT_WEBHOOK_URL": webhook.url},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ui = Ui(f"http://127.0.0.1:{port}")

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return requests.get(f"{ui.url}/server_info", timeout=5).ok
            except requests.ConnectionError:
                return False

        try:
            until(answers, 120, "the UI answers")
            with closing(Warehouse(f"sqlite:///{database}")) as store:
                yield Left(ui, sandbox, store, webhook, database, log)
        finally:
            # Not SIGINT: a test that runs in the background of a shell, and its children, never hear of it.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def first_week(left: Left, week: str) -> None:
    """Universe, sweep, scores by themselves; the rebalance as soon as a person has switched it on."""
    left.until(lambda: left.store.history("universe"), "the universe of the month")
    left.until(lambda: left.scored_since(week), "the first sweep and its scores")
    assert not left.rebalanced(week), "nothing trades before a person has switched it on"
    left.switch_rebalance_on()
    left.until(lambda: left.rebalanced(week), f"the rebalance of {week}")


def outage(left: Left) -> None:
    """Finnhub answers nothing until somebody has heard of it; then the next sweep makes it good."""
    left.until(lambda: FAILED in left.webhook.texts(), "a message that the sweep failed")
    left.sandbox.admin("DELETE", "/sandbox/faults")
    left.until(lambda: f"recovered: {FAILED}" in left.webhook.texts(), "a message that the sweep has recovered")


@pytest.mark.soak
def test_a_week_goes_by_itself_and_a_halt_is_told_and_its_end(tmp_path: Path) -> None:
    # The universe is there, so that one tick less is waited for: in the month it comes by itself.
    with left_alone(tmp_path, "universe_refresh") as left:
        first_week(left, MONTH[0])
        left.must_have_done_everything_once(MONTH[0])
        rebalanced = f"paper account: the rebalance of {MONTH[0]} has ended"
        left.until(lambda: left.webhook.texts() == [rebalanced], "a message that the week is rebalanced")
        now = left.store.history("portfolio_report")[0].as_of
        left.store.halt("a look at the broker", by="test", at=now)
        left.until(lambda: left.webhook.texts()[1:] == ["trading is halted"], "a message that trading is halted")
        left.store.resume("all is well", by="test", at=now)
        left.until(lambda: "recovered: trading is halted" in left.webhook.texts(), "a message that the halt is over")
        assert len(left.webhook.told) == 3


@pytest.mark.soak
def test_a_month_goes_by_itself_with_an_outage_in_its_third_week(tmp_path: Path) -> None:
    with left_alone(tmp_path) as left:
        first_week(left, MONTH[0])
        for number, week in enumerate(MONTH[1:], start=2):
            if number == 3:
                left.sandbox.admin("PUT", "/sandbox/faults", [{"kind": "500", "endpoint": METRICS}])
            left.monday(week)
            if number == 3:
                outage(left)
            left.until(partial(left.scored_since, week), f"the scores of {week}")
            left.until(partial(left.rebalanced, week), f"the rebalance of {week}")
        left.must_have_done_everything_once(*MONTH)
        weekly = "this week's message"
        rebalanced = [f"paper account: the rebalance of {week} has ended" for week in MONTH]
        left.until(lambda: set(rebalanced) <= set(left.webhook.texts()), "a message of each rebalance")
        others = [text for text in left.webhook.texts() if text not in (weekly, *rebalanced)]
        assert others == [FAILED, f"recovered: {FAILED}"]
        assert [text for text in left.webhook.texts() if text in rebalanced] == rebalanced
        assert 1 <= left.webhook.texts().count(weekly) <= len(MONTH) - 1
        assert {day for day, whole in left.sweeps() if not whole} == {MONTH[2]}
