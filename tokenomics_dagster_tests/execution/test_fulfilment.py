"""What of a plan was traded: confirmed cash, what changed since the plan, and the sum of what was not done."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.execution import funding, since_plan
from tokenomics_dagster.execution.book import OrderBook, never_seen
from tokenomics_dagster.execution.checks import check_traded
from tokenomics_dagster.execution.confirming import Confirmation
from tokenomics_dagster.execution.fulfilment import Fulfilment, Shortfall, fulfilment, left_by_planning
from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.execution.week import Week
from tokenomics_dagster.model.plan import NOT_TRADABLE, PlannedOrder
from tokenomics_dagster.portfolio.doubts import LeftAlone
from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.portfolio.trades import Money, Names, Trades, plan_trades, planned_orders
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import LedgerOrder, Made
from tokenomics_dagster_tests.execution.world import (
    HELD,
    MONDAY,
    PRICES,
    TARGETS,
    World,
    is_ours,
    running_world,
    target_weights,
)
from tokenomics_dagster_tests.portfolio.test_trades import as_plan
from tokenomics_dagster_tests.rewriting import Answer

ACCOUNT, SEND, POSITIONS = "GET /v2/account", "POST /v2/orders", "GET /v2/positions"
SNAPSHOTS = "GET /v2/stocks/snapshots"


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("fulfilment")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


def ours(world: World, side: str | None = None) -> dict[str, Any]:
    return {order.symbol: order for order in world.orders() if is_ours(order) and side in (None, order.side)}


def kinds(fulfilment: Fulfilment | None) -> dict[str, str]:
    assert fulfilment is not None
    return {one.symbol: one.kind for one in fulfilment.shortfalls}


def idle_pct(world: World) -> Decimal:
    return 100 * world.cash() / world.equity()


# --- cash -------------------------------------------------------------------------------------------------------------


def test_a_plan_that_was_carried_out_leaves_nothing_untraded(world):
    outcome = world.rebalance(world.plan())
    assert outcome.fulfilment.shortfalls == ()
    assert outcome.fulfilment.untraded_pct == 0
    assert outcome.fulfilment.is_enough(world.settings.guards)
    assert Fulfilment.from_document(outcome.fulfilment.to_document()) == outcome.fulfilment


@pytest.mark.parametrize("power", ["0", "123.45"])
def test_cash_pays_where_buying_power_is_nothing_or_of_yesterday(world, power):
    with world.rewritten() as proxy:
        proxy.on(ACCOUNT, lambda answer: answer.json.update(buying_power=power, non_marginable_buying_power=power))
        run = world.attempt()
    assert run.error is None
    assert run.outcome.fulfilment.shortfalls == ()
    assert idle_pct(world) < Decimal("2.5")
    assert world.wrongs() == []


def late_cash(world: World, times: int) -> Any:
    """The account answers so many times with the cash of before, once sells have filled."""
    old = str(world.cash())
    told: list[Answer] = []

    def change(answer: Answer) -> None:
        if len(told) < times and any(order.status == "filled" for order in ours(world, "sell").values()):
            told.append(answer)
            answer.json.update(cash=old, buying_power=old)

    return change


def test_buys_wait_until_cash_is_what_the_fills_make_of_it(world):
    world.configure(trading__cash_timeout_s=20.0)
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on(ACCOUNT, late_cash(world, 4))
        outcome = world.rebalance(plan)
    assert outcome.fulfilment.shortfalls == ()
    assert len(ours(world)) == 6
    assert world.wrongs() == []


def test_cash_that_stays_old_is_told_with_both_figures_and_the_buys_that_it_pays_for_go_out(world):
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on(ACCOUNT, late_cash(world, 10_000))
        outcome = world.rebalance(plan)
    done = outcome.fulfilment
    assert kinds(done) == {"LUMP": "not afforded", "MORE": "not afforded"}
    assert not done.is_enough(world.settings.guards)
    (reason,) = {one.reason.partition("; ")[2] for one in done.shortfalls}
    assert reason.startswith(f"the account still says {plan.cash:,.2f} USD of cash where the fills make 50,0")
    assert reason.endswith("trading.cash_timeout_s is 0.1")
    assert world.wrongs() == []


def test_cash_that_no_fill_explains_is_not_spent_before_a_plan_knows_of_it(world):
    plan = world.plan()
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "30000.00"})
    account, confirmed, said = Confirmation(
        plan, world.broker, AlpacaClock(world.broker), world.settings
    ).confirmed_cash([])
    assert account.cash == plan.cash + 30_000
    assert confirmed == plan.cash + Decimal(str(world.settings.guards.max_cash_difference_usd))
    assert said == ""


def test_a_withdrawal_that_the_broker_has_booked_is_not_waited_for(world):
    world.configure(trading__cash_timeout_s=60.0)
    plan = world.plan()
    world.sandbox.admin("POST", "/sandbox/cash", {"amount": "-1500.00"})
    account, confirmed, said = Confirmation(
        plan, world.broker, AlpacaClock(world.broker), world.settings
    ).confirmed_cash([])
    assert (confirmed, said) == (account.cash, "")


def test_money_that_has_not_settled_ends_as_refused_and_is_told(world):
    plan = world.plan()
    body = {"code": 40310000, "message": "insufficient buying power", "buying_power": "0", "cost_basis": "19946.09"}
    with world.rewritten() as proxy:
        proxy.on(SEND, lambda answer: answer.become(403, body) if answer.sent["side"] == "buy" else None)
        proxy.before(SEND, lambda a: setattr(a, "status", 403) if a.sent["side"] == "buy" else None)
        outcome = world.rebalance(plan)
    assert kinds(outcome.fulfilment) == dict.fromkeys(("FRAC", "LUMP", "MORE"), "refused")
    assert outcome.fulfilment.by_kind["refused"] == (sum(o.value for o in plan.orders if o.side == "buy"), 3)
    assert "insufficient buying power" in outcome.fulfilment.sentence(world.settings.guards)
    assert not outcome.fulfilment.is_enough(world.settings.guards)


def test_a_plan_of_which_every_order_is_refused_is_wholly_untraded_and_alerted(world, caplog):
    plan = world.plan()
    body = {"code": 40310000, "message": "new orders are rejected by user request"}
    with world.rewritten() as proxy:
        proxy.before(SEND, lambda answer: answer.become(403, body))
        outcome = world.rebalance(plan)
    assert outcome.fulfilment.untraded_pct == 100
    assert "100 % of the plan of 2026-08-31 was not traded" in caplog.text
    assert "refused: " in caplog.text
    kinds_ = [record.kind for record in world.ledger.audit_records(plan.week)]
    assert kinds_[-2:] == ["fulfilment", "reconciliation"]


@pytest.mark.parametrize("any_price", [True, False])
def test_an_open_order_of_somebody_takes_its_estimate_or_is_named_where_nobody_can_tell(world, any_price):
    world.configure(trading__settle_timeout_s=0.2)
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "SPAR"})
    foreign = world.submit("SPAR", "buy", qty=Decimal(400))

    def without_quote(answer: Answer) -> None:
        if any_price and "SPAR" in answer.json:
            answer.json["SPAR"].update(latestQuote=None)
        else:
            answer.json.pop("SPAR", None)

    with world.rewritten() as proxy:
        proxy.on(SNAPSHOTS, without_quote)
        outcome = world.rebalance(plan)
    name = f"buy SPAR ({foreign.client_order_id})"
    if any_price:
        assert ours(world, "buy").keys() == {"FRAC", "LUMP", "MORE"}
        assert f"open orders may take 3,892.00 USD: {name}" in outcome.cuts["MORE"]
    else:
        assert ours(world, "buy") == {}
        assert kinds(outcome.fulfilment) == dict.fromkeys(("FRAC", "LUMP", "MORE"), "not afforded")
        assert f"open is {name}, and without any price nobody can tell what it takes" in outcome.skipped["FRAC"]
    assert outcome.fulfilment.is_enough(world.settings.guards) == any_price


def test_a_buy_that_did_not_fill_counts_as_far_as_it_did_not(world):
    world.configure(trading__settle_timeout_s=0.2)
    plan = world.plan()
    world.faults({"kind": "halt", "symbol": "FRAC"})
    outcome = world.rebalance(plan)
    assert kinds(outcome.fulfilment) == {"FRAC": "not filled"}
    assert outcome.fulfilment.untraded_usd == plan.orders[3].value
    assert "the order ended canceled with 0 shares filled" in outcome.fulfilment.sentence(world.settings.guards)


def test_what_a_session_did_not_trade_the_next_one_does_and_what_is_done_stays_done(world):
    world.configure(trading__settle_timeout_s=0.2)
    world.faults({"kind": "halt", "symbol": "FRAC"})
    first = world.attempt()
    assert not first.outcome.fulfilment.is_enough(world.settings.guards)
    world.next_session()
    second = world.attempt()
    assert [(order.symbol, order.client_order_id[-1]) for order in second.sent] == [("FRAC", "2")]
    assert second.outcome.fulfilment.shortfalls == ()
    week = first.outcome.fulfilment
    assert second.outcome.fulfilment.planned_usd == pytest.approx(week.planned_usd, rel=Decimal("0.01"))
    assert second.outcome.fulfilment.names == week.names == 6, "what the week's first plan traded is of the week"
    assert world.plan().orders == ()
    assert world.wrongs() == []


# --- what changed since the plan --------------------------------------------------------------------------------------


def test_a_name_that_was_bought_by_hand_since_the_plan_is_left_out_and_the_others_go_on(world):
    plan = world.plan()
    world.submit("FRAC", "buy", qty=Decimal(7))
    world.wait_until_filled()
    outcome = world.rebalance(plan)
    assert outcome.skipped == {
        "FRAC": "7 shares are held, the plan was made with 0: somebody else bought 7; left out, the next plan counts "
        "with it"
    }
    assert ours(world).keys() == {"GONE", "TRIM", "WHOL", "LUMP", "MORE"}
    assert world.wrongs() == []


def test_a_name_that_was_bought_by_hand_while_the_sells_settled_is_left_out_of_the_buys(world):
    plan = world.plan()
    done: list[Any] = []

    def by_hand(_: Answer) -> None:
        if ours(world, "sell") and not done:
            done.append(world.submit("MORE", "buy", qty=Decimal(3)))
            world.wait_until_filled("MORE")

    with world.rewritten() as proxy:
        proxy.before("GET /v2/clock", by_hand)
        outcome = world.rebalance(plan)
    assert "somebody else bought 3" in outcome.skipped["MORE"]
    assert ours(world).keys() == {"GONE", "TRIM", "WHOL", "FRAC", "LUMP"}
    assert world.wrongs() == []


def test_an_order_of_somebody_that_opens_while_the_sells_settle_leaves_its_name_out_of_the_buys(world):
    plan = world.plan({**HELD, "TRIM": 0.20, "FRAC": 0.20})
    done: list[Any] = []

    def by_hand(_: Answer) -> None:
        if ours(world, "sell") and not done:
            done.append(world.submit("FRAC", "buy", qty=Decimal(3), limit_price=Decimal(9)))

    with world.rewritten() as proxy:
        proxy.before("GET /v2/clock", by_hand)
        outcome = world.rebalance(plan)
    assert outcome.skipped == {"FRAC": f"somebody else's order is open: buy, id {done[0].client_order_id}"}
    assert ours(world).keys() == {"TRIM"}


def test_the_cash_buffer_is_of_what_weights_are_of(world):
    coins = {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "9", "side": "long", "market_value": "1000000"}

    def add(answer: Answer) -> None:
        both = {name: str(Decimal(answer.json[name]) + 1_000_000) for name in ("equity", "last_equity")}
        answer.json.update(both)

    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: answer.json.append(coins))
        proxy.on(ACCOUNT, add)
        run = world.attempt(targets={**HELD, "FRAC": 0.20})
    assert run.error is None
    assert (run.outcome.cuts, run.outcome.fulfilment.shortfalls) == ({}, ())
    assert ours(world).keys() == {"FRAC"}


@pytest.mark.parametrize(("usd", "sent"), [("100.00", [Decimal("100.00")]), ("99.99", [])])
def test_a_buy_that_is_cut_below_min_trade_usd_is_not_sent(world, usd, sent):
    rules = world.settings.rebalancing
    assert rules.min_trade_usd == 100
    buy = PlannedOrder("FRAC", "buy", None, Decimal(5000), Decimal(10))
    paid = funding.pay({buy: None}, Decimal(usd), rules)
    assert [order.value for order in paid.orders] == sent
    assert ("FRAC" in paid.left_out) == (not sent)
    capped, why = since_plan.under_cap(buy, Decimal(0), Decimal(10), Decimal(usd) * 2, rules)
    assert [one.value for one in (capped,) if one] == sent
    assert "rebalancing.max_position_pct" in str(why)


def test_a_split_that_is_booked_after_the_plan_leaves_its_name_out(world):
    plan = world.plan()

    def booked(answer: Answer) -> None:
        for row in answer.json:
            if row["symbol"] in ("TRIM", "GONE"):
                row.update(qty=str(2 * Decimal(row["qty"])), qty_available=str(2 * Decimal(row["qty_available"])))

    with world.rewritten() as proxy:
        proxy.on(POSITIONS, booked)
        outcome = world.rebalance(plan)
    for symbol in ("TRIM", "GONE"):
        assert "no fill explains it: a split, a transfer" in outcome.skipped[symbol]
    assert ours(world).keys() & {"TRIM", "GONE"} == set()
    assert kinds(outcome.fulfilment)["TRIM"] == "left out"


def test_positions_that_are_read_one_late_are_read_again(world):
    world.configure(trading__cash_timeout_s=20.0)
    plan = world.plan()
    with world.rewritten() as proxy:
        proxy.on(POSITIONS, lambda answer: answer.json.clear(), calls=[1, 2])
        outcome = world.rebalance(plan)
    assert outcome.skipped == {}
    assert len(ours(world)) == 6


def approved_late(world: World, prices: dict[str, Decimal], **limits: Any) -> Any:
    world.configure(trading__approval="manual", guards__max_daily_loss_pct=100.0, **limits)
    plan = world.plan()
    world.set_clock(MONDAY + timedelta(hours=3))
    world.move(prices)
    world.ledger.approve(plan.plan_id, plan.plan_hash, by="Ada", at=world.now())
    return plan


def test_a_plan_approved_hours_later_is_sized_by_the_prices_of_now_and_never_larger(world):
    prices = {"TRIM": PRICES["TRIM"] * Decimal("0.9"), "WHOL": PRICES["WHOL"] * Decimal("1.1")}
    plan = approved_late(world, prices)
    planned = {order.symbol: order for order in plan.orders}
    outcome = world.rebalance(plan)
    sent = ours(world)
    # Fallen by a tenth, less of it is too much; what has risen is sold by no more shares than were approved.
    left = (plan.positions["TRIM"] - sent["TRIM"].qty) * prices["TRIM"]
    meant = (plan.positions["TRIM"] - planned["TRIM"].qty) * PRICES["TRIM"]
    assert abs(left / meant - 1) < Decimal("0.001")
    assert sent["TRIM"].qty < planned["TRIM"].qty
    assert sent["WHOL"].qty == planned["WHOL"].qty
    assert sent["GONE"].qty == planned["GONE"].qty
    assert outcome.resized.keys() == {"TRIM"}
    assert "TRIM" not in kinds(outcome.fulfilment), "what is no longer needed is not missing"
    (record,) = [one for one in world.ledger.audit_records(plan.week) if one.kind == "resized"]
    assert record.payload["orders"] == outcome.resized
    assert record.payload["plan_id"] == plan.plan_id
    assert world.wrongs() == []


@pytest.mark.parametrize("killed_before_its_call", [False, True])
def test_a_plan_that_breaks_another_limit_at_the_prices_of_now_must_be_made_and_approved_anew(
    world, killed_before_its_call
):
    dearer = {symbol: PRICES[symbol] * Decimal("1.2") for symbol in ("GONE", "TRIM", "WHOL")}
    plan = approved_late(world, dearer, guards__max_sold_pct=31.0)
    if killed_before_its_call:
        OrderBook(plan, AlpacaClock(world.broker), world.ledger).intend(plan.orders[0])
    with pytest.raises(Refused, match=r"180 minutes ago, and at the prices of now equity sold is 3\d\.\d %"):
        world.rebalance(plan)
    assert ours(world) == {}


def test_an_order_that_is_no_longer_needed_is_no_doubt_of_its_plan_and_its_id_is_kept(world):
    plan = approved_late(world, {"TRIM": PRICES["TRIM"] * Decimal("0.6")}, guards__max_price_move_pct=50.0)
    trim = next(order for order in plan.orders if order.symbol == "TRIM")
    book = OrderBook(plan, AlpacaClock(world.broker), world.ledger)
    row = book.intend(trim)
    outcome = world.rebalance(plan)
    assert "TRIM" in outcome.resized
    assert row.client_order_id not in {one.client_order_id for one in outcome.orders}
    (kept,) = [one for one in book.doubtful() if never_seen(one)]
    assert kept.client_order_id == row.client_order_id
    assert f"plan {plan.plan_id}" in str(kept.note)


def test_an_exit_of_a_plan_that_was_approved_hours_ago_sells_no_more_than_was_approved(world):
    plan = approved_late(world, {})
    gone = next(order for order in plan.orders if order.symbol == "GONE")
    world.submit("GONE", "buy", qty=Decimal(7))
    world.wait_until_filled()
    world.rebalance(plan)
    assert ours(world)["GONE"].qty == gone.qty


def test_an_approved_limit_stays_approved_at_the_prices_of_now(world):
    plan = approved_late(world, {"GONE": PRICES["GONE"] * Decimal("1.1")}, guards__max_sold_pct=20.0)
    world.rebalance(plan)
    assert len(ours(world)) == 6


def test_a_young_plan_is_carried_out_as_it_is(world):
    world.configure(trading__approval="manual")
    plan = world.plan()
    world.ledger.approve(plan.plan_id, plan.plan_hash, by="Ada", at=world.now())
    world.move({"TRIM": PRICES["TRIM"] * Decimal("0.98")})
    outcome = world.rebalance(plan)
    assert outcome.resized == {}
    assert ours(world)["TRIM"].qty == next(o.qty for o in plan.orders if o.symbol == "TRIM")


def test_what_shrinks_below_the_smallest_trade_is_no_longer_needed(world):
    plan = world.plan()
    trim = next(order for order in plan.orders if order.symbol == "TRIM")
    orders, why = since_plan.resized(plan, {"TRIM": trim.price * Decimal("0.6")}, world.settings.rebalancing)
    assert "TRIM" not in {order.symbol for order in orders}
    assert why["TRIM"].startswith("no longer needed: 50.526 USD a share")
    assert [order for order in plan.orders if order.symbol != "TRIM"] == list(orders), "without a price as it was"


# --- the sum ----------------------------------------------------------------------------------------------------------


def found(world: World, planned: str, missing: str) -> Fulfilment:
    short = Shortfall("TRIM", "sell", Decimal(missing), "refused", "no")
    return Fulfilment(Decimal(100_000), Decimal(planned), 1, (short,))


def test_a_week_is_done_within_the_limit_or_where_next_to_nothing_is_missing(world):
    guards = world.settings.guards
    assert found(world, "50000", "5000").is_enough(guards)
    assert not found(world, "50000", "5001").is_enough(guards)
    assert found(world, "200", "200").is_enough(guards), "one tiny trade is no flood"
    assert not found(world, "501", "501").is_enough(guards)
    assert Fulfilment(Decimal(1), Decimal(0), 0, ()).is_enough(guards)


@pytest.mark.parametrize(("day", "words"), [(3, "a later session of it tries again"), (4, "nothing tries again")])
def test_after_the_last_session_of_a_week_nobody_is_told_that_a_later_one_tries_again(world, day, words):
    now = MONDAY + timedelta(days=day)
    over = Week(MONDAY.date(), done=False, reason="", tried_at=now).is_over(now)
    said = check_traded(found(world, "501", "501"), world.settings.guards, is_over=over)
    assert not said.passed
    assert words in said.description


def bought(order: PlannedOrder, plan_id: str) -> LedgerOrder:
    assert order.notional is not None
    at = MONDAY
    return LedgerOrder(
        client_order_id=f"tokenomics-{order.symbol}",
        account="A",
        sleeve="fundamentals",
        period="2026-08-31",
        plan_id=plan_id,
        week=MONDAY.date(),
        symbol=order.symbol,
        side="buy",
        attempt=1,
        qty=None,
        notional=order.notional,
        status="filled",
        broker_id=order.symbol,
        filled_qty=order.notional / order.price,
        filled_avg_price=order.price,
        note=None,
        created_at=at,
        updated_at=at,
    )


@pytest.mark.parametrize("before", [0, 1, 17, 18])
def test_a_weeks_verdict_is_the_same_however_often_it_was_interrupted_or_run_again(before: int) -> None:
    orders = [PlannedOrder(f"N{n}", "buy", None, Decimal(5_000), Decimal(10)) for n in range(18)]
    left = [Shortfall("LEFT", "buy", Decimal(10_000), "not planned", "a split is announced")]
    earlier = [bought(order, "earlier") for order in orders[:before]]
    newest = [bought(order, "newest") for order in orders[before:]]
    done = fulfilment(Decimal(100_000), orders[before:], newest, {}, {}, left, earlier)
    assert (done.planned_usd, done.traded_usd, done.names) == (Decimal(100_000), Decimal(90_000), 19)
    assert done.is_enough(load_settings().guards)


@pytest.mark.parametrize(
    ("untradable", "names", "usd", "counts"),
    [
        (1, 20, "500", False),  # a quiet week: the others are where they should be
        (2, 20, "4365.80", False),
        (3, 20, "4365.80", True),  # 13 % of equity
        (4, 20, "100", False),
        (5, 20, "101", True),  # a quarter of the names: the list of assets may be wrong
        (10, 100, "900", False),
        (11, 100, "900", True),
    ],
)
def test_what_the_broker_does_not_trade_is_told_and_counts_where_it_is_much_at_once(
    untradable: int, names: int, usd: str, counts: bool
) -> None:
    settings, equity = load_settings(), Decimal(100_000)
    symbols = [f"N{n}" for n in range(names)]
    reasons = [NOT_TRADABLE] * untradable + ["drift of 1.00% of the target is under the threshold of 20.00%"] * (
        names - untradable
    )
    frame = pd.DataFrame({"symbol": symbols, "reason": reasons})
    plan = as_plan(Trades(frame, dict.fromkeys(symbols[:untradable], Decimal(usd))))
    left = left_by_planning(plan, equity, settings.rebalancing, settings.guards)
    done = fulfilment(equity, (), (), {}, {}, left)
    assert done.is_enough(settings.guards) is not counts
    assert done.untraded_usd == (untradable * Decimal(usd) if counts else 0)
    said = done.sentence(settings.guards)
    assert f"{untradable * Decimal(usd):,.2f} USD in {untradable} (buy N0 {Decimal(usd):,.2f}: {NOT_TRADABLE}" in said
    assert ("so little that it is told and not counted" in said) is not counts
    assert Fulfilment.from_document(done.to_document()) == done


def shares_held() -> dict[str, tuple[Decimal, Decimal]]:
    held = {symbol: Decimal(str(100_000 * weight)) / PRICES[symbol] for symbol, weight in HELD.items()}
    return {symbol: (qty, qty) for symbol, qty in held.items()}


def planned(world: World, **case: Any) -> Trades:
    """The plan of 100,000 USD, 20,000 of them in cash, unless the case says otherwise."""
    given = {
        "positions": shares_held(),
        "prices": PRICES,
        "assets": {symbol: symbol not in ("LUMP", "WHOL") for symbol in PRICES},
    }
    money = Money(Decimal(100_000), case.pop("cash", Decimal(20_000)), case.pop("bound", {}))
    weights = target_weights({**TARGETS, "SPAR": 0.0001}, MONDAY)
    return plan_trades(weights.frame, Names(**{**given, **case}), money, world.settings.rebalancing)


def missing(world: World, plan: Made[TradePlanDetails]) -> dict[str, tuple[str, Decimal]]:
    left = left_by_planning(plan, Decimal(100_000), world.settings.rebalancing, world.settings.guards)
    return {one.symbol: (one.side, one.usd) for one in left}


def test_what_is_left_alone_for_a_doubt_or_a_contradiction_counts_as_not_traded(world):
    trades = planned(
        world,
        disputed={
            "FRAC": LeftAlone("155 shares were held, and are gone without a trade"),
            "GONE": LeftAlone("its price moved"),
            "KEEP": LeftAlone("its qty is None"),
            "TRIM": LeftAlone("a split is announced"),
            "WHOL": LeftAlone("held under its old symbol, until they are moved"),
            "KID": LeftAlone("5 shares have appeared that nobody bought", meant=False),
        },
        worth={"GONE": Decimal(9_990), "KEEP": Decimal(20_001), "TRIM": Decimal(30_000), "KID": Decimal(99)},
    )
    assert missing(world, as_plan(trades)) == {
        "FRAC": ("buy", Decimal("19950.00")),
        "GONE": ("sell", Decimal("9990.00")),  # by what the broker says, not by a price in doubt
        "TRIM": ("sell", Decimal("10050.00")),
        "WHOL": ("buy", Decimal("9975.00")),
    }, "KEEP is near its target, KID is nobody's to sell"


@pytest.mark.parametrize("usd", ["Infinity", "12000"])
def test_buys_that_an_open_order_of_unknown_cost_leaves_out_of_the_plan_count_as_not_traded(world, usd):
    sound = {order.symbol: order.value for order in planned_orders(planned(world).frame) if order.side == "buy"}
    whole = planned(world, cash=Decimal(10_000))
    assert missing(world, as_plan(whole)) == {}, "what the cash of the account does not pay for is not meant"
    meant = {order.symbol: order.value for order in planned_orders(whole.frame) if order.side == "buy"}
    assert sum(meant.values()) < sum(sound.values())
    order = "open order someone-1 (us_equity SPAR)"
    trades = planned(world, cash=Decimal(10_000), bound={order: Decimal(usd)})
    bought = {order.symbol: order.value for order in planned_orders(trades.frame) if order.side == "buy"}
    assert bool(bought) == (usd != "Infinity")
    short = {symbol: value - bought.get(symbol, Decimal(0)) for symbol, value in meant.items()}
    found = missing(world, as_plan(trades))
    assert found == {symbol: ("buy", value) for symbol, value in short.items() if value}
    assert sum(usd for _, usd in found.values()) >= 11_500
    reasons = trades.frame.set_index("symbol")["reason"]
    assert all("cash is short" in reasons[s] and reasons[s].endswith(f"it is kept for {order}") for s in found)


def test_a_plan_that_was_stored_before_it_told_what_it_left_out_counts_all_that_it_left_alone(world):
    priced = {s: p for s, p in PRICES.items() if s not in ("MORE", "GONE")}
    frame, _ = planned(world, prices=priced, open_orders={"TRIM"})
    earlier = Made(frame, MONDAY, TradePlanDetails(plan={}))
    assert missing(world, earlier).keys() == {"MORE", "TRIM"}, "KEEP and SPAR are under the filters"


def test_what_planning_leaves_out_for_a_reason_that_may_pass_is_missing_and_what_is_not_meant_is_not(world):
    held = shares_held()
    trades = planned(
        world,
        positions={**held, "GONE": (held["GONE"][0], held["GONE"][0] / 2)},
        prices={symbol: price for symbol, price in PRICES.items() if symbol != "MORE"},
        assets={symbol: symbol not in ("LUMP", "WHOL") for symbol in PRICES if symbol != "FRAC"},
        cash=Decimal(5_000),
        open_orders={"TRIM"},
    )
    assert missing(world, as_plan(trades)) == {
        "FRAC": ("buy", Decimal("19950.00")),  # the broker does not trade it
        "MORE": ("buy", Decimal("12967.50")),  # no price
        "TRIM": ("sell", Decimal("10050.00")),  # an order is open for it
        "GONE": ("sell", Decimal("5000.00")),  # half of it is held by an order
    }
    assert replace(found(world, "1", "1"), shortfalls=()).untraded_usd == 0
