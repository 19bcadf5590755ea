"""Rows of an account that are not ours, or contradict themselves: none stops the others, none is traded."""

from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.model.trading import Account, Foreign, Holdings, class_by_name, one_name, parse_option
from tokenomics_dagster.providers.alpaca.holdings import read_holdings

CALL, PUT = "AAPL261218C00150000", "AAPL261218P00150000"


def row(symbol: Any = "AAPL", **fields: Any) -> dict[str, Any]:
    values = {"symbol": symbol, "asset_class": "us_equity", "asset_id": f"id-{symbol}", "qty": "200", "side": "long"}
    values |= {"qty_available": "200", "avg_entry_price": "100", "current_price": "150", "market_value": "30000"}
    return values | fields


def crypto(symbol: Any = "BTCUSD", **fields: Any) -> dict[str, Any]:
    return row(symbol, **{"asset_class": "crypto", "qty": "0.1", "market_value": "6000", **fields})


def option(symbol: str, qty: str, **fields: Any) -> dict[str, Any]:
    side = "short" if qty.startswith("-") else "long"
    return row(symbol, **{"asset_class": "us_option", "qty": qty, "side": side, "market_value": "900", **fields})


def read(*rows: Any) -> Holdings:
    """With a position that nothing may spoil."""
    found = read_holdings([row("SAFE"), *rows])
    assert found.ours["SAFE"].qty == 200
    assert not found.ours.keys() & found.disputed.keys()
    return found


def account(equity: int, *, cash: int) -> Account:
    return Account("PA1", "ACTIVE", Decimal(cash), Decimal(equity), Decimal(equity), "USD", False, False, False)


@pytest.mark.parametrize(
    ("body", "foreign"),
    [
        (crypto(), Foreign("BTCUSD", "crypto", Decimal("0.1"), Decimal(6000))),
        (crypto("BTC/USD", asset_class=None), Foreign("BTCUSD", "crypto", Decimal("0.1"), Decimal(6000))),
        (option(CALL, "2"), Foreign(CALL, "us_option", Decimal(2), Decimal(900))),
        (option(CALL, "2", asset_class=None), Foreign(CALL, "us_option", Decimal(2), Decimal(900))),
        (option(PUT, "-1"), Foreign(PUT, "us_option", Decimal(-1), Decimal(-900), short=True)),
        (row("X1", asset_class="a_new_class"), Foreign("X1", "a_new_class", Decimal(200), Decimal(30000))),
        (crypto(None), Foreign("without a name", "crypto", Decimal("0.1"), Decimal(6000))),
    ],
)
def test_what_this_strategy_cannot_trade_is_foreign_and_no_position(body, foreign):
    found = read(body)
    assert found.foreign == (foreign,)
    assert found.ours.keys() == {"SAFE"}
    assert found.disputed == {}


@pytest.mark.parametrize("field", ["avg_entry_price", "current_price", "qty_available", "qty", "market_value", "side"])
@pytest.mark.parametrize("value", [None, "", "abc", [1], "NaN"])
def test_no_field_of_a_foreign_row_is_needed(field, value):
    for body in (crypto(), option(CALL, "2")):
        assert len(read({**body, field: value}).foreign) == 1


def test_the_value_of_an_option_without_one_is_a_hundred_times_its_price():
    (foreign,) = read(option(CALL, "2", market_value=None, current_price="4.5")).foreign
    assert foreign.value == 900
    (foreign,) = read(option(CALL, "2", market_value=None, current_price=None, cost_basis="870")).foreign
    assert foreign.value == 870


@pytest.mark.parametrize(("qty", "words"), [("-5", "holds -5 shares"), ("5", "holds -5 shares")])
def test_a_short_position_is_foreign_and_its_name_is_left_alone(qty, words):
    found = read(row(qty=qty, side="short", market_value="-750"))
    assert found.foreign == (Foreign("AAPL", "us_equity", Decimal(-5), Decimal(-750), short=True),)
    assert words in found.disputed["AAPL"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"qty": "-5"}, "its side is long and its qty -5"),
        ({"side": None}, "its side is None"),
        ({"side": "sideways"}, "its side is 'sideways'"),
        ({"qty": None}, "its qty is None"),
        ({"qty": "abc"}, "its qty is 'abc'"),
        ({"qty_available": None}, "its qty_available is None"),
        ({"qty_available": "201"}, "201 of its 200 shares are said to be available"),
        ({"qty_available": "-1"}, "-1 of its 200 shares"),
        ({"asset_class": None}, "its asset_class is not told"),
    ],
)
def test_a_contradiction_leaves_its_own_name_out_and_says_why(fields, words):
    found = read(row(**fields))
    assert found.disputed["AAPL"] == f"left alone, {found.disputed['AAPL'][12:]}"
    assert words in found.disputed["AAPL"]
    assert found.ours.keys() == {"SAFE"}


@pytest.mark.parametrize("field", ["avg_entry_price", "current_price", "market_value", "asset_id"])
def test_a_position_of_ours_may_lack_what_no_trade_rests_on(field):
    assert read({**row(), field: None}).ours["AAPL"].qty == 200


def test_a_symbol_in_two_rows_is_no_position_of_known_size():
    found = read(row(), row(qty="100", qty_available="100"))
    assert "it is in 2 rows" in found.disputed["AAPL"]
    assert found.disputed_value == 60000
    assert "it is in 2 rows" in read(row(), row(qty="-5", side="short")).disputed["AAPL"]


def test_only_a_row_that_could_be_any_of_our_names_is_an_error():
    with pytest.raises(ValueError, match="has no symbol"):
        read(row(None))
    with pytest.raises(ValueError, match="not an object"):
        read(None)


def test_shares_under_a_covered_call_are_not_available():
    found = read(row("BRK.B"), option("BRKB261218C00500000", "-1"), option("SAFE261218P00010000", "-1"))
    assert found.ours["BRK.B"].covering == found.ours["BRK.B"].qty_available == 100
    assert found.ours["SAFE"].covering == 0
    assert read(row(qty_available="60"), option(CALL, "-1")).ours["AAPL"].qty_available == 60
    assert read(row(), option(CALL, "-3")).ours["AAPL"].qty_available == 0
    assert read(row(), option("AAPL1261218C00150000", "-1")).ours["AAPL"].covering == 100


def test_what_others_hold_is_no_part_of_the_equity_that_weights_are_of():
    found = read(crypto(), row(qty="-5", side="short", market_value="-750"), option(PUT, "-2", market_value="-300"))
    assert found.investable(account(100_000, cash=1_000)) == 94_000
    # A loan is first what is owed for those 6,000 USD; the rest of a larger one is ours to bear.
    assert found.investable(account(100_000, cash=-4_000)) == 98_000
    assert found.investable(account(100_000, cash=-9_000)) == 100_000
    assert found.foreign_value == 6000 - 750 - 300
    # 150 a share for two puts, and what buying the shares back costs
    assert found.secured == 2 * 150 * 100 + 750
    unknown = row(qty="-5", side="short", market_value=None, current_price=None)
    assert read(unknown).secured == Decimal("Infinity")
    assert read({**option(PUT, "-2"), "qty": None}).secured == Decimal("Infinity")


def test_names_tell_options_and_crypto_from_stocks():
    option = parse_option("SPXW  261218P04500500")
    assert option is not None
    assert (option.root, option.right, option.strike) == ("SPXW", "P", Decimal("4500.5"))
    names = ("AAPL", "BRK.B", CALL, "BTC/USD", "ETHUSD", "")
    assert [class_by_name(name) for name in names] == ["us_equity", "us_equity", "us_option", "crypto", "us_equity", ""]
    assert one_name("BTC/USD", "crypto") == one_name("BTCUSD", "crypto") == "BTCUSD"
