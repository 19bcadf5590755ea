"""What `tokenomics status` shows of an account whose figures are odd."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.trading import EQUITY, OPTION, Foreign, Holdings
from tokenomics_dagster.operations.metrics import _runs
from tokenomics_dagster.operations.status import Positions, _dead, _last_runs, positions
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.automation.conftest import run_of
from tokenomics_dagster_tests.execution.test_rules import account, position


def test_what_has_no_share_or_no_value_is_shown_without_one(tmp_path):
    holdings = Holdings({"AAA": position("AAA", "5")}, disputed={"BBB": "stands there twice"})
    broker: Any = SimpleNamespace(
        account=lambda: account(equity=Decimal(0)),
        holdings=lambda: holdings,
        clock=lambda: SimpleNamespace(now=datetime(2026, 8, 24, 14, tzinfo=UTC)),
        assets=dict,
        corporate_actions=lambda *_: (),
        orders=lambda **_: (),
    )
    store = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    table = tables.positions(positions(store, broker, load_settings(overrides={"trading.foreign_positions": "sell"})))
    store.close()
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("AAA", "5.00", "", "0.00%", ""), ("BBB", "", "stands there twice", "", "")]


def test_a_foreign_row_is_told_with_its_class_and_a_stock_with_the_command_that_adopts_it():
    rows = (
        Foreign("AAPL261218P00200000", OPTION, Decimal(-1), Decimal(-500), short=True),
        Foreign("BBB", EQUITY, Decimal(-5), None, short=True),
        Foreign("CCC", EQUITY, Decimal(5), Decimal(50)),
    )
    table = tables.positions(Positions("1", Decimal(1), Decimal(1), (), rows, {}))
    assert list(zip(*(list(column.cells)[:3] for column in table.columns[:3]), strict=True)) == [
        ("AAPL261218P00200000", "-500.00", "not traded here: us_option"),
        ("BBB", "unknown", "not traded here: us_equity"),
        ("CCC", "50.00", "no strategy has ever bought it here: `tokenomics adopt CCC` lets it be traded"),
    ]


def test_a_run_whose_process_is_gone_died_and_does_not_run(tmp_path):
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as instance:
        killed, living = run_of("rebalance", "STARTED"), run_of("rebalance", "STARTED")
        for run in (killed, living):
            instance.add_run(run)
        with alive.holding(instance, living.run_id):
            # What a process leaves that was killed: its file, which nobody holds.
            (Path(instance.storage_directory()) / "alive" / killed.run_id).write_text("pid 1 on there")
            found = _last_runs(instance, House(ROOMS))
            assert {run.run_id: run.state for run in found.runs} == {killed.run_id: "DIED", living.run_id: "STARTED"}
            assert f"their processes are gone: {killed.run_id[:8]} of rebalance" in _dead(instance)
            samples = list(_runs(instance, "rebalance", alive.dead(instance)))
            assert ("tokenomics_runs_in_progress", 1.0, ("rebalance",)) in samples
            [shown] = tables.status([found])
            assert sorted(map(str, shown.columns[1].cells)) == ["died", "running"]
