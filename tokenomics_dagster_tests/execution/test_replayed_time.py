"""A rebalance from its plan to its end, on a broker in memory and a clock that only waiting moves on."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.execution.rebalance import Outcome, Rebalance
from tokenomics_dagster.execution.sending import FAILED
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import Deadline
from tokenomics_dagster.portfolio.planning import make_plan
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Owned
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.clocks import Replayed
from tokenomics_dagster_tests.execution.in_memory import InMemoryBroker
from tokenomics_dagster_tests.execution.world import (
    HELD,
    MONDAY,
    PRICES,
    SETTINGS_FILE,
    TARGETS,
    WHOLE_SHARES,
    target_weights,
)

FRIDAY = datetime.fromisoformat("2026-08-28T14:05:00Z")
FILL_DELAY_S = 60.0


@dataclass
class Replay:
    """The account of world.py on Monday morning; all deadlines are as late as in production."""

    clock: Replayed
    broker: InMemoryBroker
    ledger: Warehouse
    settings: Settings
    told: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    """By the key of the problem, when a person was notified of it, and with which detail."""

    def plan(self) -> Plan:
        targets = target_weights(TARGETS, self.clock.now() - timedelta(days=2))
        week = calendar.week_of(self.clock.now())
        return make_plan(
            targets,
            week,
            self.broker,
            self.clock,
            self.settings,
            lambda _: Past(Owned(dict.fromkeys(HELD, self.clock.now()))),
        )[1]

    def rebalance(self, plan: Plan) -> Outcome:
        return Rebalance(plan, self.broker.venue(), self.ledger, self.settings, self.notify).run()

    def notify(self, key: str, title: str, detail: str, /) -> None:
        self.told[key] = self.clock.now(), detail


def at_monday(settings: Settings, *faults: Mapping[str, Any]) -> Replay:
    market = generate(7, 200)
    known = next(one for one in market.instruments.values() if one.type == "Common Stock" and one.tradable)
    for symbol, price in PRICES.items():
        market.put(replace(known, symbol=symbol, price=price, path="", fractionable=symbol not in WHOLE_SHARES))
    clock = Replayed(FRIDAY)
    broker = InMemoryBroker(market, clock, FILL_DELAY_S, faults)
    for symbol, weight in HELD.items():
        shares = Decimal(100_000) * Decimal(str(weight)) / PRICES[symbol]
        broker.submit(symbol, "buy", f"someone-{symbol}", qty=Decimal(int(shares)))
    clock.wait(FILL_DELAY_S)
    assert broker.holdings().ours.keys() == HELD.keys()
    clock.wait((MONDAY - clock.now()).total_seconds())
    return Replay(clock, broker, Warehouse("sqlite://"), settings)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of config/settings.yaml, but for six names and fewer looks; nobody can wait by the machine's clock."""
    monkeypatch.chdir(tmp_path)
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def asleep(seconds: float) -> None:
        raise AssertionError(f"a rule sleeps for {seconds} s of real time")

    monkeypatch.setattr(time, "sleep", asleep)
    return load_settings(SETTINGS_FILE, {"rebalancing.max_position_pct": 50.0, "trading.poll_interval_s": 5.0})


def test_a_rebalance_reaches_its_targets_in_minutes_of_a_replayed_clock(settings: Settings) -> None:
    replay = at_monday(settings)
    plan, began = replay.plan(), replay.clock.now()
    outcome = replay.rebalance(plan)
    assert {order.status for order in outcome.orders} == {"filled"}
    assert {(order.symbol, order.side) for order in outcome.orders} == {(one.symbol, one.side) for one in plan.orders}
    assert outcome.stuck == []
    assert outcome.reconciliation is not None
    assert outcome.reconciliation.discrepancies == []
    assert outcome.fulfilment is not None
    assert outcome.fulfilment.is_enough(settings.guards)
    assert replay.told == {}
    # Sells and buys, one after the other, take the fill delay each.
    assert timedelta(seconds=2 * FILL_DELAY_S) <= replay.clock.now() - began < timedelta(minutes=3)


def test_what_does_not_fill_is_cancelled_at_the_deadline_and_told(settings: Settings) -> None:
    """One sell never fills, nor is its cancel heard; one buy fills in part and is cancelled."""
    replay = at_monday(
        settings,
        {"kind": "halt", "symbol": "TRIM", "side": "sell"},
        {"kind": "cancel_sticks", "symbol": "TRIM", "side": "sell"},
        {"kind": "stuck_partial", "symbol": "FRAC", "side": "buy"},
    )
    plan, began = replay.plan(), replay.clock.now()
    outcome = replay.rebalance(plan)
    became = {(order.symbol, order.side): order for order in outcome.orders}
    assert became["TRIM", "sell"].status == "pending_cancel"
    assert became["TRIM", "sell"].filled_qty == 0
    assert became["GONE", "sell"].status == "filled"
    part = became["FRAC", "buy"]
    assert part.status == "canceled"
    assert 0 < part.filled_qty * PRICES["FRAC"] < 11_000  # of 20,000 USD
    assert outcome.stuck == ["sell TRIM (pending_cancel)"]
    assert outcome.reconciliation is not None
    assert outcome.reconciliation.discrepancies == []
    assert replay.told.keys() == {"check:orders:final", "check:orders:traded"}
    stuck_at, stuck = replay.told["check:orders:final"]
    assert "sell TRIM (pending_cancel): their shares and cash count as unavailable" in stuck
    # Told when it was seen, and of the plan as a whole at the end: by the one clock that there is.
    assert began < stuck_at < replay.told["check:orders:traded"][0] <= replay.clock.now()
    assert replay.ledger.alerts() == {}, "who keeps what is told is the one who tells"
    # Two deadlines, and that of the sells' cancel: nothing was given up early, nothing waited for longer.
    waits = settings.trading
    least = timedelta(seconds=2 * waits.settle_timeout_s + waits.cancel_timeout_s)
    assert least <= replay.clock.now() - began < least + timedelta(seconds=FILL_DELAY_S)


def test_a_plan_waits_for_orders_of_ours_by_the_clock_that_it_is_given(settings: Settings) -> None:
    replay = at_monday(settings)
    replay.broker.submit("FRAC", "buy", "tokenomics-2026-08-31-FRAC-buy-1", notional=Decimal(100))
    began = replay.clock.now()
    assert replay.plan().created_at == began + timedelta(seconds=FILL_DELAY_S)


def test_a_venue_that_is_not_the_one_of_the_settings_is_refused_before_it_is_asked(settings: Settings) -> None:
    replay = at_monday(settings)
    elsewhere = replay.broker.venue(lambda asked: "paper = False instead of True" if asked is settings else None)
    with pytest.raises(Refused, match=r"^the broker in hand has paper = False instead of True: settings"):
        Rebalance(replay.plan(), elsewhere, replay.ledger, settings, replay.notify).run()
    assert replay.told.keys() == {FAILED}
    assert [one for one in replay.broker.orders() if not one.client_order_id.startswith("someone-")] == []


def test_a_deadline_comes_after_exactly_its_seconds() -> None:
    clock = Replayed(MONDAY)
    deadline, seen = Deadline(clock, 10.0), []
    for seconds in (0.0, 9.5, 0.5, 60.0):
        clock.wait(seconds)
        seen.append(deadline.passed)
    assert seen == [False, False, True, True]
    assert Deadline(clock, 0.0).passed
