"""What an account's books are compared with: late answers, what no order moved, equity that nobody could believe."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.execution.checks import check_orders, check_portfolio_report
from tokenomics_dagster.execution.equity import flow_since, high_without_flows
from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.execution.reconciliation import reconcile
from tokenomics_dagster.execution.report import report
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import Account, Activity, Foreign, Holdings, class_by_name
from tokenomics_dagster.providers.alpaca.activities import read_activities, read_corporate_actions
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import FillRow
from tokenomics_dagster_tests.execution.world import PRICES, SETTINGS_FILE, TARGETS, World, running_world

MONDAY = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
BLOCKED = {"trading_blocked": True}


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("books")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    shared_world.configure(trading__cash_timeout_s=10.0)
    return shared_world


def act(world: World, kind: str, **fields: Any) -> None:
    world.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, **fields})


# --- read again before alarming ---------------------------------------------------------------------------------------


def test_positions_that_are_read_late_are_read_again_before_the_books_are_called_wrong(world):
    plan = world.plan()
    old: list[Any] = []
    with world.rewritten() as proxy:
        proxy.on("GET /v2/positions", lambda answer: old.append(answer.json), calls=[1])
        proxy.on("GET /v2/positions", lambda answer: answer.become(200, old[0]), calls=[2, 3])
        outcome = world.rebalance(plan)
    assert outcome.reconciliation.discrepancies == []


def test_activities_that_are_read_late_are_read_again_before_the_books_are_called_wrong(world):
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on("GET /v2/account/activities/FILL", lambda answer: answer.become(200, []), calls=[1, 2])
        outcome = world.rebalance(plan)
    assert outcome.reconciliation.discrepancies == []


def test_books_that_stay_wrong_are_told_once_the_deadline_has_passed(world):
    world.configure(trading__cash_timeout_s=0.1)
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on("GET /v2/account/activities/FILL", lambda answer: answer.become(200, []))
        outcome = world.rebalance(plan)
    assert len(outcome.reconciliation.discrepancies) > 6


# --- fills of weeks that did not come to their end --------------------------------------------------------------------


def kept_as_at_the_broker(world: World, plan: Plan) -> bool:
    """Whether each fill since the plan is kept, with the id of its order; there are some."""
    ids = {order.id: order.client_order_id for order in world.broker.orders(after=plan.created_at)}
    at_broker = {one.id: ids.get(one.order_id) for one in world.broker.fills(after=plan.created_at)}
    kept = {one.id: one.client_order_id for one in world.ledger.fills_of(plan.account, plan.created_at)}
    return kept == at_broker and bool(kept)


def test_a_week_that_a_guard_stops_has_kept_the_fills_of_what_it_sent(world):
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.before("POST /v2/orders", lambda _: world.sandbox.admin("PUT", "/sandbox/account", BLOCKED), calls=[2])
        with pytest.raises(Refused, match="trading_blocked"):
            world.rebalance(plan)
    assert kept_as_at_the_broker(world, plan)
    assert world.ledger.orders_lacking_fills(plan.account, plan.created_at) == []


def test_the_next_week_keeps_the_fills_that_a_run_could_not_keep(world):
    world.configure(alpaca__max_attempts=1)
    plan = world.plan()
    with world.rewritten() as proxy:
        # As for a run that is killed once all is sent: nothing comes to its ledger any more.
        proxy.on("GET /v2/account/activities/FILL", lambda answer: answer.become(500, {"message": "away"}))
        with pytest.raises(ProviderError):
            world.rebalance(plan)
    assert world.ledger.fills_of(plan.account, plan.created_at) == []
    lacking = {row.client_order_id for row in world.ledger.orders_lacking_fills(plan.account, plan.created_at)}
    assert lacking == {row.client_order_id for row in world.ledger.orders_of_week(plan.account, plan.week)}
    world.next_week()
    assert world.attempt(targets=TARGETS).error is None
    assert kept_as_at_the_broker(world, plan)
    assert world.ledger.orders_lacking_fills(plan.account, plan.created_at) == []
    told = [one for one in world.ledger.audit_records(plan.week) if one.kind == "fill"]
    assert {one.payload["client_order_id"] for one in told} == lacking, "in the week in which they were filled"


# --- what no order moved ----------------------------------------------------------------------------------------------


def test_dividends_fees_interest_journal_entries_and_deposits_explain_cash(world):
    plan = world.plan()
    act(world, "dividend", symbol="KEEP", rate="0.25")
    act(world, "fee", amount="-11.02")
    act(world, "interest", amount="40.10")
    act(world, "journal", amount="-300")
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "500.00"})
    books = world.rebalance(plan).reconciliation
    assert books.discrepancies == []
    assert books.cash_found == books.cash_expected
    assert [one.split(" ")[0] for one in books.explained] == ["DIV", "FEE", "INT", "JNLC", "CSD"]


def test_a_split_that_is_booked_after_the_plan_explains_the_shares(world):
    plan = world.plan()
    world._moved.add("KEEP")
    act(world, "split", symbol="KEEP", new_rate=2, old_rate=1)
    books = world.rebalance(plan).reconciliation
    assert books.discrepancies == []
    assert [one for one in books.explained if one.startswith("KEEP: ") and one.endswith("SPLIT FSPLIT explains it")]


def reconciled(
    positions: dict[str, Decimal], *fills: tuple[str, str, str, str], cash: str, foreign: Any = (), activities: Any = ()
) -> Any:
    plan = Plan(date(2026, 8, 31), MONDAY, "PA1", Decimal(1000), Decimal(1000), MONDAY, positions, "x", ())
    rows = [
        FillRow(str(n), str(n), None, "PA1", symbol, side, Decimal(qty), Decimal(price), MONDAY)
        for n, (symbol, side, qty, price) in enumerate(fills)
    ]
    guards = load_settings(SETTINGS_FILE).guards
    holdings = Holdings(foreign=tuple(Foreign(symbol, class_by_name(symbol), None, None) for symbol in foreign))
    return reconcile(plan, rows, [], holdings, Decimal(cash), guards, activities)


def test_somebodys_crypto_and_options_move_cash_and_no_position_of_ours():
    assert reconciled({}, ("BTCUSD", "buy", "0.01", "60000"), cash="400", foreign={"BTCUSD"}).discrepancies == []
    assert reconciled({}, ("BTCUSD", "sell", "0.01", "60000"), cash="1600").discrepancies == []
    assert reconciled({}, ("AAPL260918C00250000", "sell", "1", "2.50"), cash="1250").discrepancies == []
    assert len(reconciled({}, ("AAPL", "buy", "1", "100"), cash="900").discrepancies) == 1


# --- equity that nobody could believe ---------------------------------------------------------------------------------


def test_one_reading_of_a_doubled_equity_moves_no_high_and_halts_nothing(world):
    with world.rewritten() as proxy:
        plan = world.plan()
        doubled = lambda answer: answer.json.update(equity=str(2 * Decimal(answer.json["equity"])))  # noqa: E731
        proxy.clear()
        proxy.on("GET /v2/account", doubled, calls=[1])
        assert world.rebalance(plan).reconciliation.discrepancies == []
    assert max(equity for _, equity in world.ledger.equity_marks(plan.account)) < 101_000
    assert world.ledger.halted() is None


def test_an_equity_that_positions_and_cash_never_make_stops_the_run_and_is_not_marked(world):
    world.configure(trading__cash_timeout_s=0.1)
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on("GET /v2/account", lambda answer: answer.json.update(equity="50000"))
        with pytest.raises(Refused, match=r"50,000\.00 USD of equity, its positions and cash make 99,9\d\d"):
            world.rebalance(plan)
    assert world.ledger.equity_marks(plan.account) == []
    assert world.ledger.halted() is None, "a wrong reading is no loss"


def test_a_withdrawal_is_no_loss_and_a_deposit_no_gain(world):
    account = world.broker.account()
    world.configure(guards__max_sold_pct=100.0, guards__max_turnover_pct=200.0)
    world.ledger.mark_equity(account.number, account.equity, world.now() - timedelta(days=1))
    for amount, equity in (("-15000", 85_000), ("40000", 125_000)):
        world.sandbox.admin("POST", "/sandbox/cash", {"amount": amount})
        assert abs(world.equity() - equity) < 100
        assert world.attempt().error is None
        assert world.ledger.halted() is None
    world.move({symbol: price * Decimal("0.6") for symbol, price in PRICES.items()})
    world.configure(guards__max_daily_loss_pct=99.0)
    with pytest.raises(Refused, match=r"3\d\.\d % below its high"):
        world.rebalance(world.plan())


amounts = st.integers(-30_000, 90_000).map(Decimal)


@given(st.lists(st.tuples(amounts, st.floats(0.8, 1.2)), min_size=1, max_size=8))
def test_the_drawdown_is_blind_to_what_is_paid_in_and_out(moves):
    """Two accounts of the same returns, one with flows: both are as far below their highs."""
    at, flows = MONDAY, []
    with_flows, without = [(at, Decimal(200_000))], [(at, Decimal(200_000))]
    for paid, returned in moves:
        at += timedelta(days=7)
        factor = Decimal(returned)
        paid = max(paid, 1 - with_flows[-1][1] * factor / 2)
        with_flows.append((at, with_flows[-1][1] * factor + paid))
        without.append((at, without[-1][1] * factor))
        flows.append(Activity(str(at), "CSD", "", "", paid, None, at))
    highs = [high_without_flows(with_flows, flows), high_without_flows(without, [])]
    assert highs[0] is not None
    assert highs[1] is not None
    assert with_flows[-1][1] / highs[0] == pytest.approx(without[-1][1] / highs[1])
    assert high_without_flows(without, []) == pytest.approx(max(equity for _, equity in without))


def told(amount: int, day: str) -> list[Activity]:
    """As a broker that tells the day alone."""
    row = {"activity_type": "CSD" if amount > 0 else "CSW", "id": day, "date": day, "net_amount": str(amount)}
    return list(read_activities([row]))


@pytest.mark.parametrize(
    ("amount", "equities", "high"),
    [
        (-35_000, (100_000, 100_000, 65_000), 65_000),  # after the mark of its day
        (-35_000, (100_000, 65_000, 65_000), 65_000),  # before it
        (35_000, (100_000, 100_000, 135_000), 135_000),
        (-35_000, (100_000, 65_000), 65_000),  # of today
        (-35_000, (65_000,), 65_000),
        (-35_000, (100_000, 100_000, 45_500), 45_500 / 0.805),  # 19.5 % were lost beside it
    ],
)
def test_a_withdrawal_that_is_told_by_its_day_only_is_no_loss(amount, equities, high):
    marks = [(MONDAY + timedelta(days=n), Decimal(equity)) for n, equity in enumerate(equities)]
    assert high_without_flows(marks, told(amount, "2026-09-01")) == pytest.approx(Decimal(high))


@pytest.mark.parametrize(("equity", "counted"), [(65_000, -35_000), (99_000, 0), (60_000, -35_000)])
def test_what_is_told_by_the_day_of_the_previous_close_counts_where_it_explains_the_move(equity, counted):
    account = Account("PA1", "ACTIVE", Decimal(0), Decimal(equity), Decimal(100_000), "USD", False, False, False)
    closed_at = MONDAY.replace(hour=20)
    assert flow_since(told(-35_000, "2026-08-31"), closed_at, account) == counted
    assert flow_since(told(-35_000, "2026-09-01"), closed_at, account) == -35_000, "surely after it"
    assert flow_since(told(-35_000, "2026-08-28"), closed_at, account) == 0


@pytest.mark.parametrize("cash", ["1000", "988.98"])
def test_a_fee_that_is_told_by_its_day_only_explains_cash_where_it_came_after_the_plan(cash):
    fee = [*read_activities([{"activity_type": "FEE", "id": "1", "date": "2026-08-31", "net_amount": "-11.02"}])]
    assert reconciled({}, cash=cash, activities=fee).discrepancies == []
    assert len(reconciled({}, cash="900", activities=fee).discrepancies) == 1


def test_activities_of_the_day_without_an_hour_are_asked_for_with_those_since(world):
    entries = [{"activity_type": "FEE", "id": "1", "date": "2026-08-31", "net_amount": "-1"}]
    entries += [{**entries[0], "id": "2", "created_at": "2026-08-31T14:00:00Z"}]
    with world.rewritten() as proxy:
        proxy.on("GET /v2/account/activities", lambda answer: answer.become(200, entries))
        with world.connect() as broker:
            found = broker.activities(after=MONDAY)
    assert [one.id for one in found] == ["1"]


@pytest.mark.parametrize(
    ("status", "counts"),
    [("executed", True), ("correct", True), (None, True), ("pending", False), ("canceled", False), ("queued", False)],
)
def test_what_was_not_carried_out_moves_neither_cash_nor_shares(status, counts):
    """Corrected by the broker's staff is as good as carried out, says its documentation."""
    row = {"date": "2026-09-01", "net_amount": "20000", "status": status}
    rows = [{**row, "id": kind, "activity_type": kind} for kind in ("CSD", "SPLIT")]
    assert [one.type for one in read_activities(rows)] == (["CSD", "SPLIT"] if counts else [])


@pytest.mark.parametrize(
    ("kind", "amount", "cash"),
    [
        ("CSW", "6000", -6000),
        ("CSW", "-6000", -6000),
        ("CSD", "6000", 6000),
        ("CSD", "-6000", 6000),
        ("JNLC", "6000", 6000),
        ("JNLC", "-6000", -6000),
        ("FEE", "-1.5", Decimal("-1.5")),
        ("INT", "-2", -2),
        ("DIV", "3", 3),
        ("DIVNRA", "-1", -1),
    ],
)
def test_a_withdrawal_takes_cash_and_a_deposit_brings_it_whatever_sign_its_amount_has(kind, amount, cash):
    row = {"activity_type": kind, "id": "1", "date": "2026-09-01", "net_amount": amount, "status": "executed"}
    assert [one.cash for one in read_activities([row])] == [cash]


# --- exact words ------------------------------------------------------------------------------------------------------


def test_an_order_that_would_not_be_cancelled_is_counted_once():
    rows = [(f"id-{n}", f"S{n}", "pending_cancel", None) for n in range(19)]
    orders = pd.DataFrame(rows, columns=["client_order_id", "symbol", "status", "note"])
    stuck = [f"sell S{n} (pending_cancel)" for n in range(19)]
    final = next(one for one in check_orders(orders, [*stuck, "sell OTHER (new)"], []) if one.name == "final")
    assert final.description.startswith("20 orders are not final")


def test_rows_that_cannot_be_read_cost_only_themselves():
    rows = [
        None,
        {"activity_type": "DIV"},
        {"id": "1", "activity_type": "FILL", "created_at": "2026-08-31T10:00:00Z"},
        {"id": "2", "activity_type": "DIV", "date": "2026-08-31", "net_amount": "1.5", "symbol": "T"},
        {"id": "3", "activity_type": "FEE", "date": "2026-08-31", "net_amount": "-1", "status": "canceled"},
        {"id": "4", "activity_type": "CFEE", "date": "2026-08-31", "net_amount": "0", "symbol": "BTC/USD"},
    ]
    read = [(one.id, one.symbol, one.cash) for one in read_activities(rows)]
    assert read == [("2", "T", Decimal("1.5")), ("4", "BTCUSD", 0)]
    row = {"symbol": "B", "ex_date": "2026-08-31", "new_rate": 3, "old_rate": 2}
    body = {"corporate_actions": {"forward_splits": [{"symbol": "A"}, None, row]}}
    (split,) = read_corporate_actions(body)
    assert (split.symbol, split.ratio, split.effective) == ("B", Decimal("1.5"), date(2026, 8, 31))
    assert list(read_corporate_actions({"corporate_actions": None})) == list(read_corporate_actions([])) == []


@pytest.mark.parametrize("price", ["0", None])
def test_a_position_without_a_market_is_shown_as_worth_nothing_and_named(world, price):
    listing = world.sandbox.admin("GET", "/sandbox/listings/SPAR")
    world.sandbox.admin("POST", "/sandbox/listings", {**listing, "symbol": f"DEAD{price}", "price": "9.73"})
    world.submit(f"DEAD{price}", "buy", qty=Decimal(100))
    world.wait_until_filled()
    act(world, "delisting", symbol=f"DEAD{price}", price=price)
    account, positions = world.broker.account(), world.broker.positions()
    frame = report(TARGETS, positions, account.equity, set(positions) - set(world.broker.assets()))
    row = frame.set_index("symbol").loc[f"DEAD{price}"]
    assert (row["qty"], row["value"], row["weight"]) == (100, 0, 0)
    adds_up, _ = check_portfolio_report(frame, account.equity, account.cash, [], world.settings.guards)
    assert adds_up.passed
    assert adds_up.description.endswith(f"DEAD{price} have no market and count as 0 USD")
    run = world.attempt()
    assert run.error is None
    assert run.outcome.reconciliation.discrepancies == []
