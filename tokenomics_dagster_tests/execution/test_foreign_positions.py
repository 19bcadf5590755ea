"""Whose the shares are: what no sleeve has ever owned is left alone, until a person lets the strategy have it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import Foreign
from tokenomics_dagster.portfolio.planning import CannotPlan
from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.storage.records import Adoption, Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.world import HELD, TARGETS, World, running_world

WANTED = HELD.keys() & TARGETS.keys()
LEAVING_NONE = {"FRAC": 0.5, "SPAR": 0.3}


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("ownership")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    """An account that held stocks before the platform came."""
    shared_world.reset()
    forget_all(shared_world)
    return shared_world


def forget_all(world: World) -> None:
    world.ledger.close()
    world.ledger = Warehouse("sqlite://")


def lines(made: Made[TradePlanDetails]) -> dict[str, dict[Any, Any]]:
    return {row["symbol"]: row for row in made.frame.to_dict("records")}


def test_what_was_held_before_the_first_rebalance_is_named_and_left_alone(world: World) -> None:
    before = world.broker.positions()
    made, plan = world.planned()
    assert plan.foreign == {symbol: before[symbol].qty for symbol in sorted(HELD)}
    assert len(made.details.foreign) == len(HELD)
    found = lines(made)
    assert "GONE" not in found
    for symbol in WANTED:
        assert found[symbol]["side"] == "none"
        assert found[symbol]["reason"] == (
            f"the account holds {symbol}, and no strategy has ever bought it here: left alone; sell it by hand, or let "
            f"the strategy have it by `tokenomics adopt {symbol}`"
        )
    outcome = world.rebalance(plan)
    assert {row.side for row in outcome.orders} == {"buy"}
    assert outcome.reconciliation is not None
    assert outcome.reconciliation.discrepancies == []
    after = world.broker.positions()
    assert {symbol: after[symbol].qty for symbol in HELD} == {symbol: before[symbol].qty for symbol in HELD}


def test_weights_are_of_what_is_not_foreign(world: World) -> None:
    account = world.broker.account()
    values = [position.market_value for position in world.broker.positions().values()]
    _, plan = world.planned()
    assert plan.equity == account.equity - sum((usd for usd in values if usd is not None), Decimal(0))
    world.rebalance(plan)
    held = world.broker.positions()
    bought = sum((held[symbol].market_value or Decimal(0) for symbol in TARGETS.keys() - HELD.keys()), Decimal(0))
    assert bought <= plan.equity * Decimal("0.49")


def test_a_name_that_is_wanted_and_foreign_counts_as_not_traded(world: World) -> None:
    outcome = world.rebalance(world.plan({"FRAC": 0.1, "TRIM": 0.5}))
    assert outcome.fulfilment is not None
    # What is left out in planning is told by the asset's run; here by the table.
    made, _ = world.planned({"FRAC": 0.1, "TRIM": 0.5})
    assert made.details.not_planned is not None
    assert made.details.not_planned["TRIM"] > 9_000


def test_what_a_person_has_adopted_is_sold_where_it_is_not_wanted(world: World) -> None:
    targets = {"FRAC": 0.2, "KEEP": 0.45, "TRIM": 0.2, "WHOL": 0.1}
    first, _ = world.planned(targets)
    world.adopt_now(["GONE", "KEEP"])
    made, plan = world.planned(targets, last=first)
    assert set(plan.foreign) == {"TRIM", "WHOL"}
    found = lines(made)
    assert (found["GONE"]["side"], found["GONE"]["exit"]) == ("sell", True)
    assert "drift of" in found["KEEP"]["reason"]
    run = world.attempt(plan)
    assert run.error is None
    assert "GONE" not in world.broker.positions()


def test_what_the_strategy_has_bought_is_its_own_from_then_on(world: World) -> None:
    made, plan = world.planned({"FRAC": 0.5})
    world.rebalance(plan)
    again, plan = world.planned(LEAVING_NONE, last=made)
    assert {symbol: len(ids) for symbol, ids in again.details.own.items()} == {"FRAC": 1}
    assert "FRAC" in plan.positions
    gone, _ = world.planned({"SPAR": 0.3}, last=again)
    assert lines(gone)["FRAC"]["exit"]


@pytest.mark.parametrize("days", [1, 34])
def test_a_restored_ledger_takes_nothing_from_the_strategy_that_it_has_bought_of_late(world: World, days: int) -> None:
    world.rebalance(world.plan({"FRAC": 0.5}))
    forget_all(world)
    world.set_clock(world.now() + timedelta(days=days))
    assert "FRAC" not in world.plan({"SPAR": 0.3}).foreign


def test_what_somebody_buys_by_hand_is_nobodys_to_sell(world: World) -> None:
    world.configure(trading__foreign_positions="leave")
    made, plan = world.planned({"FRAC": 0.5})
    world.rebalance(plan)
    world.submit("MORE", "buy", qty=Decimal(3))
    world.wait_until_filled()
    later, plan = world.planned({"FRAC": 0.5}, last=made)
    assert plan.foreign["MORE"] == 3
    assert "MORE" not in lines(later)


def test_with_sell_all_that_is_held_is_the_strategys(world: World) -> None:
    world.configure(trading__foreign_positions="sell")
    made, plan = world.planned()
    assert plan.foreign == {}
    assert lines(made)["GONE"]["exit"]
    assert world.attempt(plan).error is None
    assert "GONE" not in world.broker.positions()


def test_what_was_left_alone_is_traded_as_soon_as_the_settings_say_so(world: World) -> None:
    first, _ = world.planned()
    world.configure(trading__foreign_positions="sell")
    made, _ = world.planned(last=first)
    assert lines(made)["GONE"]["side"] == "sell"
    assert lines(made)["TRIM"]["side"] == "sell"


def test_a_plan_that_was_made_to_sell_it_is_not_carried_out_once_it_is_to_be_left(world: World) -> None:
    world.configure(trading__foreign_positions="sell")
    _, plan = world.planned()
    assert {"GONE", "TRIM"} <= {*plan.taken}
    before = world.holdings()
    world.configure(trading__foreign_positions="leave")
    refusal = r"no strategy had ever bought here \(GONE.*`tokenomics adopt GONE"
    with pytest.raises(Refused, match=refusal):
        world.rebalance(plan)
    world.adopt(HELD)
    with pytest.raises(Refused, match=refusal):
        world.rebalance(plan)  # of which stock the adoption is, it does not know
    assert world.holdings() == before
    world.rebalance(world.plan())
    assert "GONE" not in world.holdings()


def test_a_plan_that_was_made_to_buy_more_of_it_is_not_carried_out_once_it_is_to_be_left(world: World) -> None:
    world.configure(trading__foreign_positions="sell")
    made, plan = world.planned({"FRAC": 0.1, "TRIM": 0.5, **dict.fromkeys(("GONE", "KEEP", "WHOL"), 0.1)})
    more = replace(plan, orders=tuple(order for order in plan.orders if order.side == "buy")).sealed()
    assert lines(made)["TRIM"]["side"] == "buy"
    before = world.holdings()
    world.configure(trading__foreign_positions="leave")
    for one in (more, replace(more, form=1).sealed()):
        with pytest.raises(Refused, match=r"no strategy had ever bought here \(.*TRIM"):
            world.rebalance(one)
    assert world.holdings() == before


def test_a_plan_of_before_anybody_asked_whose_a_stock_is_sells_only_what_was_bought(world: World) -> None:
    world.adopt(HELD)
    _, plan = world.planned()
    old = replace(plan, form=1).sealed()
    forget_all(world)
    before = world.holdings()
    with pytest.raises(Refused, match=r"no strategy had ever bought here \(GONE"):
        world.rebalance(old)
    assert world.holdings() == before
    world.configure(trading__foreign_positions="sell")
    world.rebalance(old)
    assert "GONE" not in world.holdings()


def test_an_account_that_holds_nothing_of_the_strategys_and_no_cash_is_not_planned(world: World) -> None:
    values = [position.market_value or Decimal(0) for position in world.broker.positions().values()]
    with world.rewritten() as proxy:
        proxy.on("GET /v2/account", lambda answer: answer.json.update(cash="0", equity=str(sum(values, Decimal(0)))))
        with pytest.raises(
            CannotPlan, match=r"nothing is left to plan with.*`tokenomics adopt` lets the strategy have"
        ):
            world.plan()


def test_shares_that_came_from_nowhere_can_be_adopted(world: World) -> None:
    """A spin-off of a name that the strategy once owned."""
    world.adopt(["GONE"])
    world.rebalance(world.plan({"FRAC": 0.3}))
    assert "GONE" not in world.broker.positions()
    sold, _ = world.planned({"FRAC": 0.3})
    world.submit("GONE", "buy", qty=Decimal(7))
    world.wait_until_filled()
    with world.rewritten() as proxy:
        # Nobody bought them, as far as the account tells.
        proxy.on("GET /v2/account/activities*", without("GONE"))
        appeared, plan = world.planned({"FRAC": 0.3}, last=sold)
        assert "7 shares have appeared that nobody bought" in lines(appeared)["GONE"]["reason"]
        assert "GONE" not in plan.foreign
        world.set_clock(world.now() + timedelta(minutes=1))
        world.adopt_now(["GONE"])
        made, _ = world.planned({"FRAC": 0.3}, last=appeared)
    assert lines(made)["GONE"]["exit"]
    assert lines(made)["GONE"]["side"] == "sell"


def without(symbol: str) -> Any:
    def change(answer: Any) -> None:
        answer.json[:] = [row for row in answer.json if row.get("symbol") != symbol]

    return change


def test_a_plan_seals_what_is_foreign(world: World) -> None:
    _, plan = world.planned()
    assert Plan.from_document(plan.to_document()).digest() == plan.plan_hash
    document = {**plan.to_document(), "foreign": {}}
    assert Plan.from_document(document).digest() != plan.plan_hash


def test_a_foreign_stock_says_how_it_can_be_had() -> None:
    assert "`tokenomics adopt AAPL`" in Foreign("AAPL", "us_equity", Decimal(5), Decimal(750)).reason
    for other in (
        Foreign("AAPL", "us_equity", Decimal(-5), Decimal(-750), short=True),
        Foreign("BTCUSD", "crypto", Decimal(1), Decimal(60_000)),
    ):
        assert other.reason == "not traded by this strategy"


def test_adoptions_are_of_one_account_and_the_newest_counts(world: World) -> None:
    at = world.now()
    for qty, account in ((1, "A"), (2, "B"), (3, "A")):
        world.ledger.adopt([Adoption(account, FUNDAMENTALS, "X", "id", Decimal(qty), "ann", at)])
    assert world.ledger.owned("A").adopted == {"X": Adoption("A", FUNDAMENTALS, "X", "id", Decimal(3), "ann", at)}
    assert world.ledger.owned("C").adopted == {}
    assert world.ledger.verify_audit() is None
    with pytest.raises(ValueError, match="records of kind adoption are written with what they tell of"):
        world.ledger.audit("adoption", {}, at=at)
