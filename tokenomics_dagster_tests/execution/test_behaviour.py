"""What the rebalance does on the sandbox, rule by rule: doubt, recovery, other people's orders, money, guards, books.

That the rules hold under every fault and in every order of events is shown in test_fault_matrix.py and test_model.py.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenomics_dagster.execution.guards import MustHalt, Refused
from tokenomics_dagster.execution.quotes import limit_price
from tokenomics_dagster.execution.rebalance import Unresolved
from tokenomics_dagster.execution.states import ABANDONED, UNKNOWN
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.world import (
    HELD,
    MONDAY,
    PRICES,
    TARGETS,
    WHOLE_SHARES,
    Crash,
    World,
    amount,
    is_ours,
    running_world,
)

SEND, LOOK_UP = "POST /v2/orders", "GET /v2/orders:by_client_order_id"
CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("behaviour")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


@pytest.fixture
def webhook(world: World) -> Iterator[list[dict[str, str]]]:
    """What a real server that is the webhook of the runs has been told."""
    told: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
            told.append({"title": text.splitlines()[0].strip("*")})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        world.webhook = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def ours(world: World) -> dict[tuple[str, str], Any]:
    """Our orders at the broker by symbol and side; no more than one of each is expected."""
    orders = [order for order in world.orders() if is_ours(order)]
    found = {(order.symbol, order.side): order for order in orders}
    assert len(found) == len(orders)
    return found


def once(action: Callable[[], object]) -> Callable[[float], None]:
    """A way to wait that does something else the first time: what happens while a rebalance waits."""
    pending = [action]

    def sleep(seconds: float) -> None:
        if pending:
            pending.pop()()
        time.sleep(seconds)

    return sleep


def all_filled(world: World, count: int = 6) -> None:
    orders = ours(world)
    assert {order.status for order in orders.values()} == {"filled"}
    assert len(orders) == count
    assert world.wrongs() == []


# --- doubt ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost_answer", "lost_answer_504", "malformed_json", "truncated", "duplicate", "slow"])
def test_an_order_whose_answer_was_lost_is_looked_up_and_adopted(world, kind):
    if kind == "slow":
        world.configure(alpaca__timeout_s=0.4)
    plan = world.plan()
    seconds = {"seconds": 1} if kind == "slow" else {}
    world.faults({"kind": kind, "endpoint": SEND, "calls": [2], **seconds})
    world.rebalance(plan)
    assert world.calls(SEND) == len(plan.orders)
    assert world.calls(LOOK_UP) == 1
    all_filled(world)


@pytest.mark.parametrize("kind", ["timeout", "500", "502_html", "503", "504"])
def test_an_order_that_never_arrived_is_sent_again_under_the_same_id(world, kind):
    if kind == "timeout":
        world.configure(alpaca__timeout_s=0.4)
    plan = world.plan()
    world.faults({"kind": kind, "endpoint": SEND, "calls": [5]})
    world.rebalance(plan)
    assert world.calls(SEND) == len(plan.orders) + 1
    assert world.calls(LOOK_UP) >= 1
    assert {order.client_order_id.rpartition("-")[2] for order in world.orders() if is_ours(order)} == {"1"}
    all_filled(world)


def test_an_order_that_stays_unknown_stops_what_follows_and_alerts(world, webhook, caplog):
    plan = world.plan()
    world.faults({"kind": "500", "endpoint": SEND, "calls": [2, 3]})
    with caplog.at_level(logging.ERROR, "tokenomics.alerts"), pytest.raises(Unresolved, match="sell TRIM"):
        world.rebalance(plan)
    assert ours(world).keys() == {("GONE", "sell")}
    rows = {row.symbol: row for row in world.ledger.orders_of_week(plan.account, plan.week)}
    assert rows["TRIM"].status == UNKNOWN
    assert rows["GONE"].status == "filled"
    assert [one["title"] for one in webhook] == ["order lost: sell TRIM"]
    assert "order lost: sell TRIM" in caplog.text
    assert world.wrongs() == []
    world.faults()
    world.rebalance(plan)
    all_filled(world)
    assert {row.attempt for row in world.ledger.orders_of_week(plan.account, plan.week)} == {1}


@pytest.mark.parametrize(("written", "address"), [("FINNHUB_API_KEY=new\n", ""), ("", "http://[")])
def test_a_lost_order_is_in_the_ledger_even_if_nobody_can_be_told(world, monkeypatch, tmp_path, written, address):
    plan = world.plan()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINNHUB_API_KEY", "old")
    world.webhook = address
    (tmp_path / ".env").write_text(written)
    world.faults({"kind": "500", "endpoint": SEND, "calls": [2, 3]})
    with pytest.raises(Unresolved, match="sell TRIM"):
        world.rebalance(plan)
    rows = {row.symbol: row for row in world.ledger.orders_of_week(plan.account, plan.week)}
    assert rows["TRIM"].status == UNKNOWN


def test_nothing_is_sent_again_while_it_cannot_be_looked_up(world, webhook):
    plan = world.plan()
    world.faults(
        {"kind": "lost_answer", "endpoint": SEND, "calls": [4]},
        {"kind": "503", "endpoint": LOOK_UP},
    )
    with pytest.raises(Unresolved, match="buy FRAC"):
        world.rebalance(plan)
    assert world.calls(SEND) == 4
    assert [one["title"] for one in webhook] == ["order lost: buy FRAC"]
    world.faults()
    world.rebalance(plan)
    all_filled(world)
    assert world.calls(SEND) == 6


def test_an_order_that_arrives_late_is_found_and_not_sent_again(world):
    world.configure(trading__lookup_grace_s=0.5)
    plan = world.plan({**HELD, "SPAR": 0.19})
    (buy,) = plan.orders
    late = once(
        lambda: world.broker.submit(
            "SPAR", "buy", f"tokenomics-fundamentals-{plan.week}-SPAR-buy-1", notional=buy.notional
        )
    )
    world.faults({"kind": "500", "endpoint": SEND, "calls": [1]})
    world.rebalance(plan, sleep=late)
    assert world.calls(SEND) == 2  # ours without answer, and its late arrival
    all_filled(world, 1)


def test_a_second_sending_that_is_refused_is_named_with_the_reason(world):
    world.configure(trading__lookup_grace_s=0.5)
    plan = world.plan()
    world.faults({"kind": "500", "endpoint": SEND, "calls": [2]})
    bid = {"notional": None, "qty": Decimal(1), "limit_price": Decimal("10.00")}
    outcome = world.rebalance(plan, sleep=once(lambda: world.submit("TRIM", "buy", **bid)))
    assert "wash trade" in outcome.skipped["TRIM"]
    assert {row.status for row in outcome.orders if row.symbol == "TRIM"} == {ABANDONED}, "the first may still come"
    all_filled(world, 5)


# --- recovery ---------------------------------------------------------------------------------------------------------


def test_an_empty_ledger_is_filled_from_the_broker_and_nothing_is_sent_twice(world):
    plan = world.plan()
    world.rebalance(plan)
    holdings, cash = world.holdings(), world.cash()
    world.ledger.close()
    world.ledger = Warehouse("sqlite://")
    outcome = world.rebalance(plan)
    assert world.calls(SEND) == 6
    assert (world.holdings(), world.cash()) == (holdings, cash)
    assert len(outcome.orders) == 6
    all_filled(world)


def test_an_order_that_never_arrived_keeps_its_id_when_its_plan_is_replaced(world):
    first = world.plan()
    world.faults({"kind": "500", "endpoint": SEND, "calls": [1, 2]})
    with pytest.raises(Unresolved):
        world.rebalance(first)
    world.faults()
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "100.00"})
    second = world.plan()
    assert second.plan_id != first.plan_id
    world.rebalance(second)
    (row,) = (r for r in world.ledger.orders_of_week(first.account, first.week) if r.symbol == "GONE")
    assert (row.client_order_id, row.status) == (f"tokenomics-fundamentals-{first.week}-GONE-sell-1", "filled")
    all_filled(world)


def test_an_order_that_never_arrived_and_that_no_plan_wants_any_more_is_abandoned(world):
    first = world.plan()
    world.faults({"kind": "500", "endpoint": SEND, "calls": [1, 2]})
    with pytest.raises(Unresolved):
        world.rebalance(first)
    world.faults()
    second = world.plan({**TARGETS, "GONE": 0.10, "MORE": 0.03})
    world.rebalance(second)
    (row,) = (r for r in world.ledger.orders_of_week(first.account, first.week) if r.symbol == "GONE")
    assert row.status == ABANDONED
    all_filled(world, 5)


def test_an_open_order_that_the_ledger_has_lost_is_waited_for_however_old_it_is(world):
    world.configure(trading__settle_timeout_s=0.1)
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "TRIM"})
    with pytest.raises(Crash):
        world.rebalance(plan, sleep=once(die))
    world.set_clock(MONDAY + timedelta(minutes=10))
    world.ledger.close()
    world.ledger = Warehouse("sqlite://")
    outcome = world.rebalance(plan)
    assert outcome.stuck == []
    assert {row.symbol: row.status for row in outcome.orders}["TRIM"] == "canceled"
    assert world.wrongs() == []


def die() -> None:
    raise Crash


def crash_while_the_sells_are_open(world: World) -> Any:
    plan = world.plan()
    world.faults({"kind": "slow_fill", "symbol": "TRIM"})
    with pytest.raises(Crash):
        world.rebalance(plan, sleep=once(die))
    world.faults()
    assert {side for _, side in ours(world)} == {"sell"}
    assert ours(world)["TRIM", "sell"].status in ("pending_new", "new", "partially_filled")
    return plan


def test_buys_wait_for_sells_of_a_run_that_was_killed_whatever_the_quote_says_now(world):
    plan = crash_while_the_sells_are_open(world)
    world.move({"TRIM": PRICES["TRIM"] * Decimal("1.4")})
    outcome = world.rebalance(plan)
    all_filled(world)
    assert {row.status for row in outcome.orders} == {"filled"}


def test_buys_wait_for_sells_of_a_run_that_was_killed_whoever_else_trades_the_symbol_now(world):
    plan = crash_while_the_sells_are_open(world)
    world.submit("TRIM", "sell", qty=Decimal(1), limit_price=Decimal("500.00"))
    world.rebalance(plan)
    all_filled(world)


def test_a_buy_that_is_sent_again_must_still_be_paid_for(world):
    plan = world.plan()
    world.faults({"kind": "500", "endpoint": SEND, "calls": [4, 5]})
    with pytest.raises(Unresolved, match="buy FRAC"):
        world.rebalance(plan)
    world.faults()
    world.configure(guards__max_daily_loss_pct=100.0, guards__max_drawdown_pct=100.0)
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "-45000.00"})
    outcome = world.rebalance(plan)
    assert outcome.skipped["FRAC"].startswith("not enough cash")
    assert ("FRAC", "buy") not in ours(world)
    assert world.wrongs() == []


# --- other people's orders --------------------------------------------------------------------------------------------


def test_a_symbol_with_a_foreign_order_is_left_alone_and_named(world):
    plan = world.plan()
    foreign = world.submit("TRIM", "sell", qty=Decimal(1), limit_price=Decimal("500.00"))
    outcome = world.rebalance(plan)
    assert outcome.skipped["TRIM"] == f"somebody else's order is open: sell, id {foreign.client_order_id}"
    assert ours(world).keys() == {("GONE", "sell"), ("WHOL", "sell"), ("FRAC", "buy"), ("LUMP", "buy"), ("MORE", "buy")}
    assert [order.id for order in world.broker.orders(status="open")] == [foreign.id]
    assert world.wrongs() == []


def test_foreign_orders_are_cancelled_before_anything_is_sent_where_the_settings_say_so(world):
    world.configure(trading__foreign_orders="cancel")
    plan = world.plan()
    hold = world.submit("GONE", "sell", qty=world.holdings()["GONE"], limit_price=Decimal("500.00"))
    bid = world.submit("TRIM", "buy", qty=Decimal(1), limit_price=Decimal("10.00"))
    world.rebalance(plan)
    foreign = {order.id: order for order in world.orders() if not is_ours(order)}
    assert {foreign[hold.id].status, foreign[bid.id].status} == {"canceled"}
    assert "GONE" not in world.holdings()
    all_filled(world)


def test_cash_of_an_open_order_that_is_not_cancelled_is_not_planned_with(world):
    world.configure(trading__foreign_orders="cancel")
    limit = {"limit_price": Decimal("1.00")}
    kept = [world.submit(symbol, "buy", qty=Decimal(5_000), **limit) for symbol in ("SPAR", "KEEP")]
    gone = world.submit("FRAC", "buy", qty=Decimal(5_000), **limit)
    outcome = world.rebalance(world.plan({**HELD, "FRAC": 0.20}))
    assert (outcome.skipped, outcome.cuts, outcome.fulfilment.shortfalls) == ({}, {}, ())
    assert {order.id for order in world.broker.orders(status="open")} == {order.id for order in kept}
    assert next(order for order in world.orders() if order.id == gone.id).status == "canceled"
    assert ours(world)["FRAC", "buy"].notional == pytest.approx(Decimal(9_750), abs=50)  # 20,000 less what the two take


def test_a_foreign_order_that_cannot_be_cancelled_costs_its_symbol_only(world):
    world.configure(trading__foreign_orders="cancel", trading__cancel_timeout_s=0.05)
    plan = world.plan()
    world.submit("TRIM", "sell", qty=Decimal(1), limit_price=Decimal("500.00"))
    world.faults({"kind": "cancel_sticks", "symbol": "TRIM"})
    outcome = world.rebalance(plan)
    assert "somebody else's order" in outcome.skipped["TRIM"]
    all_filled(world, 5)


# --- settling ---------------------------------------------------------------------------------------------------------


def test_a_sell_that_does_not_fill_is_cancelled_and_its_money_is_not_spent(world):
    world.configure(trading__settle_timeout_s=0.2)
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "TRIM"})
    outcome = world.rebalance(plan)
    assert ours(world)["TRIM", "sell"].status == "canceled"
    assert outcome.stuck == []
    # Of three buys the last one has to make do with what is left.
    assert ours(world)["MORE", "buy"].notional < plan.orders[-1].notional
    assert world.cash() >= world.equity() * Decimal("0.0025") - CENT
    assert world.wrongs() == []


def test_a_cancel_that_sticks_is_alerted_and_the_buys_use_what_is_confirmed(world, webhook):
    world.configure(trading__settle_timeout_s=0.2, trading__cancel_timeout_s=0.1)
    plan = world.plan()
    world.faults({"kind": "stuck_partial", "symbol": "TRIM"}, {"kind": "cancel_sticks", "symbol": "TRIM"})
    run = world.attempt(plan)
    assert run.error is None
    assert run.outcome.stuck == ["sell TRIM (pending_cancel)"]
    titles = ["1 of 3 sells are not final after a cancel", "10 % of the plan of 2026-08-31 was not traded"]
    assert [one["title"] for one in webhook] == titles
    sold = ours(world)["TRIM", "sell"]
    assert sold.status == "pending_cancel"
    assert 0 < sold.filled_qty < sold.qty
    assert ours(world)["FRAC", "buy"].status == "filled"
    assert world.cash() >= world.equity() * Decimal("0.0025") - CENT
    assert world.wrongs() == []
    # The name is left alone until the order is gone.
    assert "TRIM" not in {order.symbol for order in world.plan().orders}


def test_open_orders_are_watched_with_one_call_per_poll(world):
    world.configure(trading__poll_interval_s=0.1)
    plan = world.plan()
    world.sandbox.admin("DELETE", "/sandbox/calls")
    world.faults({"kind": "slow_fill", "side": "sell"})
    world.rebalance(plan)
    # 0.4 s of selling and an instant of buying, beside recovery, the look for foreign orders, and the cash they hold
    assert world.calls("GET /v2/orders") <= 3 + 6 + 3
    assert world.calls("GET /v2/orders/{order_id}") == 0


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_amounts_follow_what_the_asset_allows(world):
    plan = world.plan()
    investable = plan.equity * Decimal("0.9975")
    world.rebalance(plan)
    orders = ours(world)
    assert orders["FRAC", "buy"].notional == (investable * Decimal("0.20")).quantize(CENT, ROUND_DOWN)
    assert orders["LUMP", "buy"].qty == investable * Decimal("0.15") // PRICES["LUMP"]
    assert orders["WHOL", "sell"].qty == (94 * PRICES["WHOL"] - investable * Decimal("0.10")) // PRICES["WHOL"]
    assert orders["TRIM", "sell"].qty != orders["TRIM", "sell"].qty.to_integral_value()
    assert ("KEEP", "buy") not in orders


def test_an_exit_sells_all_that_is_there_now(world):
    plan = world.plan()
    world.submit("GONE", "buy", qty=Decimal("0.123456789"))
    world.wait_until_filled()
    held = world.holdings()["GONE"]
    world.rebalance(plan)
    assert ours(world)["GONE", "sell"].qty == held
    assert "GONE" not in world.holdings()
    assert world.wrongs() == []


def test_no_more_is_sold_than_is_there_now(world):
    plan = world.plan()
    held = world.holdings()
    world.submit("GONE", "sell", qty=held["GONE"])
    world.submit("TRIM", "sell", qty=held["TRIM"] - 10)
    world.wait_until_filled()
    outcome = world.rebalance(plan)
    assert outcome.skipped["GONE"].startswith("0 shares are available")
    assert outcome.skipped["TRIM"].startswith("10 shares are held, the plan was made with 356.")
    assert world.holdings()["TRIM"] == 10, "what is left of a name that is wanted is not sold for an old plan"
    assert world.wrongs() == []


@pytest.mark.parametrize(
    ("free", "sent", "reason"),
    [("0.2", None, "were to be sold, rebalancing.min_trade_usd is 100.0"), ("10", Decimal(10), "were to be sold")],
)
def test_of_shares_that_another_order_holds_the_rest_is_sold_unless_it_is_next_to_nothing(world, free, sent, reason):
    plan = world.plan()

    def held_by_another(answer):
        for row in answer.json:
            if row["symbol"] == "TRIM":
                row["qty_available"] = free

    with world.rewritten() as proxy:
        proxy.on("GET /v2/positions", held_by_another)
        outcome = world.rebalance(plan)
    order = ours(world).get(("TRIM", "sell"))
    assert (order and order.qty) == sent
    told = outcome.skipped if sent is None else outcome.cuts
    assert told["TRIM"].startswith(f"{free} shares are available, ")
    assert told["TRIM"].endswith(reason)


def test_the_most_underweight_names_come_first_when_cash_is_short(world):
    plan = world.plan({**HELD, "KEEP": 0.30, "MORE": 0.05})
    assert [order.symbol for order in plan.orders] == ["MORE", "KEEP"]
    world.configure(guards__max_daily_loss_pct=100.0)
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "-13000.00"})
    world.rebalance(plan)
    orders = ours(world)
    assert orders["MORE", "buy"].notional == plan.orders[0].notional
    assert 0 < orders["KEEP", "buy"].notional < plan.orders[1].notional
    assert 0 <= world.cash() - world.equity() * Decimal("0.0025") < 1
    assert world.wrongs() == []


def test_a_buy_that_no_cash_is_left_for_is_skipped_with_its_reason(world):
    plan = world.plan({**HELD, "KEEP": 0.30, "MORE": 0.05})
    world.configure(guards__max_daily_loss_pct=100.0)
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": str(5150 - world.cash())})
    outcome = world.rebalance(plan)
    assert ours(world).keys() == {("MORE", "buy")}
    assert outcome.skipped["KEEP"].startswith("not enough cash: 0.")
    assert world.wrongs() == []


@pytest.mark.parametrize(
    ("price", "words"), [(PRICES["TRIM"] * 2, "far from the previous close"), (Decimal("1.00"), "spread too wide")]
)
def test_a_bad_quote_skips_its_symbol(world, price, words):
    plan = world.plan()
    world.move({"TRIM": price})
    world.configure(guards__max_daily_loss_pct=100.0)
    outcome = world.rebalance(plan)
    assert words in outcome.skipped["TRIM"]
    all_filled(world, 5)


def test_too_many_bad_quotes_stop_the_run(world, webhook):
    world.configure(guards__min_flawed_names=2)
    plan = world.plan()
    world.move({symbol: PRICES[symbol] * Decimal("1.3") for symbol in ("TRIM", "WHOL")})
    with pytest.raises(Refused, match=r"2 of 3 names .* guards.max_bad_quotes_pct is 10"):
        world.rebalance(plan)
    assert ours(world) == {}
    assert [one["title"] for one in webhook] == [f"rebalance of {plan.week} stopped"]


def test_limit_orders_are_collared_by_the_quote(world):
    world.configure(trading__order_type="limit")
    market = world.broker.snapshots(list(PRICES))
    world.rebalance(world.plan())
    for (symbol, side), order in ours(world).items():
        assert (order.order_type, order.limit_price) == ("limit", limit_price(side, market[symbol], 20.0))
        assert order.qty is not None
    all_filled(world)


def test_a_limit_order_that_the_market_runs_away_from_is_cancelled_and_the_money_kept(world):
    world.configure(trading__order_type="limit", trading__settle_timeout_s=0.6)
    plan = world.plan()
    # Held, so that no fill comes before the market has run away, however slow the machine is.
    world.faults({"kind": "halt", "symbol": "FRAC"})
    run_away = once(lambda: world.move({"FRAC": PRICES["FRAC"] * Decimal("1.02")}))

    def sleep(seconds: float) -> None:
        (run_away if ("FRAC", "buy") in ours(world) else time.sleep)(seconds)

    world.rebalance(plan, sleep=sleep)
    order = ours(world)["FRAC", "buy"]
    assert (order.status, order.filled_qty) == ("canceled", 0)
    assert world.cash() > plan.orders[3].value
    assert world.wrongs() == []


# --- guards -----------------------------------------------------------------------------------------------------------


def test_a_halt_refuses_every_run_until_it_is_lifted(world):
    plan = world.plan()
    world.ledger.halt("looking at the market first", by="Ada", at=MONDAY)
    with pytest.raises(Refused, match=r"halted since .* by Ada \(looking at the market first\)"):
        world.rebalance(plan)
    assert ours(world) == {}
    world.ledger.resume("looked", by="Ada", at=MONDAY)
    world.rebalance(plan)
    all_filled(world)


def test_a_halt_stops_a_running_rebalance_before_its_next_order(world):
    world.configure(trading__lookup_grace_s=0.5)
    plan = world.plan()
    # The second order has not arrived; while it is looked for, somebody halts: not even that one is sent any more.
    world.faults({"kind": "500", "endpoint": SEND, "calls": [2]})
    halt = once(lambda: world.ledger.halt("stop", by="Ada", at=MONDAY))
    with pytest.raises(Refused, match="halted"):
        world.rebalance(plan, sleep=halt)
    assert world.calls(SEND) == 2
    assert ours(world).keys() == {("GONE", "sell")}
    rows = {row.symbol: row.status for row in world.ledger.orders_of_week(plan.account, plan.week)}
    assert rows["GONE"] == "filled", "what was sent is still brought to its end"
    world.ledger.resume("go on", by="Ada", at=MONDAY)
    world.rebalance(plan)
    all_filled(world)


def test_a_halt_lets_the_order_under_way_end_and_sends_no_other(world):
    world.configure(trading__lookup_grace_s=0.5)
    plan = world.plan()
    held = world.holdings()["GONE"]

    def arrive_late_and_halt() -> None:
        world.broker.submit("GONE", "sell", f"tokenomics-fundamentals-{plan.week}-GONE-sell-1", qty=held)
        world.ledger.halt("stop", by="Ada", at=MONDAY)

    world.faults({"kind": "500", "endpoint": SEND, "calls": [1]})
    with pytest.raises(Refused, match="halted"):
        world.rebalance(plan, sleep=once(arrive_late_and_halt))
    assert ours(world).keys() == {("GONE", "sell")}
    (row,) = world.ledger.orders_of_week(plan.account, plan.week)
    assert row.status == "filled"
    assert world.wrongs() == []


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (lambda world: world.ledger.halt("stop", by="Ada", at=MONDAY), "halted"),
        (lambda world: world.sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True}), "trading_blocked"),
        (lambda world: world.set_clock(MONDAY + timedelta(hours=5, minutes=50)), "5 minutes are left"),
        (lambda world: world.move({"KEEP": Decimal("9.00")}), "max_daily_loss_pct"),
    ],
)
def test_guards_hold_again_before_the_buys(world, event, words):
    plan = world.plan()
    world.configure(guards__max_plan_age_min=600.0)
    world.faults({"kind": "slow_fill", "side": "sell"})
    with pytest.raises(Refused, match=words):
        world.rebalance(plan, sleep=once(lambda: event(world)))
    assert {side for _, side in ours(world)} == {"sell"}


def test_a_plan_waits_for_a_person_where_approval_is_manual_and_goes_on_with_it(world):
    world.configure(trading__approval="manual")
    plan, other = world.plan(), world.plan({**TARGETS, "MORE": 0.10})
    with pytest.raises(Refused, match=f"tokenomics approve {plan.plan_id}"):
        world.rebalance(plan)
    world.ledger.approve(other.plan_id, other.plan_hash, by="Ada", at=other.created_at)
    with pytest.raises(Refused, match="waits for a person"):
        world.rebalance(plan)
    assert ours(world) == {}
    world.ledger.approve(plan.plan_id, plan.plan_hash, by="Ada", at=world.now())
    world.rebalance(plan)
    all_filled(world)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"guards__max_turnover_pct": 38.0}, "turnover is 38."),
        ({"guards__max_sold_pct": 29.0}, "equity sold is 30."),
        ({"guards__max_exits": 0}, "1 names are sold whole, guards.max_exits is 0"),
    ],
)
def test_a_plan_over_a_limit_always_waits_for_a_person(world, limit, words):
    world.configure(**limit)
    plan = world.plan()
    with pytest.raises(Refused, match="waits for a person") as refusal:
        world.rebalance(plan)
    assert words in str(refusal.value)
    assert ours(world) == {}
    world.ledger.approve(plan.plan_id, plan.plan_hash, by="Ada", at=world.now())
    world.rebalance(plan)
    all_filled(world)


def test_a_loss_over_its_limit_halts_until_a_person_resumes(world, webhook):
    world.move({"KEEP": Decimal("9.00")})  # 10.6 % of equity
    plan = world.plan()
    with pytest.raises(MustHalt, match=r"10\.\d % below the previous close"):
        world.rebalance(plan)
    assert len(webhook) == 1
    world.move({"KEEP": PRICES["KEEP"]})
    plan = world.plan()
    with pytest.raises(Refused, match=r"halted since .* by rule"):
        world.rebalance(plan)
    assert ours(world) == {}
    world.ledger.resume("a bad print, corrected", by="Ada", at=world.now())
    world.rebalance(plan)
    all_filled(world)


def test_a_drawdown_from_the_highest_equity_ever_marked_halts(world):
    plan = world.plan()
    world.ledger.mark_equity(plan.account, Decimal(150_000), MONDAY - timedelta(days=400))
    with pytest.raises(MustHalt, match=r"33\.3 % below its high \(150,000\.00\), guards.max_drawdown_pct is 30"):
        world.rebalance(plan)
    assert ours(world) == {}
    assert world.ledger.halted() is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plan: replace(plan, orders=plan.orders[:-1]), "was changed"),
        (lambda plan: replace(plan, account="PA999").sealed(), "made for account PA999"),
        (lambda plan: replace(plan, week=plan.week - timedelta(days=7)).sealed(), "is of the week of 2026-08-24"),
        (lambda plan: replace(plan, created_at=plan.created_at - timedelta(minutes=31)).sealed(), "31 minutes ago"),
        (lambda plan: replace(plan, created_at=plan.created_at + timedelta(minutes=2)).sealed(), "which went back"),
        (lambda plan: replace(plan, scores_as_of=plan.scores_as_of - timedelta(days=7)).sealed(), "9.0 days old"),
    ],
)
def test_a_plan_that_does_not_fit_the_moment_sends_nothing(world, change, words):
    plan = change(world.plan())
    with pytest.raises(Refused, match=words):
        world.rebalance(plan)
    assert ours(world) == {}


def test_a_plan_of_yesterday_is_not_carried_out(world):
    world.configure(guards__max_plan_age_min=10_000.0)
    plan = world.plan()
    world.next_session()
    with pytest.raises(Refused, match="made on another day"):
        world.rebalance(plan)
    world.next_week()
    with pytest.raises(Refused, match="is of the week of 2026-08-31, this is that of 2026-09-07"):
        world.rebalance(plan)
    assert ours(world) == {}


@pytest.mark.parametrize(
    ("at", "words"),
    [("19:46:00", "14 minutes are left to the close"), ("20:00:01", "the market is closed at 2026-08-31 20:00 UTC")],
)
def test_a_market_that_is_closed_or_soon_will_be_is_not_traded_in(world, at, words):
    world.configure(guards__max_plan_age_min=600.0)
    plan = world.plan()
    world.set_clock(MONDAY.replace(hour=int(at[:2]), minute=int(at[3:5]), second=int(at[6:])))
    with pytest.raises(Refused, match=words):
        world.rebalance(plan)
    assert ours(world) == {}


def test_live_trading_is_refused_at_any_host_but_the_live_one(world, monkeypatch):
    plan = world.plan()
    monkeypatch.setenv("TOKENOMICS_LIVE_ACCOUNT", plan.account)
    world.configure(trading__paper=False)
    with pytest.raises(Refused, match=r"host 127\.0\.0\.1, paper key, TOKENOMICS_LIVE_ACCOUNT fits"):
        world.rebalance(plan)
    assert ours(world) == {}


def test_the_live_host_is_refused_while_paper_trading_is_meant(world, monkeypatch):
    monkeypatch.setenv("ALPACA_TRADING_URL", "https://api.alpaca.markets")
    world.configure(rebalancing__top_n_stocks=99)
    with pytest.raises(SettingsError, match="live host"):
        _ = world.settings


# --- books ------------------------------------------------------------------------------------------------------------


def test_fills_are_kept_and_explain_positions_and_cash(world):
    run = world.attempt()
    assert world.books(run) == []
    fills = world.ledger.fills_of(run.plan.account, run.plan.created_at)
    assert len(fills) > len(run.sent)  # large orders are filled in parts
    assert run.outcome.reconciliation.cash_found == world.cash()
    kinds = [record.kind for record in world.ledger.audit_records(run.plan.week)]
    assert kinds[-1] == "reconciliation"
    assert kinds.count("fill") == len(fills)


def test_books_that_do_not_agree_are_alerted(world, webhook):
    plan = world.plan()
    with world.rewritten() as proxy:
        world.sandbox.admin("POST", "/sandbox/cash", {"amount": "500.00"})
        proxy.on("GET /v2/account/activities", lambda answer: answer.become(200, []))
        outcome = world.rebalance(plan)
    (flaw,) = outcome.reconciliation.discrepancies
    assert flaw.startswith("cash is")
    assert [one["title"] for one in webhook] == [f"books of {plan.week} do not agree"]
    all_filled(world)


def test_an_alert_that_nobody_takes_does_not_stop_the_work(world):
    world.webhook = "http://127.0.0.1:9/hook"
    plan = world.plan()
    with world.rewritten() as proxy:
        world.sandbox.admin("POST", "/sandbox/cash", {"amount": "500.00"})
        proxy.on("GET /v2/account/activities", lambda answer: answer.become(200, []))
        world.rebalance(plan)
    all_filled(world)


@st.composite
def portfolios(draw: st.DrawFn) -> dict[str, float]:
    parts = {symbol: draw(st.integers(0, 20)) for symbol in PRICES}
    total = max(sum(parts.values()), draw(st.integers(20, 160)))
    return {symbol: part / total for symbol, part in parts.items() if part} or {"KEEP": 1.0}


@pytest.mark.soak
@given(portfolios())
@settings(max_examples=12, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_equity_falls_by_the_cost_of_the_spread_and_by_nothing_else(world, targets):
    world.reset()
    world.configure(guards__max_sold_pct=100.0, guards__max_turnover_pct=200.0, guards__max_exits=99)
    before = world.equity()
    run = world.attempt(targets=targets)
    assert run.error is None
    spread = Decimal(0)
    for fill in world.broker.fills(after=run.plan.created_at):
        worth = fill.qty * PRICES[fill.symbol]
        spread += amount(fill) - worth if fill.side == "buy" else worth - amount(fill)
    assert before == world.equity() + spread
    assert spread >= 0
    assert world.wrongs() == []
    assert world.books(run) == []
    assert all(qty == qty.to_integral_value() for s, qty in world.holdings().items() if s in WHOLE_SHARES)
