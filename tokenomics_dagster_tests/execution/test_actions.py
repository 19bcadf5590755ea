"""Splits, renames, spin-offs and delistings on the sandbox, as real brokers book them: a day after the prices."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.execution.world import TARGETS, World, running_world

DAY = 86_400


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("actions")) as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> World:
    """Each test takes an action on a stock of its own, for the market does not go back."""
    shared_world.reset()
    return shared_world


def act(world: World, kind: str, symbol: str, **fields: Any) -> None:
    world.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, "symbol": symbol, **fields})


def hold(world: World, symbol: str, qty: int = 100) -> None:
    """Shares of a stock of that name, at 100 USD, fractionable, which the strategy has."""
    listing = world.sandbox.admin("GET", "/sandbox/listings/KEEP")
    world.sandbox.admin("POST", "/sandbox/listings", {**listing, "symbol": symbol, "price": "100"})
    world.submit(symbol, "buy", qty=Decimal(qty))
    world.wait_until_filled()
    world.adopt([symbol])


def line(made: Made[TradePlanDetails], symbol: str) -> Any:
    return made.frame.set_index("symbol").loc[symbol]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("new", "old"), [(2, 1), (1, 10)])
def test_a_split_is_left_alone_until_it_is_booked_on_the_second_day_too(world, new, old, announced):
    symbol = f"S{new}{old}{announced}".upper()
    hold(world, symbol)
    targets = {**TARGETS, "TRIM": 0.1, symbol: 0.1}
    made, _ = world.planned(targets)
    world.next_session()
    act(world, "split", symbol, new_rate=new, old_rate=old, announced=announced, book_after_s=1.5 * DAY)
    for _ in range(2):
        made, plan = world.planned(targets, last=made)
        assert line(made, symbol)["side"] == "none"
        assert symbol not in {order.symbol for order in plan.orders}
        words = "is announced" if announced else "a split whose shares are not booked yet"
        assert words in line(made, symbol)["reason"]
        assert sum(made.frame["side"] != "none") > 1, "the others are traded"
        world.next_session()
    made, _ = world.planned(targets, last=made)
    assert "drift of" in line(made, symbol)["reason"], "booked: it is what it was"


@pytest.mark.parametrize("later", [0, DAY])
@pytest.mark.parametrize("announced", [True, False])
def test_a_renamed_stock_is_neither_sold_nor_bought_anew(world, later, announced):
    old, new = f"OLD{later}{announced}".upper(), f"NEW{later}{announced}".upper()
    hold(world, old)
    targets = {**TARGETS, "TRIM": 0.1, old: 0.1}
    made, _ = world.planned(targets)
    act(world, "rename", old, new_symbol=new, announced=announced, book_after_s=later)
    for wanted in (old, new):
        made, plan = world.planned({**{s: w for s, w in targets.items() if s != old}, wanted: 0.1}, last=made)
        assert not {old, new} & {order.symbol for order in plan.orders}
        assert made.details.renamed == {old: new}
        if later:
            assert "has not moved its 100 shares there yet" in line(made, old)["reason"]
        else:
            assert "drift of" in line(made, new)["reason"]


def test_shares_of_a_spin_off_are_named_and_left_alone_and_the_parent_too_no_longer_than_its_price(world):
    hold(world, "PAR")
    targets = {**TARGETS, "TRIM": 0.1, "PAR": 0.1}
    made, _ = world.planned(targets)
    act(world, "spin_off", "PAR", new_symbol="KID", new_rate=1, old_rate=2, price="20")
    for _ in range(2):
        made, plan = world.planned(targets, last=made)
        assert plan.foreign == {"KID": 50}
        assert any(row.startswith("KID (us_equity): 50, ") for row in made.details.foreign)
        assert "KID" not in {order.symbol for order in plan.orders}
        world.next_week()


@pytest.mark.parametrize("price", ["0", None])
def test_a_position_without_a_market_is_named_and_stops_no_plan(world, price):
    symbol = f"DEAD{price}".upper()
    hold(world, symbol, 50)
    made, _ = world.planned()
    act(world, "delisting", symbol, price=price)
    made, plan = world.planned(last=made)
    assert "have no market any more and count as 0 USD" in line(made, symbol)["reason"]
    run = world.attempt(plan)
    assert run.error is None
    assert run.outcome.reconciliation.discrepancies == []
