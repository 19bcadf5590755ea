"""Which names are left alone because shares and prices do not fit to what was there before."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.model.trading import CorporateAction, Position
from tokenomics_dagster.portfolio.doubts import LeftAlone, Moved, Seen, Since, doubts, last_seen, still_doubted
from tokenomics_dagster.portfolio.schema import TradePlanDetails
from tokenomics_dagster.portfolio.standing import Before
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Made

MONDAY = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
LAST_WEEK = MONDAY - timedelta(days=7)
TODAY = date(2026, 8, 31)


@pytest.fixture
def guards(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return load_settings(Path(__file__).resolve().parents[2] / "config/settings.yaml").guards


def position(qty: str, price: str | None = "100") -> Position:
    value = None if price is None else Decimal(price)
    return Position("AAA", Decimal(qty), Decimal(qty), value, None, None, "long")


def split(ratio: str, effective: date = TODAY, processed: date = TODAY) -> CorporateAction:
    return CorporateAction("forward_split", "AAA", "", Decimal(ratio), effective, processed)


def found(guards: Any, **case: Any) -> LeftAlone | None:
    """What is said of AAA, of which 10 shares were held at 100 USD a week ago, 10 are now, and 100 USD is the price."""
    held = {} if case.get("held", "10") is None else {"AAA": position(case.get("held", "10"), case.get("broker"))}
    seen = {} if case.get("unseen") else {"AAA": Seen(Decimal(case.get("was", 10)), Decimal(100), LAST_WEEK)}
    moved = Moved({"AAA": Decimal(case.get("traded", 0))}, case.get("booked", ()))
    prices = {"AAA": Decimal(case.get("price", 100))}
    wanted = case.get("wanted", {"AAA"})
    others = {"BBB": Seen(Decimal(1), None, LAST_WEEK)}
    actions = case.get("actions", ())
    return doubts(held, wanted, prices, Since({**others, **seen}, moved, actions, compared=True), TODAY, guards).get(
        "AAA"
    )


def doubt(guards: Any, **case: Any) -> str:
    one = found(guards, **case)
    return "" if one is None else one.reason


def kept_with_a_plan(seen: dict[str, Seen]) -> dict[str, Seen]:
    """As the next plan reads what this one has stored."""
    details = TradePlanDetails(plan={}, doubted={symbol: one.fields for symbol, one in seen.items()})
    read = TradePlanDetails.model_validate_json(json.dumps(details.to_document()))
    return {symbol: Seen(*one) for symbol, one in read.doubted.items()}


def day_after_day(guards: Any, days: list[dict[str, Any]], unread: int | None = None) -> list[LeftAlone | None]:
    """What is said of AAA, which is not wanted, at one plan a day; `days` tell the shares that are `held`, and those
    `traded` since the plan before. On the day `unread` its row contradicts itself."""
    seen: dict[str, Seen] = {}
    said: list[LeftAlone | None] = []
    for number, day in enumerate(days):
        now = MONDAY + timedelta(days=day.get("at", number))
        readable = number != unread and day["held"] is not None
        held = {"AAA": position(day["held"])} if readable else {}
        moved = Moved({"AAA": Decimal(day.get("traded", 0))})
        alone = doubts(held, (), {}, Since(seen, moved, (), compared=number > 0), now.date(), guards)
        said.append(alone.get("AAA") if number != unread else None)
        kept = still_doubted(alone if number != unread else {}, {"AAA"} if number == unread else (), seen, now)
        again = kept_with_a_plan(kept)
        assert again == kept
        later = MONDAY + timedelta(days=days[number + 1].get("at", number + 1)) if number + 1 < len(days) else now
        seen = last_seen({s: p.qty for s, p in held.items()}, {"BBB": None}, now, again, later)
    return said


GONE, APPEARED = "are gone without a trade", "have appeared that nobody bought"


@pytest.mark.parametrize("absent", [{"held": None}, {"held": "10", "at": 1}])
def test_a_position_that_one_answer_lacked_is_sold_when_it_is_back(guards, absent):
    missing = absent["held"] is None
    days = [{"held": "10"}, absent, {"held": "10"}, {"held": "10"}]
    said = day_after_day(guards, days, unread=None if missing else 1)
    if missing:
        assert said[1] is not None
        assert GONE in said[1].reason
    assert said[2:] == [None, None], "it is what it was: an exit like others"
    assert day_after_day(guards, [{"held": "10"}, {"held": "10"}], unread=0)[1] is None, "nothing was known of it"


def test_what_is_gone_for_a_week_and_comes_again_has_appeared(guards):
    absent = [{"held": None, "at": day} for day in range(1, 9)]
    said = day_after_day(guards, [{"held": "10"}, *absent, {"held": "10", "at": 9}])
    assert said[-2] is None
    assert said[-1] is not None
    assert APPEARED in said[-1].reason


@pytest.mark.parametrize(
    ("days", "left"),
    [
        # sold whole, then a split or a spin-off books as many
        ([{"held": "100"}, {"held": "100", "traded": -100}, {"held": "100"}, {"held": "100", "at": 40}], "100"),
        # the owner buys some of those that nobody bought
        ([{"held": None}, {"held": "50"}, {"held": "60", "traded": 10}, {"held": "60", "at": 30}], "60"),
        # and sells some
        ([{"held": None}, {"held": "50"}, {"held": "30", "traded": -20}, {"held": "30"}], "30"),
    ],
)
def test_shares_that_nobody_bought_stay_after_a_sale_a_purchase_by_hand_and_a_long_pause(guards, days, left):
    said = day_after_day(guards, days)
    assert [one is not None and APPEARED in one.reason for one in said[1:]] == [True] * (len(days) - 1)
    assert said[-1] is not None
    assert said[-1].reason.startswith(f"{left} shares have appeared")
    assert not said[-1].meant, "they are nobody's to sell"
    assert said[-1].reason.endswith("or let the strategy have them by `tokenomics adopt AAA`")


def stored(doubted: dict[str, Seen], positions: dict[str, str]) -> Made[TradePlanDetails]:
    """The last plan, of MONDAY, as far as the next one looks at it."""
    frame = pd.DataFrame({"symbol": list(positions), "price": ["100"] * len(positions)})
    plan = {"account": "PA1", "positions": positions}
    details = TradePlanDetails(plan=plan, doubted={symbol: one.fields for symbol, one in doubted.items()})
    return Made(frame, MONDAY, details)


def test_after_a_long_pause_only_what_nobody_bought_is_still_known(guards):
    kid = Seen(Decimal(0), None, LAST_WEEK, LAST_WEEK, appeared=True)
    now = MONDAY + timedelta(days=40)
    before = Before.of(stored({"KID": kid, "DIM": Seen(Decimal(1), None, MONDAY, MONDAY)}, {"AAA": "10"}), now)
    assert before.seen.keys() == {"KID"}
    held = {"AAA": position("10"), "KID": position("50")}
    compared = before.at is not None
    alone = doubts(held, (), {}, Since(before.seen, Moved(), (), compared=compared), now.date(), guards)
    assert alone.keys() == {"KID"}, "the others are exits, as for a first plan"


def test_a_split_that_is_announced_before_the_first_plan_does_not_make_shares_nobodys(guards):
    pending = [split("2", processed=date(2026, 9, 1))]
    first = doubts({"AAA": position("10")}, (), {}, Since({}, Moved(), pending, compared=False), TODAY, guards)
    assert first["AAA"].meant
    kept = still_doubted(first, (), {}, MONDAY)
    seen = last_seen({"AAA": Decimal(10)}, {}, MONDAY, kept, MONDAY + timedelta(days=1))
    assert doubts({"AAA": position("20")}, (), {}, Since(seen, Moved(), (), compared=True), TODAY, guards) == {}


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"price": 80},
        {"held": "15", "traded": "5"},
        {"held": "20", "price": 50},
        {"held": "20", "price": 50, "booked": {"AAA"}},
        {"held": "20", "price": 55, "actions": [split("2")]},
        {"held": "1", "price": 1000, "booked": {"AAA"}},
        {"held": "10.5", "booked": {"AAA"}},
        {"was": 0, "held": "7", "traded": "7"},
        {"held": None, "traded": "-10"},
        {"was": 0, "held": None},
        {"held": "7", "unseen": True},
        {"actions": [split("2", TODAY + timedelta(days=3), TODAY + timedelta(days=3))]},
        {"actions": [split("2", date(2026, 8, 20), date(2026, 8, 21))]},
    ],
)
def test_what_trades_moves_of_the_market_and_whole_splits_make_is_no_doubt(guards, case):
    assert doubt(guards, **case) == ""


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"price": 50}, "as in a split whose shares are not booked yet"),
        ({"price": 1000}, "as in a split whose shares are not booked yet"),
        ({"price": 63}, "no action of the company is announced, guards.max_price_move_pct is 25"),
        ({"price": 50, "actions": [split("2")]}, "a forward split of AAA of 2 for 1 on 2026-08-31 is announced, 10"),
        ({"price": 100, "actions": [split("2")]}, "it is not booked yet"),
        ({"held": "20"}, "its shares went from 10 to 20 without a trade"),
        ({"held": "20", "booked": {"AAA"}}, "by an entry of the broker, its price from 100 to 100 USD: a split moves"),
        ({"held": "20", "actions": [split("2")]}, "its shares went from 10 to 20 by an entry of the broker"),
        ({"was": 10, "held": "60", "wanted": ()}, "its shares went from 10 to 60 without a trade"),
        ({"held": "4", "traded": "-5"}, "its shares went from 5 to 4 without a trade"),
        ({"held": "7", "unseen": True, "wanted": ()}, "7 shares have appeared that nobody bought: a spin-off"),
        ({"was": 0, "held": "7", "wanted": ()}, "7 shares have appeared that nobody bought"),
        ({"held": None}, "10 shares were held, and are gone without a trade"),
        ({"price": 50, "broker": "100"}, "the market has it at 50 USD, the broker values it at 100"),
        ({"held": "7", "unseen": True, "actions": [split("2", processed=date(2026, 9, 1))]}, "may not be booked yet"),
    ],
)  # fmt: skip
def test_shares_and_prices_that_do_not_fit_to_the_last_plan_are_left_alone_with_the_figures(guards, case, words):
    one = found(guards, **case)
    assert one is not None
    assert words in one.reason
    assert one.meant == ("have appeared" not in words)
    assert one.reason.endswith(
        "the next week counts with what it shows then" if one.meant else "by `tokenomics adopt AAA`"
    )


@pytest.mark.parametrize(("was", "bought"), [(10, 0), (0, 10)])
def test_a_split_that_is_not_booked_is_doubted_on_the_second_day_too_and_for_a_week_only(guards, was, bought):
    seen, moved = {"AAA": Seen(Decimal(was), Decimal(100), LAST_WEEK)}, Moved({"AAA": Decimal(bought)})
    kept = still_doubted({"AAA": LeftAlone("not booked yet")}, (), seen, MONDAY)
    again = kept_with_a_plan(kept)
    assert again == kept
    plan: dict[str, Any] = {"positions": {"AAA": Decimal(10)}, "prices": {"AAA": Decimal(50)}, "at": MONDAY}
    tuesday = last_seen(**plan, doubted=again, now=MONDAY + timedelta(days=1))
    assert tuesday["AAA"].price == 100
    held, prices = {"AAA": position("10", "50")}, {"AAA": Decimal(50)}
    assert doubts(held, {"AAA"}, prices, Since(tuesday, moved, (), compared=True), TODAY, guards)
    assert last_seen(**plan, doubted=again, now=MONDAY + timedelta(days=7))["AAA"].price == 50
