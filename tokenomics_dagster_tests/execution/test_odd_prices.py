"""One bad price, at planning or between plan and order: the name is left alone or traded less, and it is told."""

import re
from collections.abc import Callable, Hashable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.execution.fulfilment import left_by_planning
from tokenomics_dagster.model import calendar
from tokenomics_dagster.portfolio.planning import make_plan
from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.execution.world import PRICES, World, running_world, target_weights
from tokenomics_dagster_tests.rewriting import Answer

SNAPSHOTS = "GET /v2/stocks/snapshots"
TARGETS = {"FRAC": 0.20, "KEEP": 0.20, "TRIM": 0.20, "WHOL": 0.10}
"""GONE is an exit, FRAC a new name, TRIM and WHOL are cut, KEEP is where it should be."""


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("prices")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


def market(symbol: str, **changes: Any) -> Callable[[Answer], None]:
    """Changes of one name's snapshot: `trade`, `quote`, `today`, `before` as their fields, None for none."""
    names = {"trade": "latestTrade", "quote": "latestQuote", "today": "dailyBar", "before": "prevDailyBar"}

    def change(answer: Answer) -> None:
        if symbol in answer.json:
            body = answer.json[symbol]
            for part, fields in changes.items():
                body[names[part]] = None if fields is None else body[names[part]] | fields

    return change


def planned(world: World, change: Callable[[Answer], None] | None = None) -> dict[str, dict[Hashable, Any]]:
    """The rows of the plan by symbol, made through the change."""
    return {row["symbol"]: row for row in plan_table(world, change).frame.to_dict("records")}


def plan_table(world: World, change: Callable[[Answer], None] | None = None) -> Made[TradePlanDetails]:
    with world.rewritten() as proxy, world.connect() as broker:
        if change is not None:
            proxy.on(SNAPSHOTS, change)
        now = broker.clock().now
        weights, clock = target_weights(TARGETS, now - timedelta(days=2)), AlpacaClock(broker)
        return make_plan(weights, calendar.week_of(now), broker, clock, world.settings, world.past)[0]


def stamp(world: World, **ahead: float) -> str:
    return (world.now() + timedelta(**ahead)).isoformat()


def test_one_bad_print_neither_sells_nor_buys(world: World) -> None:
    sound = planned(world)
    for symbol in ("KEEP", "TRIM", "FRAC"):
        for factor in ("1.31", "0.7"):
            wrong = float(PRICES[symbol] * Decimal(factor))
            found = planned(world, market(symbol, trade={"p": wrong}))[symbol]
            assert (found["side"], found["qty"], found["notional"]) == tuple(
                sound[symbol][name] for name in ("side", "qty", "notional")
            )


def test_a_print_that_todays_bar_repeats_leaves_the_name_alone(world: World) -> None:
    found = planned(world, market("KEEP", trade={"p": 25.0}, today={"c": 25.0}))
    assert found["KEEP"]["side"] == "none"
    assert "quote and last trade disagree" in found["KEEP"]["reason"]
    assert found["TRIM"]["side"] == "sell"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quote": {"bp": 5.0, "ap": 19.0}}, "spread too wide: 11667 bps, guards.max_spread_bps is 100"),
        ({"quote": {"bp": 19.1, "ap": 19.0}}, "crossed quote: bid 19.1, ask 19.0"),
        ({"quote": {"bp": 0, "ap": 19.0}}, "a quote with one side only"),
        ({"before": None}, "no previous close"),
        ({"before": {"c": 0}}, "no previous close"),
        ({"quote": {"bp": 25.0, "ap": 25.01}}, "far from the previous close"),
        ({"quote": {"bp": 21.0, "ap": 21.01}}, "quote and last trade disagree: 21.0 to 21.01, the trade was at 19"),
    ],
)
def test_a_name_whose_market_cannot_be_believed_is_left_alone_exits_too(world: World, change: Any, words: str) -> None:
    for symbol, scale in (("KEEP", 1.0), ("GONE", float(PRICES["GONE"] / PRICES["KEEP"]))):
        scaled = {
            part: fields and {key: round(value * scale, 2) for key, value in fields.items()}
            for part, fields in change.items()
        }
        found = planned(world, market(symbol, **scaled))
        assert found[symbol]["side"] == "none"
        assert words.partition(":")[0] in found[symbol]["reason"]
        if symbol == "KEEP":
            assert words in found[symbol]["reason"]
        assert found["TRIM"]["side"] == "sell"


def test_what_is_held_and_left_alone_for_its_price_counts_as_not_traded(world: World) -> None:
    table = plan_table(world, market("GONE", quote={"bp": 5.0, "ap": 60.0}))
    (missing,) = left_by_planning(table, world.equity(), world.settings.rebalancing, world.settings.guards)
    assert (missing.symbol, missing.side, missing.kind) == ("GONE", "sell", "not planned")
    assert missing.usd == pytest.approx(Decimal(10_000), abs=50)
    table = plan_table(world, market("KEEP", quote={"bp": 5.0, "ap": 60.0}))
    assert left_by_planning(table, world.equity(), world.settings.rebalancing, world.settings.guards) == []


def test_a_stamp_of_the_future_is_no_price(world: World) -> None:
    ahead = stamp(world, hours=1)
    found = planned(world, market("TRIM", quote={"t": ahead}))["TRIM"]
    assert found["side"] == "none"
    assert re.match(r"quote of the future: stamped 3(599|600) s ahead", found["reason"])
    # A trade of the future says nothing, whatever its price.
    sound = planned(world)["TRIM"]
    found = planned(world, market("TRIM", trade={"t": ahead, "p": 120.0}))["TRIM"]
    assert (found["side"], found["qty"]) == (sound["side"], sound["qty"])


def test_a_trade_that_is_days_old_neither_prices_nor_contradicts(world: World) -> None:
    old = stamp(world, days=-3)
    sound = planned(world)["TRIM"]
    found = planned(world, market("TRIM", trade={"t": old, "p": 120.0}))["TRIM"]
    assert (found["side"], found["qty"]) == (sound["side"], sound["qty"])
    found = planned(world, market("TRIM", trade={"t": old}, quote={"t": old}))["TRIM"]
    assert found["reason"].startswith("no price: quote too old")


def test_a_snapshot_of_null_leaves_its_name_alone(world: World) -> None:
    found = planned(world, lambda answer: answer.json.update(TRIM=None))
    assert (found["TRIM"]["side"], found["TRIM"]["reason"]) == ("none", "no price")
    assert found["GONE"]["side"] == "sell"


# --- between plan and order -------------------------------------------------------------------------------------------


def test_a_price_that_moved_since_the_plan_makes_its_order_smaller_and_says_so(world: World) -> None:
    plan = world.plan(TARGETS)
    sold = next(order for order in plan.orders if order.symbol == "TRIM")
    world.move({"TRIM": PRICES["TRIM"] * Decimal("0.9")})
    outcome = world.rebalance(plan)
    order = next(
        order for order in world.orders() if order.symbol == "TRIM" and order.client_order_id.startswith("tok")
    )
    assert order.qty is not None
    assert sold.qty is not None
    kept = (plan.positions["TRIM"] - order.qty) * PRICES["TRIM"] * Decimal("0.9")
    assert kept == pytest.approx((plan.positions["TRIM"] - sold.qty) * PRICES["TRIM"], rel=Decimal("0.01"))
    assert "moved by 10.0 %, guards.max_plan_price_move_pct is 3" in outcome.cuts["TRIM"]
    assert world.wrongs() == []


def test_what_a_moved_price_makes_needless_is_not_untraded(world: World) -> None:
    world.configure(guards__max_daily_loss_pct=100.0)
    plan = world.plan(TARGETS)
    # 0.3 of equity at 0.76 is 0.228, of a target of 0.2: a quarter of the sell is enough
    world.move({"TRIM": PRICES["TRIM"] * Decimal("0.76")})
    outcome = world.rebalance(plan)
    assert "guards.max_plan_price_move_pct is 3" in outcome.cuts["TRIM"]
    assert outcome.fulfilment is not None
    assert "TRIM" not in {one.symbol for one in outcome.fulfilment.shortfalls}
    sold = next(order for order in plan.orders if order.symbol == "TRIM").value
    assert outcome.fulfilment.planned_usd < sum(order.value for order in plan.orders) - sold / 2


def test_a_trade_that_its_price_has_made_itself_is_skipped(world: World) -> None:
    world.configure(guards__max_daily_loss_pct=100.0)
    plan = world.plan(TARGETS)
    world.move({"TRIM": PRICES["TRIM"] * Decimal("0.76")})
    # 0.3 of equity at 0.76 is 0.228, of a target of 0.2
    world.configure(rebalancing__min_trade_usd=4000.0)
    outcome = world.rebalance(plan)
    assert outcome.skipped["TRIM"].startswith("no longer needed: ")
    assert outcome.fulfilment is not None
    assert "TRIM" not in {one.symbol for one in outcome.fulfilment.shortfalls}, "not needed is not missing"
    assert "guards.max_plan_price_move_pct is 3" in outcome.skipped["TRIM"]


def test_an_exit_is_not_sized_by_its_price_and_goes_whole(world: World) -> None:
    plan = world.plan(TARGETS)
    world.move({"GONE": PRICES["GONE"] * Decimal("0.9")})
    outcome = world.rebalance(plan)
    assert "GONE" not in outcome.cuts
    assert "GONE" not in world.holdings()


def test_no_order_takes_a_name_above_its_cap_at_the_price_of_that_moment(world: World) -> None:
    plan = world.plan({**TARGETS, "KEEP": 0.30})
    world.configure(rebalancing__max_position_pct=25.0)
    outcome = world.rebalance(plan)
    value = world.holdings()["KEEP"] * PRICES["KEEP"]
    assert Decimal("0.248") < value / world.equity() <= Decimal("0.25")
    assert "above rebalancing.max_position_pct, 25 % of" in outcome.cuts["KEEP"]


def test_a_bad_print_between_plan_and_order_changes_nothing(world: World) -> None:
    plan = world.plan(TARGETS)
    with world.rewritten() as proxy:
        proxy.on(SNAPSHOTS, market("TRIM", trade={"p": 120.0}))
        outcome = world.rebalance(plan)
    assert outcome.skipped == outcome.cuts == {}


def test_a_name_that_is_contradictory_by_now_is_left_out_by_name(world: World) -> None:
    plan = world.plan(TARGETS)

    def twice(answer: Answer) -> None:
        answer.json.append(next(row for row in answer.json if row["symbol"] == "TRIM"))

    with world.rewritten() as proxy:
        proxy.on("GET /v2/positions", twice)
        outcome = world.rebalance(plan)
    assert "TRIM" in outcome.skipped
    assert "GONE" not in outcome.skipped
