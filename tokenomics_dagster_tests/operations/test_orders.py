"""`tokenomics orders | settle-order`: a way out for each state of an order whose end the rebalance cannot find out."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tokenomics_dagster.execution.states import REFUSED, UNKNOWN, WRITTEN_OFF
from tokenomics_dagster.interfaces.cli.main import main
from tokenomics_dagster.model.trading import Order
from tokenomics_dagster.operations.orders import Doubt, settled_row
from tokenomics_dagster.storage.records import LedgerOrder
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.test_one_order import (
    ALL,
    CANCEL,
    SEND,
    answer_with,
    filled,
    forget,
    of,
    rows,
    say,
    skipped,
    without,
)
from tokenomics_dagster_tests.execution.world import Run, World, running_world
from tokenomics_dagster_tests.rewriting import Proxy

Command = Callable[..., str]


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("orders")) as made:
        yield made


@pytest.fixture
def world(shared_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    shared_world.reset()
    shared_world.configure(trading__settle_timeout_s=0.3, trading__cancel_timeout_s=0.2)
    address = f"sqlite:///{tmp_path}/warehouse.db"
    shared_world.begin_ledger(address)
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", address)
    return shared_world


@pytest.fixture
def between(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What runs and commands see the sandbox through."""
    with world.rewritten() as proxy:
        monkeypatch.setenv("ALPACA_TRADING_URL", proxy.url)
        yield proxy


@pytest.fixture
def tokenomics(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process; what it says, in one line, and `refused` whether it must be refused."""

    def run(*arguments: str, refused: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["tokenomics", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setenv("COLUMNS", "1000")
        monkeypatch.setenv("LOGNAME", "ann")
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        assert (code == 1) == refused, said
        return " ".join((said.out + said.err).split())

    return run


def told(text: Any) -> list[str]:
    """The commands that a sentence tells to say, without its reason."""
    return re.findall(r"tokenomics (settle-order \S+ --as [a-z-]+)", str(text))


def say_so(tokenomics: Command, command: str, **options: bool) -> str:
    return tokenomics(*command.split(), "seen in the dashboard", **options)


def row_of(world: World, run: Run, symbol: str = "TRIM") -> LedgerOrder:
    found: LedgerOrder = rows(world, run)[symbol]
    return found


@pytest.fixture
def forgotten(world: World, between: Proxy) -> Run:
    """The sell of TRIM was cancelled by hand, and the broker knows nothing of it any more."""
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "TRIM"})
    between.before(CANCEL, answer_with(500))
    world.attempt(plan)
    between.clear()
    world.cancel_ours("TRIM")
    forget(between, "TRIM")
    return world.attempt(plan)


@pytest.mark.soak
def test_where_no_order_is_in_doubt_the_command_says_so(world, tokenomics):
    assert world.attempt().error is None
    assert "0 orders of account" in tokenomics("orders")


@pytest.mark.soak
def test_an_order_that_the_broker_has_forgotten_is_settled_by_the_command_that_the_sentence_names(
    world, between, forgotten, tokenomics
):
    (command,) = told(skipped(forgotten)["TRIM"])
    listed = tokenomics("orders")
    assert "1 order of account" in listed
    assert "does not find it" in listed
    assert told(listed) == [command]
    assert "no fill of it is among" in say_so(tokenomics, command.replace("canceled", "filled"), refused=True)
    assert "the broker had it" in say_so(tokenomics, command.replace("canceled", "never-sent"), refused=True)
    assert row_of(world, forgotten).status == UNKNOWN
    assert "is canceled now, by ann: seen in the dashboard" in say_so(tokenomics, command)
    row = row_of(world, forgotten)
    assert (row.status, row.filled_qty) == ("canceled", Decimal(0))
    kinds = [record.kind for record in world.ledger.audit_records(row.week)]
    assert kinds[-2:] == ["order", "settlement"]
    assert f"{row.client_order_id} as canceled: seen in the dashboard (by ann)" in tokenomics(
        "audit", "show", str(row.week), "--all"
    )
    assert "nothing is to be settled" in say_so(tokenomics, command)
    assert "cannot be settled as filled" in say_so(tokenomics, command.replace("canceled", "filled"), refused=True)
    assert "0 orders of account" in tokenomics("orders")
    run = world.attempt()
    # The broker tells nothing of the new sale either: 5 USD of cash are confirmed, too little to buy with.
    assert skipped(run).keys() == {"MORE"}
    assert set(filled(world)) == set(ALL)
    assert row_of(world, run).attempt == 2


def test_what_filled_of_a_forgotten_order_is_taken_from_the_activities(world, between, tokenomics):
    plan = world.plan()
    say(between, "TRIM", status="new")
    world.attempt(plan)
    between.clear()
    forget(between, "TRIM")
    run = world.attempt(plan)
    (command,) = told(skipped(run)["TRIM"])
    say_so(tokenomics, command.replace("canceled", "filled"))
    (order,) = [order for order in world.orders() if order.client_order_id == row_of(world, run).client_order_id]
    row = row_of(world, run)
    assert (row.status, row.filled_qty) == ("filled", order.filled_qty)


@pytest.mark.soak
def test_an_order_that_was_never_seen_is_written_off_and_its_id_never_used_again(world, between, tokenomics):
    plan = world.plan()
    between.before(SEND, answer_with(500, when=of("TRIM")))
    run = world.attempt(plan)
    lost = row_of(world, run)
    (command,) = told(tokenomics("orders"))
    assert command == f"settle-order {lost.client_order_id} --as never-sent"
    assert "was never seen at the broker" in say_so(tokenomics, command.replace("never-sent", "filled"), refused=True)
    say_so(tokenomics, command)
    assert row_of(world, run).status == WRITTEN_OFF
    between.clear()
    assert world.attempt().error is None
    (sold,) = [order for order in world.orders() if order.symbol == "TRIM" and order.client_order_id[:5] == "token"]
    assert sold.client_order_id == lost.client_order_id[:-1] + "2"


@pytest.mark.soak
def test_what_the_broker_knows_is_settled_by_its_word_only(world, between, tokenomics):
    plan = world.plan()
    run = world.attempt(plan)
    say(between, "TRIM", status="canceled", filled_qty="0")
    again = world.attempt(plan)
    (command,) = told(skipped(again)["TRIM"])
    assert told(tokenomics("orders")) == [command]
    assert "the broker says that it is canceled" in say_so(
        tokenomics, command.replace("canceled", "filled"), refused=True
    )
    say_so(tokenomics, command)
    assert (row_of(world, run).status, row_of(world, run).filled_qty) == ("canceled", Decimal(0))
    assert skipped(world.attempt(plan)) == {}


@pytest.mark.soak
def test_an_order_that_is_open_today_cannot_be_settled_and_one_of_an_earlier_session_can(world, between, tokenomics):
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "TRIM"})
    between.before(CANCEL, answer_with(500))
    run = world.attempt(plan)
    between.clear()
    say(between, "TRIM", status="pending_cancel")
    command = f"settle-order {row_of(world, run).client_order_id} --as canceled"
    assert "it is pending_cancel; cancel it" in say_so(tokenomics, command, refused=True)
    assert "waits for it, and cancels it" in tokenomics("orders")
    world.next_session()
    say_so(tokenomics, command)
    assert row_of(world, run).status == "canceled"
    assert filled(world) == without("TRIM")


def ledger_row(order: Order, status: str) -> LedgerOrder:
    """Of a sell that was sent and whose fills the ledger has not seen."""
    at = order.submitted_at
    assert at is not None
    return LedgerOrder(
        client_order_id=order.client_order_id,
        account="PA1",
        sleeve="fundamentals",
        period=at.date().isoformat(),
        plan_id="p",
        week=at.date(),
        symbol=order.symbol,
        side="sell",
        attempt=1,
        qty=order.qty,
        notional=None,
        status=status,
        broker_id=order.id,
        filled_qty=Decimal(0),
        filled_avg_price=None,
        note=None,
        created_at=at,
        updated_at=at,
    )


def test_an_order_that_was_refused_is_in_doubt_only_where_the_broker_shows_it():
    now = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
    ids = "tokenomics-2026-08-31-TRIM-sell-1", "TRIM", "sell"
    qty = Decimal(5)
    order = Order("b1", *ids, qty, None, "filled", qty, Decimal(84), now, now, "market", None)
    row = replace(ledger_row(order, status=REFUSED), broker_id=None)
    assert not Doubt(row, None).is_one
    doubt = Doubt(row, order)
    assert doubt.is_one
    assert doubt.contradiction is None
    assert settled_row(doubt, "filled", [], now).filled_qty == qty
    assert "a sell of GONE, which cannot be" in str(Doubt(row, replace(order, symbol="GONE")).contradiction)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("replaced", "nobody waits for it"),
        ("done_for_day", "nobody waits for it"),
        ("pending_cancel", "the next rebalance waits for it, and cancels it"),
    ],
)
def test_what_is_advised_of_an_open_order_is_what_the_next_rebalance_does(status, said):
    now = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
    ids = "tokenomics-2026-08-31-TRIM-sell-1", "TRIM", "sell"
    order = Order("b1", *ids, Decimal(5), None, status, Decimal(0), None, now, now, "market", None)
    assert said in Doubt(ledger_row(order, status=status), order).advice(now)


def test_an_order_that_nobody_knows_and_one_of_a_running_rebalance_cannot_be_settled(world, between, tokenomics):
    assert "there is no order nothing" in say_so(tokenomics, "settle-order nothing --as canceled", refused=True)
    account = world.broker.account().number
    with Warehouse(f"sqlite:///{world.ledger.address}").exclusive(f"rebalance-{account}"):
        assert "under way" in say_so(tokenomics, "settle-order nothing --as canceled", refused=True)
