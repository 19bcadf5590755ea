"""Which names are left alone because shares and prices do not fit to what was there before, and who is who now."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.portfolio.doubts import Moved, Seen, doubts, last_seen, still_doubted
from tokenomics_dagster.providers import renames
from tokenomics_dagster.providers.activities import CorporateAction
from tokenomics_dagster.providers.holdings import Position
from tokenomics_dagster.settings import load_settings

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


def doubt(guards: Any, **case: Any) -> str:
    """What is said of AAA, of which 10 shares were held at 100 USD a week ago, 10 are now, and 100 USD is the price."""
    held = {} if case.get("held", "10") is None else {"AAA": position(case.get("held", "10"), case.get("broker"))}
    seen = {} if case.get("unseen") else {"AAA": Seen(Decimal(case.get("was", 10)), Decimal(100), LAST_WEEK)}
    moved = Moved({"AAA": Decimal(case.get("traded", 0))}, case.get("booked", ()))
    prices = {"AAA": Decimal(case.get("price", 100))}
    wanted = case.get("wanted", {"AAA"})
    others = {"BBB": Seen(Decimal(1), None, LAST_WEEK)}
    found = doubts(held, wanted, prices, {**others, **seen}, moved, case.get("actions", ()), TODAY, guards)
    return found.get("AAA", "")


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
        ({"held": "20", "booked": {"AAA"}}, "2 shares were booked for each, and the price moved from 100 to 100"),
        ({"held": "20", "actions": [split("2")]}, "2 shares were booked for each"),
        ({"held": "4", "traded": "-5"}, "its shares went from 5 to 4 without a trade"),
        ({"held": "7", "unseen": True, "wanted": ()}, "7 shares have appeared that nobody bought: a spin-off"),
        ({"was": 0, "held": "7", "wanted": ()}, "7 shares have appeared that nobody bought"),
        ({"held": None}, "10 shares were held, and are gone without a trade"),
        ({"price": 50, "broker": "100"}, "the market has it at 50 USD, the broker values it at 100"),
        ({"held": "7", "unseen": True, "actions": [split("2", processed=date(2026, 9, 1))]}, "may not be booked yet"),
    ],
)  # fmt: skip
def test_shares_and_prices_that_do_not_fit_to_the_last_plan_are_left_alone_with_the_figures(guards, case, words):
    said = doubt(guards, **case)
    assert words in said
    assert said.endswith("the next week counts with what it shows then")


@pytest.mark.parametrize(("was", "bought"), [(10, 0), (0, 10)])
def test_a_split_that_is_not_booked_is_doubted_on_the_second_day_too_and_for_a_week_only(guards, was, bought):
    seen, moved = {"AAA": Seen(Decimal(was), Decimal(100), LAST_WEEK)}, Moved({"AAA": Decimal(bought)})
    kept = still_doubted({"AAA"}, seen, moved, MONDAY)
    again = {symbol: Seen.from_document(one.to_document()) for symbol, one in kept.items()}
    assert again == kept
    plan: dict[str, Any] = {"positions": {"AAA": Decimal(10)}, "prices": {"AAA": Decimal(50)}, "at": MONDAY}
    tuesday = last_seen(**plan, doubted=again, now=MONDAY + timedelta(days=1))
    assert tuesday["AAA"].price == 100
    assert doubts({"AAA": position("10", "50")}, {"AAA"}, {"AAA": Decimal(50)}, tuesday, moved, (), TODAY, guards)
    assert last_seen(**plan, doubted=again, now=MONDAY + timedelta(days=7))["AAA"].price == 50


def test_shares_that_nobody_bought_are_left_alone_for_good(guards):
    kept = still_doubted({"KID"}, {}, Moved(), MONDAY)
    seen = last_seen({"KID": Decimal(5)}, {"KID": Decimal(9)}, MONDAY, kept, MONDAY + timedelta(days=300))
    assert "have appeared" in doubts({"KID": position("5", "9")}, (), {}, seen, Moved(), (), TODAY, guards)["KID"]


def test_a_rename_is_known_by_announcement_asset_id_or_figi_and_only_of_what_is_gone():
    change = CorporateAction("name_change", "FB", "META", None, TODAY, TODAY)
    again = CorporateAction("name_change", "META", "MVRS", None, TODAY, TODAY)
    assert renames.announced([change], {"META"}) == {"FB": "META"}
    assert renames.announced([change, again], {"MVRS"}) == {"FB": "MVRS", "META": "MVRS"}
    assert renames.announced([change], {"META", "FB"}) == {}, "the old symbol is somebody else's now"
    assert renames.announced([change], {"AAPL"}) == {}, "not yet"
    assert renames.announced([CorporateAction("stock_merger", "FB", "META", None, TODAY, TODAY)], {"META"}) == {}
    assert renames.by_identity({"FB": "1", "A": "2"}, {"META": "1", "A": "2"}) == {"FB": "META"}
    assert renames.by_identity({"FB": "1"}, {"META": "1", "FB": "9"}) == {}
    assert renames.by_identity({"FB": "1", "A": ""}, {"META": "1", "META.A": "1", "B": ""}) == {}


def test_a_table_moves_to_the_new_symbol_whose_own_row_stays():
    frame = pd.DataFrame({"symbol": ["FB", "AAPL"], "weight": [0.1, 0.2]})
    assert list(renames.renamed(frame, {"FB": "META"})["symbol"]) == ["META", "AAPL"]
    both = pd.DataFrame({"symbol": ["FB", "META"], "weight": [0.1, 0.2]})
    assert renames.renamed(both, {"FB": "META"}).to_dict("list") == {"symbol": ["META"], "weight": [0.2]}
    assert renames.renamed(frame, {"X": "Y"}) is frame


def test_a_universe_keeps_the_links_of_the_ones_before_while_the_new_symbol_is_followed():
    assert renames.followed_on({"FB": "META"}, {}, {"META"}) == {"FB": "META"}
    assert renames.followed_on({}, {"FB": "META"}, {"META"}) == {"FB": "META"}
    assert renames.followed_on({"META": "MVRS"}, {"FB": "META"}, {"MVRS"}) == {"FB": "MVRS", "META": "MVRS"}
    assert renames.followed_on({}, {"FB": "META"}, {"META", "FB"}) == {}, "the old symbol is somebody else's now"
    assert renames.followed_on({}, {"FB": "META"}, {"AAPL"}) == {}


def test_a_new_symbol_inherits_the_last_row_of_the_old_one_with_its_age_and_never_over_a_younger_one():
    old = {"symbol": "FB", "known_at": pd.Timestamp(LAST_WEEK), "roe": 20.0, "debt": float("nan")}
    inherited = {"symbol": "META", "known_at": LAST_WEEK, "roe": 20.0, "debt": None}
    assert renames.inherited(pd.DataFrame([old]), {"FB": "META", "X": "Y"}) == [inherited]
    for own, expected in ((LAST_WEEK, []), (MONDAY, []), (LAST_WEEK - timedelta(days=7), [inherited])):
        facts = pd.DataFrame([old, {**old, "symbol": "META", "known_at": pd.Timestamp(own)}])
        assert renames.inherited(facts, {"FB": "META"}) == expected
