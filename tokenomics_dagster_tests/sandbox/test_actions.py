"""What happens to listed companies and to accounts that hold them: the market, the books, and what is told of it."""

import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest

from tokenomics_dagster.sandbox.actions import take_action
from tokenomics_dagster.sandbox.bookings import Entry
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.orders import Status
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster_tests.sandbox.test_broker import MONDAY, World
from tokenomics_dagster_tests.sandbox.test_server import KEYS, SMALL, get

TUESDAY_MORNING = datetime(2026, 8, 25, 10, 0, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    made = World(spread_bps=0)
    made.filled("AAA", "buy", "30")
    return made


def act(world: World, kind: str, **fields: Any) -> None:
    take_action({"kind": kind, "symbol": "AAA", **fields}, world.market, world.broker)


def held(world: World) -> dict[str, tuple[Decimal, Decimal | None]]:
    return {position.symbol: (position.qty, position.price) for position in world.broker.positions()}


def entries(world: World) -> list[tuple[str, str, Decimal, Decimal]]:
    return [
        (one.type, one.symbol, one.shares, one.amount)
        for one in world.broker.activities()
        if isinstance(one, Entry)
    ]  # fmt: skip


def reloaded(world: World) -> None:
    """The books add up: a broker takes them."""
    world.new_broker().load_state(world.broker.to_state())


@pytest.mark.parametrize(("new", "old", "qty", "price"), [(2, 1, "60", "50"), (1, 10, "3", "1000")])
def test_a_split_that_is_booked_at_once_changes_no_value(world, new, old, qty, price):
    equity = world.broker.account().equity
    act(world, "split", new_rate=new, old_rate=old)
    assert held(world) == {"AAA": (Decimal(qty), Decimal(price))}
    assert world.broker.account().equity == equity
    reloaded(world)


def test_a_split_that_is_booked_a_day_later_seems_to_lose_half_until_then(world):
    equity = world.broker.account().equity
    world.clock.at = TUESDAY_MORNING
    act(world, "split", new_rate=2, old_rate=1, book_after_s=86_400)
    assert held(world) == {"AAA": (Decimal(30), Decimal(50))}
    assert world.broker.account().equity == equity - 1500
    reloaded(world)
    world.clock.at += timedelta(days=1)
    assert held(world) == {"AAA": (Decimal(60), Decimal(50))}
    assert entries(world) == [("SPLIT", "AAA", Decimal(-30), Decimal(0)), ("SPLIT", "AAA", Decimal(60), Decimal(0))]
    assert world.broker.account().equity == equity
    assert world.market.daily_bar("AAA", date(2026, 8, 24)).close == 100, "yesterday's bar is not adjusted"


@pytest.mark.parametrize("later", [0, 86_400])
def test_a_rename_keeps_prices_and_shares_and_moves_the_position_when_it_is_booked(world, later):
    world.market.volatility_pct = 2.0
    world.clock.at = TUESDAY_MORNING
    before = held(world)["AAA"]
    act(world, "rename", new_symbol="NEW", book_after_s=later)
    assert held(world) == {"AAA" if later else "NEW": before}
    assert "AAA" not in world.market.instruments
    world.clock.at += timedelta(days=1)
    assert held(world)["NEW"][0] == 30
    assert world.market.price("NEW", TUESDAY_MORNING) == before[1], "the path of prices goes on"
    reloaded(world)


def test_a_takeover_brings_cash_shares_or_both(world):
    act(world, "merger", cash_rate="12.345", acquirer="BBB", acquirer_rate="0.5")
    assert held(world) == {"BBB": (Decimal(15), Decimal("33.33"))}
    assert entries(world) == [("MA", "AAA", Decimal(-30), Decimal("370.35")), ("MA", "BBB", Decimal(15), Decimal(0))]
    assert world.broker.account().cash == 100_000 - 3000 + Decimal("370.35")
    reloaded(world)


def test_a_spin_off_brings_a_new_position_worth_what_the_old_one_loses(world):
    equity = world.broker.account().equity
    act(world, "spin_off", new_symbol="KID", new_rate=1, old_rate=4, price="20")
    assert held(world) == {"AAA": (Decimal(30), Decimal(95)), "KID": (Decimal("7.5"), Decimal(20))}
    assert [position.cost for position in world.broker.positions()] == [2850, 150]
    assert world.broker.account().equity == equity
    reloaded(world)


@pytest.mark.parametrize("price", ["0", None])
def test_a_delisted_position_stays_without_a_market_until_it_is_removed(world, price):
    act(world, "delisting", price=price)
    assert held(world) == {"AAA": (Decimal(30), None if price is None else Decimal(0))}
    assert world.broker.account().equity == 97_000
    reloaded(world)
    act(world, "removal")
    assert held(world) == {}
    assert entries(world) == [("REORG", "AAA", Decimal(-30), Decimal(0))]
    reloaded(world)


def test_a_dividend_is_paid_on_the_shares_that_were_held_at_the_ex_date(world):
    act(world, "dividend", rate="0.105", book_after_s=3600)
    world.filled("AAA", "sell", "20")
    world.clock.at += timedelta(hours=1)
    assert entries(world) == [("DIV", "AAA", Decimal(0), Decimal("3.15"))]
    reloaded(world)


def test_fees_interest_and_journal_entries_move_cash_to_the_cent(world):
    for kind, amount in (("fee", "-0.02"), ("interest", "1.37"), ("journal", "-250")):
        take_action({"kind": kind, "amount": amount}, world.market, world.broker)
    assert world.broker.account().cash == Decimal(97_000) - Decimal("0.02") + Decimal("1.37") - 250
    reloaded(world)


def test_an_open_order_of_a_stock_that_is_split_is_cancelled(world):
    order = world.send("AAA", "sell", "30", limit="200")
    act(world, "split", new_rate=1, old_rate=10)
    assert world.broker.order(order.id).status is Status.CANCELED
    assert world.broker.positions()[0].qty_available == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "split", "symbol": "AAA", "new_rate": 0, "old_rate": 1}, "new_rate: Input should be greater than 0"),
        ({"kind": "rename", "symbol": "AAA", "new_symbol": "BBB"}, "new_symbol: BBB cannot be a new symbol"),
        ({"kind": "merger", "symbol": "AAA"}, "cash_rate, or acquirer with acquirer_rate"),
        ({"kind": "removal", "symbol": "AAA"}, "AAA is listed"),
        ({"kind": "party", "symbol": "AAA"}, "party"),
        ({"kind": "fee", "amount": "0.001"}, "whole cents"),
        ([], "body: Input should be"),
    ],
)
def test_an_impossible_action_is_refused_and_changes_nothing(world, body, message):
    before = world.broker.to_state()
    with pytest.raises(ValueError, match=message):
        take_action(body, world.market, world.broker)
    assert world.broker.to_state() == before


def test_books_whose_shares_are_not_what_moved_them_are_refused(world):
    state: Any = world.broker.to_state()
    state["holdings"]["AAA"]["qty"] = "60"
    with pytest.raises(ValueError, match="the shares of AAA are not what moved them"):
        world.broker.load_state(state)


def test_it_is_reached_over_http_read_by_the_official_client_and_there_again_after_a_restart(tmp_path: Path):
    known = next(one for one in generate(7, 400).instruments.values() if one.fractionable and one.profile.get("ipo"))
    symbol, state = known.symbol, tmp_path / "state.json"
    order = {"symbol": symbol, "notional": "1000", "side": "buy", "type": "market", "time_in_force": "day"}
    with running_sandbox(**SMALL, state=state) as sandbox:
        requests.post(f"{sandbox.url}/v2/orders", json=order, headers=KEYS, timeout=10).raise_for_status()
        while get(sandbox, "/v2/orders"):
            time.sleep(0.01)
        (position,) = get(sandbox, "/v2/positions")
        sandbox.admin("POST", "/sandbox/actions", {"kind": "rename", "symbol": symbol, "new_symbol": "NEWNAME"})
        split = {"kind": "split", "symbol": "NEWNAME", "new_rate": 4, "old_rate": 1, "book_after_s": 86_400}
        sandbox.admin("POST", "/sandbox/actions", split)
        wipe = {"kind": "delisting", "symbol": other_symbol(sandbox, symbol), "price": None}
        sandbox.admin("POST", "/sandbox/actions", wipe)
        seen = everything(sandbox, symbol)
        assert seen["position"]["asset_id"] == position["asset_id"]
        assert seen["position"]["qty"] == position["qty"]
        assert seen["old profile"] == {}
        assert seen["profile"]["shareOutstanding"] == pytest.approx(4 * known.profile["shareOutstanding"])
        cap = known.profile["marketCapitalization"]
        assert seen["profile"]["marketCapitalization"] == pytest.approx(cap, rel=1e-3), "a split changes no value"
        assert seen["wiped"]["status"] == "inactive"
        client = CorporateActionsClient("PKSANDBOX", "sandbox-secret", url_override=sandbox.url)
        wanted = CorporateActionsRequest(start=MONDAY.date(), end=MONDAY.date() + timedelta(days=7))
        told: Any = client.get_corporate_actions(wanted)
        assert {(kind, row.process_date) for kind, rows in told.data.items() for row in rows} == {
            ("name_changes", date(2026, 8, 24)),
            ("forward_splits", date(2026, 8, 25)),
        }
    with running_sandbox(state=state) as again:
        assert everything(again, symbol, wiped=seen["wiped"]["symbol"]) == seen
        again.admin("PUT", "/sandbox/clock", {"advance_s": 86_400})
        (position_then,) = get(again, "/v2/positions")
        assert Decimal(position_then["qty"]) == 4 * Decimal(position["qty"])


def other_symbol(sandbox: SandboxHandle, symbol: str) -> str:
    return str(next(a["symbol"] for a in get(sandbox, "/v2/assets") if a["tradable"] and a["symbol"] != symbol))


def everything(sandbox: SandboxHandle, symbol: str, wiped: str = "") -> dict[str, Any]:
    """What a client sees of the stock that was renamed and split, and of the one that was delisted."""
    (position,) = get(sandbox, "/v2/positions")
    inactive = [asset for asset in get(sandbox, "/v2/assets") if asset["status"] == "inactive"]
    assert requests.get(f"{sandbox.url}/v1/corporate-actions", timeout=10).status_code == 403
    return {
        "position": position,
        "old profile": get(sandbox, "/api/v1/stock/profile2", symbol=symbol),
        "profile": get(sandbox, "/api/v1/stock/profile2", symbol="NEWNAME"),
        "bars": get(
            sandbox, "/v2/stocks/bars", symbols="NEWNAME", timeframe="1Day", start="2026-08-20", end="2026-08-22"
        ),
        "wiped": inactive[0],
        "told": get(sandbox, "/v1/corporate-actions", start="2026-08-20", end="2026-09-20"),
        "headers": KEYS,
    }
