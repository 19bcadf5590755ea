"""What the tests of reports share: weeks that were really traded on the sandbox, with what a broker's life brings."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from tokenomics_dagster.kit import plots
from tokenomics_dagster.model.calendar import week_of
from tokenomics_dagster.model.trading import Account, Fill, Position
from tokenomics_dagster.reports.building import report_of
from tokenomics_dagster.reports.page import page
from tokenomics_dagster.reports.week import WeekReport
from tokenomics_dagster.reports.week_records import records_of
from tokenomics_dagster.sandbox.server import SandboxHandle
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform, small_platform

FIRST, SECOND = date(2026, 8, 24), date(2026, 8, 31)
NAMED, FALLEN = "STR", "BYOV"
"""Two of the best of this market: the company of one is named by an attacker, the figures of the other become worse."""
HOSTILE = '<script>alert("x")</script> & "Sons"'
DEPOSIT = Decimal("5000.00")
UI = "https://ui.test/dagster"


@dataclass(frozen=True)
class Weeks:
    """Two weeks of an account: 20 names are bought; then a deposit and a dividend come, prices move, a score falls and
    14 names are meant. The second week is run twice. `account`, `positions` and `fills`: what the broker said when a
    week was over; `pages`: the page of each as it was made then."""

    store: Warehouse
    account: dict[date, Account]
    positions: dict[date, dict[str, Position]]
    fills: dict[date, list[Fill]]
    pages: dict[date, str]
    folder: Path
    variables: dict[str, str]

    def report(self, week: date) -> WeekReport:
        return report_of(records_of(self.store, week))


@pytest.fixture(scope="package")
def weeks(tmp_path_factory: pytest.TempPathFactory, shared_sandboxes: Callable[..., SandboxHandle]) -> Iterator[Weeks]:
    folder = tmp_path_factory.mktemp("weeks")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setattr(plots, "_png", lambda *_, **__: b"not drawn")
        platform = small_platform(folder, shared_sandboxes(listings=250, seed=7), instance, patch)
        with closing(platform.store):
            made = _lived(platform, folder)
            patch.undo()  # what is left of the weeks is the warehouse: other tests have an environment of their own
            yield made


def _lived(platform: Platform, folder: Path) -> Weeks:
    made = Weeks(platform.store, {}, {}, {}, {}, folder, {})
    change = platform.sandbox.admin
    change("PATCH", f"/sandbox/profiles/{NAMED}", {"name": HOSTILE})
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.must_run("rebalance", week=FIRST.isoformat())
    _over(platform, made, FIRST)
    change("PUT", "/sandbox/clock", {"now": "2026-08-27T15:00:00Z"})
    change("POST", "/sandbox/cash", {"amount": str(DEPOSIT)})
    change("POST", "/sandbox/actions", {"kind": "dividend", "symbol": NAMED, "rate": "0.24"})
    change("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    held = made.positions[FIRST].items()
    prices = {one: str(round(position.price * Decimal("1.03"), 2)) for one, position in held if position.price}
    change("PUT", "/sandbox/prices", prices)
    change("PATCH", f"/sandbox/metrics/{FALLEN}", {"roeTTM": -25.0})
    platform.configure(rebalancing__top_n_stocks=14)
    platform.must_run("fundamentals_refresh", "score")
    for _ in range(2):
        platform.must_run("rebalance", week=SECOND.isoformat())
    _over(platform, made, SECOND)
    ours = ("TOKENOMICS_", "ALPACA_", "FINNHUB_")
    made.variables.update({name: value for name, value in os.environ.items() if name.startswith(ours)})
    return made


def _over(platform: Platform, made: Weeks, week: date) -> None:
    with platform.broker() as broker:
        made.account[week], made.positions[week] = broker.account(), dict(broker.positions())
        made.fills[week] = [one for one in broker.fills(datetime(2026, 8, 24, tzinfo=UTC)) if week_of(one.at) == week]
    made.pages[week] = page(made.report(week), UI)
