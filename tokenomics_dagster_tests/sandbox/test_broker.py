"""The broker's book: what an order does to cash, shares and statuses, whatever clock, prices and faults do."""

import dataclasses
import functools
import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.market import Instrument, Market
from tokenomics_dagster.sandbox.orders import (
    TRANSITIONS,
    CashFlow,
    Fill,
    Order,
    OrderRequest,
    OrderType,
    Refused,
    Restrictions,
    Side,
    Status,
)
from tokenomics_dagster.sandbox.sessions import Sessions

MONDAY_OPEN = datetime(2026, 8, 24, 13, 30, tzinfo=UTC)
MONDAY = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
MONDAY_EVENING = datetime(2026, 8, 24, 22, 0, tzinfo=UTC)
MONDAY_CLOSE = datetime(2026, 8, 24, 20, 0, tzinfo=UTC)
TUESDAY_OPEN = datetime(2026, 8, 25, 13, 30, tzinfo=UTC)
DELAY = 0.05
CENT = Decimal("0.01")


class StandingClock:
    """A clock that moves only when it is told to: what takes real time must not need it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class ScriptedFaults:
    """The fault that the test has asked for, on every order of the symbol."""

    def __init__(self) -> None:
        self.orders: dict[str, str] = {}
        self.sticky: set[str] = set()

    def order_fault(self, symbol: str, side: str) -> str | None:
        return self.orders.get(symbol)

    def cancel_sticks(self, symbol: str, side: str) -> bool:
        return symbol in self.sticky


def instrument(symbol: str, price: str, **changes: Any) -> Instrument:
    return dataclasses.replace(
        Instrument(
            symbol=symbol,
            description=f"{symbol} Inc. Common Stock",
            type="Common Stock",
            mic="XNYS",
            currency="USD",
            figi="",
            share_class_figi="",
            isin="",
            issuer=f"{symbol} Inc.",
            country="US",
            industry="",
            ipo="2000-01-03",
            price=Decimal(price),
            volume=1_000_000,
            profile={},
            metric={},
            tradable=True,
            fractionable=True,
        ),
        **changes,
    )


def small_market(**options: Any) -> Market:
    listed = [
        instrument("AAA", "100.00"),
        instrument("BBB", "33.33", mic="XNGS"),
        instrument("BRK.A", "612345.67", fractionable=False),
        instrument("PENNY", "0.1234", mic="XASE"),
        instrument("WHOLE", "40.00", fractionable=False),
        instrument("OTCQ", "5.00", mic="OOTC", tradable=False),
        instrument("PIPE", "25.00", type="MLP"),
    ]
    return Market(date(2026, 8, 21), listed, **options)


class World:
    """A broker with a market, a clock and a real time that stand still until they are moved."""

    def __init__(self, at: datetime = MONDAY, cash: str = "100000", spread_bps: float = 2.0) -> None:
        self.clock = StandingClock(at)
        self.faults = ScriptedFaults()
        self.market = small_market(spread_bps=spread_bps)
        self.seconds = 1_000.0
        self.broker = self.new_broker(Decimal(cash))

    def new_broker(self, cash: Decimal = Decimal(100_000)) -> Broker:
        return Broker(
            self.market,
            self.clock,
            Sessions(),
            self.faults,
            cash=cash,
            fill_delay_s=DELAY,
            real_seconds=lambda: self.seconds,
        )

    def send(self, symbol: str, side: str, qty: str | None = None, **more: Any) -> Order:
        notional, limit = more.pop("notional", None), more.pop("limit", None)
        return self.broker.submit(
            OrderRequest(
                symbol=symbol,
                side=Side(side),
                type=OrderType.LIMIT if limit else OrderType.MARKET,
                qty=None if qty is None else Decimal(qty),
                notional=None if notional is None else Decimal(notional),
                limit_price=None if limit is None else Decimal(limit),
                **more,
            )
        )

    def wait(self, seconds: float = DELAY) -> None:
        self.seconds += seconds + 1e-9  # 1000 + 0.05 - 1000 is less than 0.05 in floats

    def filled(self, symbol: str, side: str, qty: str | None = None, **more: Any) -> Order:
        order = self.send(symbol, side, qty, **more)
        self.wait()
        done = self.broker.order(order.id)
        assert done.status is Status.FILLED
        return done

    def fills(self) -> list[Fill]:
        return [activity for activity in self.broker.activities() if isinstance(activity, Fill)]


@pytest.fixture
def world() -> World:
    return World()


def refusal(call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


def attempt(call: Callable[[], Order]) -> Order | Refused:
    try:
        return call()
    except Refused as refused:
        return refused


def test_a_market_order_goes_from_pending_new_over_new_to_filled_on_a_clock_that_stands(world):
    order = world.send("AAA", "buy", "10")
    assert order.status is Status.PENDING_NEW
    world.wait(DELAY / 4)
    assert world.broker.order(order.id).status is Status.NEW
    world.wait(DELAY)
    done = world.broker.order(order.id)
    assert (done.status, done.filled_qty, done.filled_at) == (Status.FILLED, Decimal(10), MONDAY)
    assert order.status is Status.PENDING_NEW, "what was handed out must not change afterwards"


def test_buys_fill_at_the_ask_and_sells_at_the_bid(world):
    quote = world.market.quote("AAA", MONDAY)
    assert quote.bid < quote.ask
    world.filled("AAA", "buy", "10")
    world.filled("AAA", "sell", "10")
    assert [fill.price for fill in world.fills()] == [quote.ask, quote.bid]
    assert world.broker.account().cash == 100_000 - 10 * (quote.ask - quote.bid)
    assert world.broker.positions() == []


@pytest.mark.parametrize(("qty", "parts"), [("49", 1), ("60", 2), ("250", 3)])
def test_a_big_order_is_filled_in_parts(world, qty, parts):
    order = world.send("AAA", "buy", qty)
    seen = []
    for _ in range(20):
        world.wait(DELAY / 20)
        seen.append(world.broker.order(order.id).status)
    assert seen[-1] is Status.FILLED
    assert (Status.PARTIALLY_FILLED in seen) == (parts > 1)
    fills = world.fills()
    assert len(fills) == parts
    assert [fill.cum_qty + fill.leaves_qty for fill in fills] == [Decimal(qty)] * parts
    assert all(fill.qty == fill.qty.to_integral_value() for fill in fills)


def test_a_limit_order_fills_only_when_the_quote_reaches_it_and_never_worse_than_the_limit(world):
    order = world.send("AAA", "buy", "10", limit="99.50")
    world.wait(1)
    assert world.broker.order(order.id).status is Status.NEW
    world.market.set_price("AAA", Decimal("99.00"))
    done = world.broker.order(order.id)
    assert done.status is Status.FILLED
    assert done.filled_value / done.filled_qty == world.market.quote("AAA", MONDAY).ask < Decimal("99.50")
    sell = world.send("AAA", "sell", "10", limit="99.50")
    world.wait(1)
    assert world.broker.order(sell.id).status is Status.NEW


def test_a_notional_buy_spends_exactly_its_notional_and_has_no_qty(world):
    for notional in ("1.00", "777.77", "5000.01", "25000.00"):
        before = world.broker.account().cash
        done = world.filled("BBB", "buy", notional=notional)
        assert done.qty is None
        assert done.filled_amount == Decimal(notional) == before - world.broker.account().cash


def test_a_notional_sell_brings_its_notional_within_a_cent_per_fill(world):
    world.filled("BBB", "buy", "1000")
    done = world.filled("BBB", "sell", notional="25000.00")
    assert abs(done.filled_amount - 25_000) <= CENT


def test_each_fill_moves_qty_times_price_rounded_half_up_to_the_cent(world):
    world.filled("PENNY", "buy", "123.456789123")
    world.filled("PENNY", "sell", "0.05")
    buy, sell = world.fills()
    assert buy.amount == (buy.qty * buy.price).quantize(CENT, ROUND_HALF_UP)
    assert sell.amount == CENT  # 0.05 x 0.1233 = 0.006165
    assert world.broker.account().cash == 100_000 - buy.amount + sell.amount


def test_an_open_buy_holds_buying_power_and_an_open_sell_holds_shares_but_brings_no_buying_power(world):
    world.filled("AAA", "buy", "10")
    cash = world.broker.account().cash
    world.faults.orders = {"AAA": "halt", "BBB": "halt"}
    world.send("BBB", "buy", "100", limit="30.00")
    world.send("AAA", "sell", "4")
    account, position = world.broker.account(), world.broker.position("AAA")
    assert (account.cash, account.buying_power) == (cash, cash - 3000)
    assert (position.qty, position.qty_available) == (10, 6)


def test_a_buy_above_buying_power_is_refused_with_both_figures():
    world = World(cash="1000")
    world.faults.orders = {"BBB": "halt"}
    world.send("BBB", "buy", notional="400.00")
    refused = refusal(lambda: world.send("AAA", "buy", notional="600.01"))
    assert (refused.status, refused.code, refused.message) == (403, 40310000, "insufficient buying power")
    assert refused.details == {"buying_power": "600", "cost_basis": "600.01"}
    assert world.broker.account().buying_power == 600
    world.filled("AAA", "buy", notional="600.00")
    assert world.broker.account().buying_power == 0


def test_a_sell_above_what_is_available_is_refused_and_so_is_every_short_sale(world):
    world.filled("AAA", "buy", "10")
    world.faults.orders = {"AAA": "halt"}
    world.send("AAA", "sell", "4")
    refused = refusal(lambda: world.send("AAA", "sell", "6.5"))
    assert (refused.status, refused.code) == (403, 40310000)
    assert refused.message == "insufficient qty available for order (requested: 6.5, available: 6)"
    assert refused.details == {"available": "6", "existing_qty": "10", "held_for_orders": "4", "symbol": "AAA"}
    assert "available: 0" in refusal(lambda: world.send("BBB", "sell", "1")).message


def test_an_opposite_open_order_is_refused_as_a_wash_trade(world):
    world.filled("AAA", "buy", "10")
    resting = world.send("AAA", "sell", "5", limit="200.00")
    world.wait()
    refused = refusal(lambda: world.send("AAA", "buy", "1"))
    assert (refused.status, refused.code) == (403, 40310000)
    assert refused.message == "potential wash trade detected. use complex orders"
    assert refused.details["existing_order_id"] == resting.id
    world.broker.cancel(resting.id)
    assert refusal(lambda: world.send("AAA", "buy", "1")).code == 40310000, "pending_cancel still blocks"
    world.wait()
    world.filled("AAA", "buy", "1")


def test_a_client_order_id_is_unique_for_ever_and_that_is_said_before_anything_else(world):
    order = world.send("AAA", "buy", "900", client_order_id="week-1")
    world.broker.cancel(order.id)
    world.wait()
    assert world.broker.order(order.id).status is Status.CANCELED
    world.broker.restrict(Restrictions(trading_blocked=True))
    for qty in ("900", "999999"):
        refused = refusal(functools.partial(world.send, "AAA", "buy", qty, client_order_id="week-1"))
        assert (refused.status, refused.code, refused.message) == (422, 40010001, "client_order_id must be unique")


def test_a_refused_order_leaves_its_client_order_id_free(world):
    refusal(lambda: world.send("AAA", "sell", "1", client_order_id="again"))
    assert refusal(lambda: world.broker.order_by_client_id("again")).status == 404
    world.filled("AAA", "buy", "1", client_order_id="again")


@pytest.mark.parametrize(
    ("symbol", "qty", "status", "code", "message"),
    [
        ("NOPE", "1", 422, 42210000, 'asset "NOPE" not found'),
        ("OTCQ", "10", 422, 42210000, 'asset "OTCQ" is not tradable'),
        ("WHOLE", "1.5", 403, 40310000, 'asset "WHOLE" is not fractionable'),
        ("PIPE", "1", 403, 40310000, 'asset "PIPE" is a PTP without exception and cannot be purchased'),
        ("AAA", "0.009", 403, 40310000, "cost basis must be >= minimal amount of order 1"),
    ],
)
def test_what_cannot_be_bought_is_refused_by_name(world, symbol, qty, status, code, message):
    refused = refusal(lambda: world.send(symbol, "buy", qty))
    assert (refused.status, refused.code, refused.message) == (status, code, message)
    assert world.broker.orders() == []


def test_a_partnership_cannot_be_bought_but_what_is_held_can_be_sold(world):
    world.filled("AAA", "buy", "10")
    world.market.put(instrument("AAA", "100.00", type="MLP"))
    assert "PTP without exception" in refusal(lambda: world.send("AAA", "buy", "1")).message
    world.filled("AAA", "sell", "10")


def test_a_notional_order_needs_a_fractionable_asset(world):
    assert "is not fractionable" in refusal(lambda: world.send("WHOLE", "buy", notional="100.00")).message


def test_sells_below_one_dollar_are_accepted(world):
    world.filled("AAA", "buy", "1")
    world.filled("AAA", "sell", "0.000000001")
    assert world.broker.position("AAA").qty == Decimal("0.999999999")


@pytest.mark.parametrize(
    ("restrictions", "message"),
    [
        (Restrictions(trade_suspended_by_user=True), "new orders are rejected by user request"),
        (Restrictions(trading_blocked=True), "account is not authorized to trade"),
        (Restrictions(account_blocked=True), "account is not authorized to trade"),
        (Restrictions(status="ACCOUNT_CLOSED"), "account is not authorized to trade"),
    ],
)
def test_a_blocked_account_does_not_trade(world, restrictions, message):
    world.broker.restrict(restrictions)
    refused = refusal(lambda: world.send("AAA", "buy", "1"))
    assert (refused.status, refused.message) == (403, message)


def test_an_order_sent_while_closed_is_accepted_and_filled_at_the_instant_of_the_next_open(world):
    world.clock.at = MONDAY_EVENING
    order = world.send("AAA", "buy", "10")
    world.wait(60)
    assert world.broker.order(order.id).status is Status.ACCEPTED
    assert order.closes_at == TUESDAY_OPEN + timedelta(hours=6.5)
    world.clock.at = TUESDAY_OPEN + timedelta(hours=2)
    done = world.broker.order(order.id)
    assert (done.status, done.filled_at) == (Status.FILLED, TUESDAY_OPEN)


def test_a_queued_limit_order_out_of_reach_works_through_the_session_and_expires_at_its_close(world):
    world.clock.at = MONDAY_EVENING
    order = world.send("AAA", "buy", "10", limit="50.00")
    world.clock.at = TUESDAY_OPEN
    assert world.broker.order(order.id).status is Status.NEW
    world.clock.at = order.closes_at
    done = world.broker.order(order.id)
    assert (done.status, done.expired_at, done.filled_qty) == (Status.EXPIRED, order.closes_at, 0)
    assert world.broker.account().buying_power == 100_000


def test_a_clock_that_jumps_over_the_close_completes_what_was_under_way_and_expires_the_rest(world):
    market_order = world.send("AAA", "buy", "10")
    resting = world.send("BBB", "buy", "10", limit="1.00")
    world.clock.at = MONDAY + timedelta(days=30)
    assert world.broker.order(market_order.id).filled_at == MONDAY_CLOSE
    assert world.broker.order(resting.id).expired_at == MONDAY_CLOSE


def test_a_clock_that_is_set_back_before_the_open_stops_fills_and_undoes_nothing(world):
    filled = world.filled("AAA", "buy", "10")
    order = world.send("BBB", "buy", "10")
    world.clock.at = MONDAY_OPEN - timedelta(hours=1)
    world.wait(10)
    assert world.broker.order(order.id).status is Status.NEW
    assert world.broker.order(filled.id) == filled
    world.clock.at = MONDAY
    assert world.broker.order(order.id).status is Status.FILLED


def test_a_rejected_order_was_accepted_first_and_moves_nothing(world):
    world.faults.orders = {"AAA": "reject"}
    order = world.send("AAA", "buy", "10")
    assert order.status is Status.PENDING_NEW
    world.wait()
    done = world.broker.order(order.id)
    assert (done.status, done.failed_at) == (Status.REJECTED, MONDAY)
    assert world.broker.account().buying_power == 100_000
    world.clock.at = MONDAY_EVENING
    queued = world.send("AAA", "buy", "10")
    world.wait()
    assert (queued.status, world.broker.order(queued.id).status) == (Status.ACCEPTED, Status.REJECTED)


def test_a_halted_symbol_accepts_and_never_fills(world):
    world.faults.orders = {"AAA": "halt"}
    order = world.send("AAA", "buy", "10")
    world.wait(3600)
    assert world.broker.order(order.id).status is Status.NEW
    world.clock.at = MONDAY_CLOSE
    assert world.broker.order(order.id).status is Status.EXPIRED


@pytest.mark.parametrize(
    ("symbol", "qty", "filled"), [("AAA", "11", "5"), ("AAA", "1", "0.5"), ("BRK.A", "1", "0"), ("AAA", "1.5", "0.75")]
)
def test_stuck_partial_fills_half_and_stays_until_it_is_cancelled(symbol, qty, filled):
    world = World(cash="1000000")
    world.faults.orders = {symbol: "stuck_partial"}
    order = world.send(symbol, "buy", qty)
    world.wait(3600)
    half = world.broker.order(order.id)
    assert half.filled_qty == Decimal(filled)
    assert half.status is (Status.PARTIALLY_FILLED if half.filled_qty else Status.NEW)
    world.broker.cancel(order.id)
    world.wait()
    done = world.broker.order(order.id)
    assert (done.status, done.filled_qty) == (Status.CANCELED, Decimal(filled))


def test_slow_fill_takes_longer_and_then_fills(world):
    world.faults.orders = {"AAA": "slow_fill"}
    order = world.send("AAA", "buy", "10")
    world.wait(DELAY * 2)
    assert not world.broker.order(order.id).is_final
    world.wait(DELAY * 40)
    assert world.broker.order(order.id).status is Status.FILLED


def test_a_cancel_goes_over_pending_cancel_holds_until_then_and_fills_nothing_more(world):
    world.filled("AAA", "buy", "10")
    order = world.send("AAA", "sell", "10")
    assert world.broker.cancel(order.id).status is Status.PENDING_CANCEL
    assert world.broker.position("AAA").qty_available == 0
    refused = refusal(lambda: world.broker.cancel(order.id))
    assert (refused.status, refused.code) == (422, 42210000)
    world.wait()
    assert world.broker.order(order.id).status is Status.CANCELED
    assert world.broker.position("AAA").qty_available == 10
    assert refusal(lambda: world.broker.cancel(order.id)).message == 'order is already in "canceled" state'


def test_a_cancel_under_way_is_done_by_the_close_even_if_the_clock_jumps_over_it(world):
    order = world.send("AAA", "buy", "10", limit="50.00")
    world.broker.cancel(order.id)
    world.clock.at = TUESDAY_OPEN
    done = world.broker.order(order.id)
    assert (done.status, done.canceled_at) == (Status.CANCELED, MONDAY_CLOSE)


def test_a_cancel_that_sticks_holds_shares_until_the_close(world):
    world.filled("AAA", "buy", "10")
    world.faults.orders, world.faults.sticky = {"AAA": "halt"}, {"AAA"}
    order = world.send("AAA", "sell", "10")
    world.broker.cancel(order.id)
    world.wait(3600)
    assert world.broker.order(order.id).status is Status.PENDING_CANCEL
    assert world.broker.position("AAA").qty_available == 0
    world.clock.at = MONDAY_CLOSE
    assert world.broker.order(order.id).status is Status.EXPIRED
    assert world.broker.position("AAA").qty_available == 10


def test_a_buy_whose_price_runs_away_fills_as_far_as_free_cash_goes_and_cancels_the_rest():
    world = World(cash="1000", spread_bps=0)
    order = world.send("WHOLE", "buy", "20")
    other = world.send("BBB", "buy", "5", limit="33.00")
    world.market.set_price("WHOLE", Decimal("45.00"))
    world.wait()
    done = world.broker.order(order.id)
    # 1000 - 165 held by the other order leaves 835: 18 shares at 45
    assert (done.status, done.filled_qty) == (Status.CANCELED, Decimal(18))
    assert world.broker.order(other.id).status is Status.NEW
    assert world.broker.account().buying_power == 1000 - 18 * 45 - 165


def test_a_notional_sell_whose_price_falls_sells_the_shares_that_it_held_and_cancels_the_rest():
    world = World(spread_bps=0)
    world.filled("AAA", "buy", "20")
    order = world.send("AAA", "sell", notional="900.00")
    world.market.set_price("AAA", Decimal("50.00"))
    world.wait()
    done = world.broker.order(order.id)
    assert (done.status, done.filled_qty, done.filled_amount) == (Status.CANCELED, Decimal(9), Decimal(450))
    assert world.broker.position("AAA").qty_available == 11


def test_a_delisted_holding_keeps_its_last_price_and_can_no_longer_be_traded(world):
    world.filled("AAA", "buy", "10")
    resting = world.send("AAA", "buy", "1", limit="50.00")
    equity = world.broker.account().equity
    world.market.remove("AAA")
    assert world.broker.account().equity == equity
    assert refusal(lambda: world.send("AAA", "sell", "10")).message == 'asset "AAA" not found'
    world.clock.at = MONDAY_CLOSE
    assert world.broker.order(resting.id).status is Status.EXPIRED


def test_equity_is_cash_plus_qty_times_last_price_and_last_equity_that_of_the_previous_close(world):
    world.filled("AAA", "buy", "10.5")
    account = world.broker.account()
    assert account.equity == account.cash + Decimal("10.5") * 100
    assert account.last_equity == 100_000, "before the first close: what the account began with"
    world.market.set_price("AAA", Decimal("110.00"))
    world.clock.at = MONDAY_EVENING
    assert world.broker.account().last_equity == 100_000, "until midnight the previous close is Friday's"
    world.clock.at = TUESDAY_OPEN
    assert world.broker.account().last_equity == account.cash + Decimal("10.5") * 110
    world.broker.deposit(Decimal("50.00"))
    assert world.broker.account().last_equity == account.cash + Decimal("10.5") * 110
    world.clock.at += timedelta(days=9)
    assert world.broker.account().last_equity == account.cash + 50 + Decimal("10.5") * 110
    assert len(world.broker.equity_at_closes()) == 8


def test_a_position_costs_what_was_paid_and_a_part_sold_takes_its_share_of_the_cost(world):
    world.filled("AAA", "buy", "10")
    world.market.set_price("AAA", Decimal("200.00"))
    world.filled("AAA", "buy", "10")
    paid = 100_000 - world.broker.account().cash
    assert world.broker.position("AAA").cost == paid
    world.filled("AAA", "sell", "4")
    assert world.broker.position("AAA").cost == paid - paid / 5


def test_intraday_cost_values_old_shares_at_the_previous_close_and_new_ones_at_what_was_paid(world):
    world.filled("AAA", "buy", "10")
    world.clock.at = TUESDAY_OPEN + timedelta(hours=1)
    world.filled("AAA", "buy", "5")
    ask = world.market.quote("AAA", world.clock.at).ask
    assert world.broker.position("AAA").day_cost == 10 * Decimal(100) + 5 * ask


def test_closing_a_position_sells_all_a_part_or_a_percentage_of_it(world):
    world.filled("AAA", "buy", "10")
    world.filled("BBB", "buy", "10.5")
    assert world.broker.close_position("AAA", percentage=Decimal("33.4")).qty == 3, "whole shares of a whole position"
    assert world.broker.close_position("BBB", percentage=Decimal("33.4")).qty == Decimal("3.507")
    world.wait()
    assert world.broker.close_position("AAA", qty=Decimal(2)).qty == 2
    world.wait()
    assert world.broker.close_position("AAA").qty == 5
    world.wait()
    assert [position.symbol for position in world.broker.positions()] == ["BBB"]
    refused = refusal(lambda: world.broker.close_position("AAA"))
    assert (refused.status, refused.code, refused.message) == (404, 40410000, "position does not exist")


def test_closing_everything_names_what_is_held_by_orders_unless_they_are_cancelled_too(world):
    world.filled("AAA", "buy", "10")
    world.filled("BBB", "buy", "10")
    world.send("AAA", "sell", "4", limit="900.00")
    (_, held), (_, sold) = world.broker.close_all_positions()
    assert isinstance(held, Refused)
    assert isinstance(sold, Order)
    assert held.details["held_for_orders"] == "4"
    world.wait()
    ((symbol, answer),) = world.broker.close_all_positions(cancel_orders=True)
    assert (symbol, isinstance(answer, Order)) == ("AAA", True)
    world.wait()
    assert world.broker.positions() == []


@pytest.mark.parametrize("amount", ["0", "0.001", "NaN", "Infinity", "-100000.01"])
def test_a_cash_flow_that_is_not_whole_cents_or_not_there_is_refused(world, amount):
    with pytest.raises(ValueError, match="USD"):
        world.broker.deposit(Decimal(amount))
    assert world.broker.account().cash == 100_000


def test_deposits_and_withdrawals_are_activities(world):
    world.broker.deposit(Decimal("12.34"))
    world.broker.deposit(Decimal(-5))
    assert [activity.amount for activity in world.broker.activities()] == [Decimal("12.34"), -5]
    assert world.broker.account().cash == Decimal("100007.34")


@pytest.mark.parametrize("cash", ["-1", "0.001", "NaN"])
def test_an_account_begins_with_whole_cents(cash):
    with pytest.raises(ValueError, match="whole cents"):
        World(cash=cash)


def test_a_restart_from_saved_state_goes_on_where_it_was(world):
    world.filled("AAA", "buy", "10.5")
    world.clock.at = TUESDAY_OPEN
    world.broker.deposit(Decimal("1.50"))
    world.send("BBB", "buy", "300")
    world.wait(DELAY * 0.8)
    world.broker.restrict(Restrictions(account_blocked=True))
    before = (world.broker.orders(), world.broker.activities(), world.broker.account(), world.broker.positions())
    state = json.loads(json.dumps(world.broker.to_state()))
    world.seconds = 5.0  # another process: its monotonic clock begins anew
    again = world.new_broker()
    again.load_state(state)
    after = (again.orders(), again.activities(), again.account(), again.positions())
    assert [dataclasses.replace(order, since=0) for order in after[0]] == [
        dataclasses.replace(order, since=0) for order in before[0]
    ]
    assert after[1:] == before[1:]
    assert again.orders()[-1].status is Status.PARTIALLY_FILLED
    world.wait(DELAY * 0.3)
    assert again.orders()[-1].status is Status.FILLED


def test_a_saved_state_whose_cash_is_not_the_sum_of_its_flows_is_refused(world):
    world.filled("AAA", "buy", "1")
    state = world.broker.to_state()
    with pytest.raises(ValueError, match="add up to"):
        world.new_broker().load_state(state | {"cash": "100000.00"})
    with pytest.raises(ValueError, match="orders"):
        world.new_broker().load_state(state | {"orders": [{"id": "x"}]})


def test_orders_sent_from_many_threads_are_each_booked_once():
    world = World(cash="1000")
    refused: list[Refused] = []

    def buy(number: int) -> None:
        try:
            world.send("AAA", "buy", notional="100.00", client_order_id=f"id-{number % 20}")
        except Refused as refusal:
            refused.append(refusal)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.broker.orders()) == 10
    assert len(refused) == 30
    assert world.broker.account().buying_power == 0


def test_sessions_know_holidays_half_days_and_both_changes_of_the_clock():
    sessions = Sessions()
    thanksgiving = sessions.sessions(date(2026, 11, 25), date(2026, 11, 27))
    assert [one.date.day for one in thanksgiving] == [25, 27]
    assert thanksgiving[1].close == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    for before, after, shift in (
        (date(2026, 3, 6), date(2026, 3, 9), -1),
        (date(2026, 10, 30), date(2026, 11, 2), 1),
    ):
        first, second = sessions.sessions(before, after)
        assert second.open - first.open == timedelta(days=3, hours=shift)
    assert not sessions.is_open(MONDAY_OPEN - timedelta(microseconds=1))
    assert sessions.is_open(MONDAY_OPEN)
    assert not sessions.is_open(MONDAY_CLOSE)
    assert sessions.next_open(MONDAY_OPEN) == TUESDAY_OPEN
    assert sessions.next_close(MONDAY) == MONDAY_CLOSE
    with pytest.raises(ValueError, match="outside the calendar"):
        sessions.is_open(datetime(2040, 1, 1, tzinfo=UTC))


SYMBOLS = st.sampled_from(["AAA", "BBB", "WHOLE", "PENNY", "BRK.A"])
FRACTIONABLE = st.sampled_from(["AAA", "BBB", "PENNY"])
NUMBERS = st.integers(0, 400)
PRICE_MOVES = st.integers(40, 250).map(lambda percent: Decimal(percent) / 100)


class BrokerMachine(RuleBasedStateMachine):
    """Any sequence of what a client, the market, the clock and the operator can do."""

    @initialize()
    def begin(self) -> None:
        self.world = World(cash="20000")
        self.flows = Decimal(20_000)
        self.sent: set[str] = set()
        self.seen: dict[str, Status] = {}
        self.finals: dict[str, Order] = {}

    def submit(self, symbol: str, side: str, number: int, **request: Any) -> None:
        client_order_id = f"id-{number}"
        order = attempt(lambda: self.world.send(symbol, side, client_order_id=client_order_id, **request))
        if isinstance(order, Refused):
            assert (order.code == 40010001) == (client_order_id in self.sent)
            return
        assert client_order_id not in self.sent
        self.sent.add(client_order_id)
        assert order.status in (Status.PENDING_NEW, Status.ACCEPTED)

    @rule(symbol=SYMBOLS, qty=st.sampled_from(["1", "2", "3", "7", "55", "150"]), number=NUMBERS)
    def buy_whole(self, symbol, qty, number):
        self.submit(symbol, "buy", number, qty=qty)

    @rule(symbol=FRACTIONABLE, units=st.integers(10**7, 80 * 10**9), number=NUMBERS)
    def buy_fraction(self, symbol, units, number):
        self.submit(symbol, "buy", number, qty=str(Decimal(units).scaleb(-9)))

    @rule(symbol=FRACTIONABLE, cents=st.integers(90, 1_500_000), number=NUMBERS)
    def buy_notional(self, symbol, cents, number):
        self.submit(symbol, "buy", number, notional=str(Decimal(cents) / 100))

    @rule(symbol=SYMBOLS, qty=st.sampled_from(["1", "7", "60", "200"]), near=PRICE_MOVES, number=NUMBERS)
    def buy_at_a_limit(self, symbol, qty, near, number):
        limit = max((self.world.market.price(symbol, self.world.clock.at) * near).quantize(CENT), CENT)
        self.submit(symbol, "buy", number, qty=qty, limit=str(limit))

    @rule(symbol=FRACTIONABLE, cents=st.integers(1, 800_000), number=NUMBERS)
    def sell_notional(self, symbol, cents, number):
        self.submit(symbol, "sell", number, notional=str(Decimal(cents) / 100))

    @precondition(lambda self: self.world.broker.positions())
    @rule(share=st.sampled_from(["0.1", "0.5", "1", "1", "1.5"]), number=NUMBERS)
    def sell_some(self, share, number):
        position = self.world.broker.positions()[number % len(self.world.broker.positions())]
        qty = max((position.qty * Decimal(share)).quantize(Decimal("1e-9")), Decimal("1e-9"))
        self.submit(position.symbol, "sell", number, qty=str(qty))

    @rule(choice=st.integers(0, 10**6), sticks=st.booleans())
    def cancel(self, choice, sticks):
        orders = self.world.broker.orders()
        if not orders:
            return
        order = orders[choice % len(orders)]
        self.world.faults.sticky = {order.symbol} if sticks else set()
        cancelable = not order.is_final and order.status is not Status.PENDING_CANCEL
        answer = attempt(lambda: self.world.broker.cancel(order.id))
        assert answer.status == (Status.PENDING_CANCEL if cancelable else 422)

    @rule(seconds=st.sampled_from([DELAY / 5, DELAY / 2, DELAY, 3.0]))
    def tick(self, seconds):
        self.world.wait(seconds)
        self.world.clock.at += timedelta(seconds=seconds)

    @rule()
    def let_everything_fill(self):
        self.world.wait(3.0)

    @rule(hours=st.sampled_from([1, 6, 24, 24 * 7, -9]))
    def jump(self, hours):
        self.world.clock.at += timedelta(hours=hours)

    @rule()
    def next_session(self):
        self.world.clock.at = Sessions().next_open(self.world.clock.at) + timedelta(minutes=35)

    @rule(symbol=SYMBOLS, by=PRICE_MOVES)
    def move_price(self, symbol, by):
        price = (self.world.market.price(symbol, self.world.clock.at) * by).quantize(CENT)
        self.world.market.set_price(symbol, min(max(price, CENT), Decimal(900_000)))

    @rule(symbol=SYMBOLS, fault=st.sampled_from([None, "reject", "halt", "stuck_partial", "slow_fill"]))
    def disturb(self, symbol, fault):
        self.world.faults.orders = {symbol: fault} if fault else {}

    @rule(cents=st.integers(-2_000_000, 500_000).filter(bool))
    def move_cash(self, cents):
        amount = Decimal(cents) / 100
        before = self.world.broker.account()
        try:
            self.world.broker.deposit(amount)
        except ValueError:
            assert amount + before.buying_power < 0
            return
        self.flows += amount

    @precondition(lambda self: self.sent)
    @rule()
    def restart(self):
        state = json.loads(json.dumps(self.world.broker.to_state()))
        self.world.seconds = 7.0
        self.world.broker = self.world.new_broker()
        self.world.broker.load_state(state)

    @invariant()
    def money_and_shares_add_up(self):
        broker = self.world.broker
        account, orders = broker.account(), broker.orders()
        fills = [activity for activity in broker.activities() if isinstance(activity, Fill)]
        flows = [activity for activity in broker.activities() if isinstance(activity, CashFlow)]
        cash, shares = Decimal(20_000) + sum(flow.amount for flow in flows), dict[str, Decimal]()
        assert cash == self.flows
        for fill in fills:
            sign = 1 if fill.side is Side.BUY else -1
            cash -= sign * (fill.qty * fill.price).quantize(CENT, ROUND_HALF_UP)
            shares[fill.symbol] = shares.get(fill.symbol, Decimal()) + sign * fill.qty
        assert account.cash == cash >= 0
        assert account.cash == account.cash.quantize(CENT)

        positions = {position.symbol: position for position in broker.positions()}
        assert {symbol: position.qty for symbol, position in positions.items()} == {
            symbol: qty for symbol, qty in shares.items() if qty
        }
        open_buys = [order for order in orders if order.side is Side.BUY and not order.is_final]
        assert account.buying_power == account.cash - sum(order.held for order in open_buys) >= 0
        for symbol, position in positions.items():
            held = sum(o.held for o in orders if o.side is Side.SELL and o.symbol == symbol and not o.is_final)
            assert position.qty_available == position.qty - held >= 0
            assert position.cost >= 0
        value = sum(position.qty * (position.price or 0) for position in positions.values())
        assert account.equity == account.cash + value

    @invariant()
    def orders_keep_their_identity_and_their_end(self):
        orders = self.world.broker.orders()
        by_id = {order.id: order for order in orders}
        assert len(by_id) == len(orders) == len({order.client_order_id for order in orders}) == len(self.sent)
        for order_id, final in self.finals.items():
            assert dataclasses.replace(by_id[order_id], since=0) == final
        for order in orders:
            before = self.seen.get(order.id)
            assert before is None or order.status is before or order.status in reachable(before)
            self.seen[order.id] = order.status
            if order.is_final:
                self.finals[order.id] = dataclasses.replace(order, since=0)
            if order.status is Status.FILLED and order.qty is not None:
                assert order.filled_qty == order.qty
            if order.notional is not None:
                assert order.filled_amount <= order.notional
            if order.qty is not None:
                assert order.filled_qty <= order.qty
            if order.limit_price is not None and order.filled_qty:
                average = order.filled_value / order.filled_qty
                assert average <= order.limit_price if order.side is Side.BUY else average >= order.limit_price


def reachable(status: Status) -> set[Status]:
    """Statuses that may follow, at once or later."""
    found: set[Status] = set()
    fresh = {status}
    while fresh:
        fresh = {after for one in fresh for after in TRANSITIONS[one]} - found
        found |= fresh
    return found


BrokerMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBrokerMachine = BrokerMachine.TestCase
