"""An account that somebody else uses, too: his crypto, options and shorts stop nothing, are never traded, and count."""

import math
from collections.abc import Hashable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.execution.fulfilment import fulfilment, left_by_planning
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio.checks import check_trade_plan
from tokenomics_dagster.portfolio.planning import make_plan
from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.execution.world import TARGETS, World, running_world, target_weights
from tokenomics_dagster_tests.rewriting import Answer, Proxy

POSITIONS, ORDERS, ACCOUNT = "GET /v2/positions", "GET /v2/orders", "GET /v2/account"
CRYPTO = {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "0.1", "side": "long", "market_value": "6000"}
OPTION = {"symbol": "MORE261218C00060000", "asset_class": "us_option", "qty": "2", "side": "long"}
OPTION |= {"qty_available": "2", "avg_entry_price": "4", "current_price": "4.5", "market_value": "900"}
SHORT = {"symbol": "SPAR", "asset_class": "us_equity", "qty": "-5", "side": "short", "qty_available": "-5"}
SHORT |= {"avg_entry_price": "9", "current_price": "9.73", "market_value": "-48.65"}

SPREAD: dict[str, Any] = {"symbol": None, "side": None, "order_class": "mleg", "limit_price": "3"}
SPREAD |= {
    "legs": [{"symbol": "MORE261218C00060000", "side": "buy"}, {"symbol": "MORE261218C00070000", "side": "sell"}]
}


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("foreign")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


def rows(answer: Answer, *more: Any) -> None:
    answer.json.extend(more)


def row_of(answer: Answer, symbol: str) -> dict[str, Any]:
    return next(row for row in answer.json if row["symbol"] == symbol)


def option_order(**fields: Any) -> dict[str, Any]:
    """An open order of somebody else, as Alpaca shows it."""
    return {
        "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "client_order_id": "by-hand",
        "symbol": OPTION["symbol"],
        "asset_class": "us_option",
        "side": "buy",
        "position_intent": "buy_to_open",
        "qty": "10",
        "notional": None,
        "status": "new",
        "filled_qty": "0",
        "filled_avg_price": None,
        "submitted_at": "2026-08-31T14:00:00Z",
        "updated_at": "2026-08-31T14:00:00Z",
        "order_class": "",
        "order_type": "limit",
        "limit_price": "4.5",
        **fields,
    }


def make(world: World, proxy: Proxy) -> tuple[Made[TradePlanDetails], Plan]:
    with world.connect() as broker:
        now = broker.clock().now
        weights, clock = target_weights(TARGETS, now - timedelta(days=2)), AlpacaClock(broker)
        return make_plan(weights, calendar.week_of(now), broker, clock, world.settings, world.past)


def row_in(table: Made[TradePlanDetails], symbol: str) -> dict[Hashable, Any]:
    return table.frame[table.frame["symbol"] == symbol].to_dict("records")[0]


def sizes(plan: Plan) -> dict[str, tuple[Any, ...]]:
    return {order.symbol: (order.side, order.qty, order.notional) for order in plan.orders}


@pytest.mark.parametrize(
    "row",
    [
        CRYPTO,
        CRYPTO | {"symbol": "BTC/USD", "asset_class": None},
        CRYPTO | {"qty": None, "side": None, "market_value": "nonsense"},
        OPTION,
        OPTION | {"avg_entry_price": None, "current_price": None, "qty_available": None},
        SHORT,
        SHORT | {"qty": "5"},
        {**CRYPTO, "symbol": "X1", "asset_class": "a_new_class"},
    ],
)
def test_a_row_of_somebody_else_is_listed_and_neither_priced_nor_counted_nor_traded(world: World, row: Any) -> None:
    with world.rewritten() as proxy:
        table, plan = make(world, proxy)
        proxy.on(POSITIONS, lambda answer: rows(answer, row))
        proxy.on(ACCOUNT, lambda answer: answer.json.update(cash=str(Decimal(answer.json["cash"]))))
        with_it, other = make(world, proxy)
        assert plan.positions == other.positions
        assert sizes(plan).keys() == sizes(other).keys()
        assert len(with_it.details.foreign) == 1
        assert row["symbol"].replace("/", "") in with_it.details.foreign[0]
        asked = {symbol for symbol in with_it.frame["symbol"] if symbol != "SPAR"}
        assert asked == set(table.frame["symbol"])


def test_what_is_foreign_counts_in_the_accounts_equity_and_not_in_what_weights_are_of(world: World) -> None:
    def add(answer: Answer) -> None:
        answer.json.update(equity=str(Decimal(answer.json["equity"]) + 6000))

    with world.rewritten() as proxy:
        _, plan = make(world, proxy)
        proxy.on(POSITIONS, lambda answer: rows(answer, CRYPTO))
        proxy.on(ACCOUNT, add)
        _, other = make(world, proxy)
    assert other.equity == plan.equity
    assert sizes(other) == sizes(plan)


def test_a_foreign_row_spoils_neither_the_rebalance_nor_its_books(world: World) -> None:
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: rows(answer, CRYPTO, OPTION, SHORT))
        proxy.on(ORDERS, lambda answer: rows(answer, option_order(**SPREAD)))
        run = world.attempt()
        assert run.error is None
        assert run.outcome is not None
        assert run.outcome.reconciliation is not None
        assert run.outcome.reconciliation.discrepancies == []
    assert len(run.sent) == 6
    assert world.wrongs() == []


def test_shares_under_a_covered_call_are_not_sold(world: World) -> None:
    call = OPTION | {"symbol": "TRIM261218C00090000", "qty": "-3", "side": "short", "market_value": "-900"}
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: rows(answer, call))
        table, plan = make(world, proxy)
        reason = row_in(table, "TRIM")["reason"]
    held = plan.positions["TRIM"]
    assert sizes(plan)["TRIM"][1] == held - 300
    assert f"short calls need 300 of {held.normalize():f} shares" in reason


def test_shares_promised_by_an_open_order_to_write_calls_are_not_sold(world: World) -> None:
    order = option_order(symbol="TRIM261218C00090000", side="sell", position_intent="sell_to_open", qty="3")
    with world.rewritten() as proxy:
        proxy.on(ORDERS, lambda answer: rows(answer, order))
        _, plan = make(world, proxy)
    assert sizes(plan)["TRIM"][1] == plan.positions["TRIM"] - 300


def test_an_exit_leaves_the_shares_that_an_open_order_to_write_calls_needs(world: World) -> None:
    order = option_order(symbol="GONE261218C00040000", side="sell", position_intent="sell_to_open", qty="2")
    before = world.holdings()["GONE"]
    with world.rewritten() as proxy:
        proxy.on(ORDERS, lambda answer: rows(answer, order))
        run = world.attempt(targets={"KEEP": 0.20, "TRIM": 0.30, "WHOL": 0.20})
    assert run.error is None
    assert [(one.symbol, one.qty) for one in run.sent] == [("GONE", before - 200)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qty": "-5"}, "its side is long and its qty -5"),
        ({"qty_available": None}, "its qty_available is None"),
        ({"side": "short"}, "short, and only long positions are traded here"),
        ({"qty": None}, "its qty is None"),
        ({"qty_available": "1e9"}, "are said to be available"),
        ({"asset_class": None}, "its asset_class is not told"),
    ],
)
def test_a_contradiction_about_one_of_our_names_leaves_it_out_by_name_and_plans_the_rest(
    world: World, change: Any, words: str
) -> None:
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: row_of(answer, "KEEP").update(change))
        table, plan = make(world, proxy)
        row = row_in(table, "KEEP")
        assert row["side"] == "none"
        assert words in row["reason"]
        assert math.isnan(row["drift"])
        assert {"TRIM", "GONE", "WHOL", "FRAC"} <= sizes(plan).keys()


def test_positions_of_which_none_tells_its_class_are_not_traded_and_the_week_is_not_done(world: World) -> None:
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: [row.update(asset_class=None) for row in answer.json])
        table, plan = make(world, proxy)
    left = {
        one.symbol: one
        for one in left_by_planning(table, plan.equity, world.settings.rebalancing, world.settings.guards)
    }
    assert {symbol: one.side for symbol, one in left.items()} == dict.fromkeys(("GONE", "TRIM", "WHOL"), "sell")
    assert left["GONE"].usd == pytest.approx(Decimal(10_000), abs=50)
    done = fulfilment(plan.equity, (), (), {}, {}, list(left.values()))
    assert not done.is_enough(world.settings.guards)
    (doubtful,) = [one for one in check_trade_plan(table.frame, plan, world.settings.guards) if one.name == "doubtful"]
    assert not doubtful.passed
    assert "4 of 7 names are left alone, for their prices or shares are in doubt" in doubtful.description


@pytest.mark.parametrize("change", ["missing", {"qty_available": None}])
def test_an_exit_that_one_answer_lacked_or_contradicted_is_sold_by_the_next_plan(world: World, change: Any) -> None:
    def flawed(answer: Answer) -> None:
        row = row_of(answer, "GONE")
        answer.json.remove(row) if change == "missing" else row.update(change)

    before, _ = world.planned()
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, flawed)
        between, plan = world.planned(last=before)
    assert "GONE" not in sizes(plan)
    table, plan = world.planned(last=between)
    assert sizes(plan)["GONE"][0] == "sell", row_in(table, "GONE")["reason"]


def test_an_account_without_buying_power_plans_and_trades(world: World) -> None:
    with world.rewritten() as proxy:
        proxy.on(ACCOUNT, lambda answer: answer.json.update(buying_power=None))
        run = world.attempt()
    assert run.error is None
    assert run.outcome is not None
    assert run.outcome.fulfilment is not None
    assert run.outcome.fulfilment.shortfalls == ()


def test_a_symbol_in_two_rows_is_left_out_by_name(world: World) -> None:
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: rows(answer, dict(row_of(answer, "TRIM"), qty="10", qty_available="10")))
        table, plan = make(world, proxy)
    assert "in 2 rows" in row_in(table, "TRIM")["reason"]
    assert "TRIM" not in sizes(plan)
    assert "GONE" in sizes(plan)


@pytest.mark.parametrize("field", ["avg_entry_price", "current_price", "market_value"])
def test_a_null_that_no_trade_rests_on_changes_nothing(world: World, field: str) -> None:
    with world.rewritten() as proxy:
        _, plan = make(world, proxy)
        proxy.on(POSITIONS, lambda answer: row_of(answer, "TRIM").update({field: None}))
        _, other = make(world, proxy)
    assert sizes(other) == sizes(plan)


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        ({}, 4500),
        ({"side": "sell", "position_intent": "sell_to_close"}, 0),
        ({"symbol": "MORE261218P00050000", "side": "sell", "position_intent": "sell_to_open", "qty": "1"}, 5000),
        ({"symbol": "ETH/USD", "asset_class": "crypto", "notional": "3000", "qty": None, "limit_price": None}, 3000),
        ({"symbol": "ETH/USD", "asset_class": "crypto", "side": "sell"}, 0),
        ({"order_type": "market", "limit_price": None}, "Infinity"),
        (SPREAD, 3000),
        (SPREAD | {"qty": "2", "limit_price": "-1.5"}, 0),
        ({"symbol": None, "side": None, "order_class": "mleg", "limit_price": None}, "Infinity"),
        ({"symbol": "X1", "asset_class": "a_new_class"}, "Infinity"),
    ],
)
def test_an_open_order_of_another_class_holds_back_what_it_may_cost(world: World, fields: Any, usd: Any) -> None:
    with world.rewritten() as proxy:
        _, sound = make(world, proxy)
        proxy.on(ORDERS, lambda answer: rows(answer, option_order(**fields)))
        table, plan = make(world, proxy)
    bound = sum(table.details.bound_cash.values(), Decimal(0))
    assert bound == Decimal(usd)
    bought = {side: sum(o.value for o in plan.orders if o.side == side) for side in ("buy", "sell")}
    before = {side: sum(o.value for o in sound.orders if o.side == side) for side in ("buy", "sell")}
    assert bought["sell"] == before["sell"]
    assert bought["buy"] <= max(sound.cash + bought["sell"] - bound, Decimal(0))
    if bound.is_infinite():
        assert bought["buy"] == 0
