"""Weeks of a rebalanced account in any order of events: what must never be is looked for after each of them.

The market moves, faults strike calls and orders, the process is killed anywhere and started again, somebody else
trades, pays in and takes out, trading is halted and resumed, weeks go by. At the end, left alone, the account reaches
its targets.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.portfolio.plan import Plan
from tokenomics_dagster.sandbox.faults import ORDER_KINDS
from tokenomics_dagster_tests.execution.world import HELD, MONDAY, PRICES, TARGETS, Crash, Fuse, World, running_world

SYMBOLS = st.sampled_from(sorted(PRICES))
# The kinds that reach a run at once; those of time are in test_fault_matrix.py.
CALL_FAULTS = st.builds(
    lambda kind, endpoint, call: {"kind": kind, "endpoint": endpoint, "calls": [call]},
    st.sampled_from(["lost_answer", "500", "duplicate", "truncated"]),
    st.sampled_from(["POST /v2/orders", "GET /v2/orders*", "DELETE /v2/orders/*", "GET /v2/account", "* /v2/*"]),
    st.integers(1, 6),
)
ORDER_FAULTS = st.builds(
    lambda kind, symbol: [{"kind": kind, "symbol": symbol}]
    + ([{"kind": "halt", "symbol": symbol}] if kind == "cancel_sticks" else []),
    st.sampled_from(ORDER_KINDS),
    SYMBOLS,
)
TARGET_SETS = st.dictionaries(SYMBOLS, st.integers(1, 20), min_size=2, max_size=7).map(
    lambda parts: {symbol: part / max(sum(parts.values()), 24) for symbol, part in parts.items()}
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("model")) as made:
        yield made


class Trading(RuleBasedStateMachine):
    """One account; `world` is put back to its start by each sequence."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.targets: dict[str, float] = TARGETS
        self.plan: Plan | None = None
        self.faults: list[dict[str, Any]] = []

    @initialize()
    def begin(self) -> None:
        self.world.reset()
        self.world.configure(
            alpaca__max_attempts=1,
            trading__settle_timeout_s=0.1,
            trading__cancel_timeout_s=0.05,
            # Paying in and out looks like gain and loss, and whole new targets like a plan that somebody should see;
            # both rules are shown in test_behaviour.py.
            guards__max_daily_loss_pct=100.0,
            guards__max_drawdown_pct=100.0,
            guards__max_sold_pct=100.0,
            guards__max_turnover_pct=500.0,
        )

    @rule(wanted=TARGET_SETS)
    def choose_targets(self, wanted: dict[str, float]) -> None:
        self.targets = wanted

    @rule(symbol=SYMBOLS, pct=st.integers(-12, 12))
    def move_market(self, symbol: str, pct: int) -> None:
        price = self.world.broker.snapshots([symbol])[symbol].price
        assert price is not None
        self.world.move({symbol: (price * (100 + pct) / 100).quantize(Decimal("0.01"))})

    @rule(fault=CALL_FAULTS)
    def break_a_call(self, fault: dict[str, Any]) -> None:
        self.faults.append(fault)

    @rule(faults=ORDER_FAULTS)
    def break_an_order(self, faults: list[dict[str, Any]]) -> None:
        self.faults += faults

    @rule()
    def rebalance(self) -> None:
        self._run(None, None)

    @rule(point=st.integers(0, 160))
    def rebalance_and_be_killed(self, point: int) -> None:
        self._run(None, Fuse(point))

    @precondition(lambda self: self.plan is not None)
    @rule(point=st.none() | st.integers(0, 100))
    def start_again_with_the_same_plan(self, point: int | None) -> None:
        self._run(self.plan, Fuse(point))

    def _run(self, plan: Plan | None, fuse: Fuse | None) -> None:
        world = self.world
        faults, self.faults = self.faults, []
        world.faults(*faults)
        halted = world.ledger.halted()
        run = world.attempt(plan, self.targets, fuse)
        self.plan = run.plan or self.plan
        if halted is not None:
            assert run.sent == []
            assert isinstance(run.error, Refused | Crash) or faults
        if run.outcome is not None and run.plan is not None:
            found = [flaw for flaw in world.books(run) if not flaw.startswith("cash is")]
            assert found == []

    @precondition(lambda self: self.world.ledger.halted() is None)
    @rule()
    def halt(self) -> None:
        self.world.ledger.halt("drill", by="model", at=MONDAY)

    @precondition(lambda self: self.world.ledger.halted() is not None)
    @rule()
    def resume(self) -> None:
        self.world.ledger.resume("drill over", by="model", at=MONDAY)

    @rule(share=st.floats(-0.9, 0.5))
    def pay_in_or_out(self, share: float) -> None:
        power = self.world.broker.account().buying_power
        usd = (power * Decimal(str(share))).quantize(Decimal("0.01"))
        if usd:
            self.world.sandbox.admin("POST", "/sandbox/cash", {"amount": str(usd)})

    @rule(symbol=SYMBOLS, side=st.sampled_from(["buy", "sell"]), waits=st.booleans())
    def somebody_else_trades(self, symbol: str, side: str, waits: bool) -> None:
        world = self.world
        account = world.broker.account()
        price = PRICES[symbol]
        held = world.broker.positions().get(symbol)
        enough = account.buying_power > 2 * price if side == "buy" else held is not None and held.qty_available >= 1
        if not enough or any(order.symbol == symbol for order in world.broker.orders(status="open")):
            return
        far = {"order_type": "limit", "limit_price": (price / 4 if side == "buy" else price * 4).quantize(Decimal("1"))}
        world.submit(symbol, side, qty=Decimal(1), **(far if waits else {}))
        if not waits:
            while any(o.symbol == symbol for o in world.broker.orders(status="open")):
                pass

    @rule()
    def somebody_else_cancels(self) -> None:
        self.world.cancel_foreign()

    @rule(cancel=st.booleans())
    def decide_about_foreign_orders(self, cancel: bool) -> None:
        self.world.configure(trading__foreign_orders="cancel" if cancel else "skip")

    @rule()
    def a_day_goes_by(self) -> None:
        self.world.next_session()

    @rule()
    def a_week_goes_by(self) -> None:
        self.world.next_week()

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.world.wrongs() == []

    def teardown(self) -> None:
        """Undisturbed, the account reaches its targets within the filters: another plan has nothing to do."""
        world = self.world
        if world.ledger.halted() is not None:
            world.ledger.resume("the end", by="model", at=MONDAY)
        world.next_week()  # whatever was open has expired, and the last close is the price of today
        run = world.attempt(targets=self.targets)
        assert run.error is None
        assert run.plan is not None
        assert world.books(run) == []
        assert world.wrongs() == []
        assert world.plan(self.targets).orders == ()


def run_model(world: World, sequences: int, steps: int, *, derandomize: bool) -> None:
    class Bound(Trading):
        pass

    Bound.world = world
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_events_makes_it_trade_wrongly(world):
    assert HELD.keys() - TARGETS.keys()  # an exit is due from the start
    run_model(world, 20, 12, derandomize=True)


@pytest.mark.soak
def test_no_order_of_very_many_events_makes_it_trade_wrongly(world):
    run_model(world, 80, 25, derandomize=False)
