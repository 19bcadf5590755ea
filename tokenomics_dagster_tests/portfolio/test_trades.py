"""The trade plan: each filter and reason by hand, then what must hold for any account, as properties."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.execution.fulfilment import kept_idle
from tokenomics_dagster.model.plan import PlannedOrder
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.portfolio.trades import FRACTION, SHARE, Money, Names, Trades, plan_trades, planned_orders
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.storage.records import Made

CONFIGURED = load_settings(Path(__file__).resolve().parents[2] / "config" / "settings.yaml").rebalancing
D = Decimal
MADE_AT = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)


def rules(**changes) -> RebalancingSettings:
    """20 % threshold, 100 USD minimum, and no buffer unless `changes` say so."""
    values = {"rebalance_threshold_pct": 20.0, "min_trade_usd": 100.0, "cash_buffer_pct": 0.0}
    return RebalancingSettings.model_validate(CONFIGURED.model_dump() | values | changes)


def targets(weights: dict[str, float]) -> pd.DataFrame:
    rows = [(symbol, weight, 100.0 - n, 1.0, n + 1) for n, (symbol, weight) in enumerate(weights.items())]
    return pd.DataFrame(rows, columns=["symbol", "weight", "score", "market_cap_musd", "rank"])


def plan(*args, **changes) -> pd.DataFrame:
    """The rows of `trades`, by symbol."""
    return trades(*args, **changes).frame.set_index("symbol")


def as_plan(found: Trades) -> Made[TradePlanDetails]:
    """As a plan is kept, without the sealed one."""
    return Made(found.frame, MADE_AT, TradePlanDetails(plan={}, not_planned=found.not_planned))


def trades(
    weights: dict[str, float],
    held: Mapping[str, str | tuple[str, str]] | None = None,
    *,
    price: dict[str, str] | None = None,
    whole: str = "",
    unknown: str = "",
    equity: str = "10000",
    cash: str = "10000",
    open_orders: str = "",
    **changes,
) -> Trades:
    """Prices are 10 USD and assets fractionable unless said otherwise."""
    pairs = {s: (v, v) if isinstance(v, str) else v for s, v in (held or {}).items()}
    positions = {s: (D(qty), D(available)) for s, (qty, available) in pairs.items()}
    symbols = positions.keys() | weights.keys()
    prices = {s: D("10") for s in symbols} | {s: D(p) for s, p in (price or {}).items()}
    assets = {s: s not in whole.split() for s in symbols if s not in unknown.split()}
    names = Names(positions, prices, assets, open_orders.split())
    found = plan_trades(targets(weights), names, Money(D(equity), D(cash)), rules(**changes))
    TradePlan.validate(found.frame)
    assert set(found.frame["symbol"]) == symbols
    return found


def planned(*, targets, equity, cash, rules, **names) -> Trades:
    return plan_trades(targets, Names(**names), Money(equity, cash), rules)


def trade(table: pd.DataFrame, symbol: str) -> tuple:
    """(side, amount as text, reason)."""
    row = table.loc[symbol].astype(object)
    amount = row["qty"] if isinstance(row["qty"], str) else row["notional"]
    return (
        row["side"],
        amount if isinstance(amount, str) else None,
        row["reason"] if row["reason"] == row["reason"] else None,
    )


def test_a_new_name_is_bought_for_its_weight_of_equity_less_the_buffer_rounded_down_to_the_cent():
    table = plan({"A": 0.3333333}, cash_buffer_pct=0.25)
    assert trade(table, "A") == ("buy", "3324.99", None)
    row = table.loc["A"]
    assert row["target_value"] == pytest.approx(3324.99966750)
    assert row["target_weight"] == pytest.approx(0.332499966750)
    assert row["drift"] == row["target_weight"]
    assert row["current_value"] == row["current_weight"] == 0
    assert not row["exit"]


def test_an_asset_without_fractions_is_bought_in_whole_shares():
    table = plan({"A": 0.1, "B": 0.1}, whole="A B", price={"A": "300", "B": "1000.01"})
    assert trade(table, "A") == ("buy", "3", None)
    assert trade(table, "B")[2] == "not fractionable, and 1000.00 USD are less than one share at 1000.01 USD"


def test_too_much_of_a_name_is_sold_by_shares_rounded_down():
    held = {"A": "200", "B": "200.5"}
    table = plan({"A": 0.1, "B": 0.1}, held, price={"A": "7", "B": "7"}, whole="B", cash="0")
    assert trade(table, "A") == ("sell", "57.142857142", None)
    assert trade(table, "B") == ("sell", "57", None)


def test_an_exit_sells_all_that_can_be_sold_and_passes_both_filters():
    held = {"OUT": "0.000000001", "ODD": "3.7", "DUST": "0.0000000002", "HALF": "0.5", "A": "100"}
    table = plan({"A": 0.1}, held, whole="ODD HALF", rebalance_threshold_pct=100.0, min_trade_usd=1e6)
    assert trade(table, "OUT") == ("sell", "0.000000001", None)
    fraction = "a fraction of what trades in whole shares only; the broker's dashboard may close the position"
    assert trade(table, "ODD") == ("sell", "3", f"0.7 shares stay: {fraction}")
    assert trade(table, "HALF") == ("none", None, f"0.5 shares stay: {fraction}")
    dust = "0.0000000002 shares stay: dust, the broker trades nine decimals"
    assert trade(table, "DUST") == ("none", None, dust)
    assert table.loc["OUT", "exit"]
    assert not table.loc["A", "exit"]


def test_shares_that_open_orders_hold_are_not_sold_again():
    held = {"OUT": ("10", "4"), "STUCK": ("10", "0"), "PART": ("200", "50"), "LITTLE": ("200", "9")}
    table = plan({"PART": 0.1, "LITTLE": 0.1}, held, cash="0")
    assert trade(table, "OUT") == ("sell", "4", "cut from 10 shares: open orders hold 6 of 10 shares")
    assert trade(table, "STUCK") == ("none", None, "open orders hold 10 of 10 shares")
    assert trade(table, "PART") == ("sell", "50", "cut from 100 shares: open orders hold 150 of 200 shares")
    assert trade(table, "LITTLE") == ("none", None, "open orders hold 191 of 200 shares")


@pytest.mark.parametrize(
    ("shares", "side"), [("80", "buy"), ("80.1", "none"), ("100", "none"), ("119.9", "none"), ("120", "sell")]
)
def test_a_drift_under_the_threshold_of_the_target_is_not_traded(shares, side):
    table = plan({"A": 0.1}, {"A": shares})
    assert table.loc["A", "side"] == side
    if shares == "119.9":
        assert table.loc["A", "reason"] == "drift of 19.90% of the target is under the threshold of 20.00%"


@pytest.mark.parametrize(("shares", "side"), [("40", "buy"), ("40.1", "none"), ("59.9", "none"), ("60", "sell")])
def test_a_trade_under_the_minimum_is_not_made(shares, side):
    table = plan({"A": 0.05}, {"A": shares}, rebalance_threshold_pct=0.0)
    assert table.loc["A", "side"] == side
    if shares == "40.1":
        assert table.loc["A", "reason"] == "trade of 99.00 USD is under the minimum of 100 USD"


def test_whole_shares_under_the_minimum_are_not_traded():
    table = plan({"A": 0.015}, price={"A": "80"}, whole="A")
    assert trade(table, "A")[2] == "whole shares for 80.00 USD are under the minimum of 100 USD"


def test_what_has_no_price_or_is_not_tradable_is_left_alone_with_its_reason():
    held = {"H": "5", "X": "5"}
    table = plan({"A": 0.1, "B": 0.1, "C": 0.1, "H": 0.1}, held, price=dict.fromkeys("ACH", "0"), unknown="B C X")
    assert trade(table, "A")[2] == trade(table, "H")[2] == "no price"
    assert {trade(table, symbol)[2] for symbol in "BCX"} == {"not tradable at the broker"}, "C has no price for it"
    assert table.loc["H", ["current_value", "current_weight", "drift"]].isna().all()
    assert table.loc["A", "drift"] == 0.1


def test_a_symbol_with_an_open_order_is_left_alone():
    table = plan({"A": 0.1, "B": 0.1}, {"OUT": "5"}, open_orders="A OUT")
    assert trade(table, "A") == trade(table, "OUT") == ("none", None, "an order is open for it")
    assert trade(table, "B")[0] == "buy"


def test_sells_come_before_buys_and_the_most_underweight_buy_comes_first():
    held = {"OUT": "1", "OVER": "300", "HALF": "50", "THIRD": "66", "SAME": "50"}
    weights = {"OVER": 0.1, "NEW2": 0.05, "NEW1": 0.05, "NEWER": 0.06, "THIRD": 0.1, "SAME": 0.1, "HALF": 0.1}
    table = plan(weights, held, price={"SAME": "10", "HALF": "10"})
    assert list(table.index) == ["OUT", "OVER", "NEWER", "NEW1", "NEW2", "HALF", "SAME", "THIRD"]
    assert list(table["sequence"]) == list(range(1, 9))
    orders = planned_orders(table.reset_index().sample(frac=1, random_state=1))
    assert [order.symbol for order in orders] == list(table.index)
    assert orders[0] == PlannedOrder("OUT", "sell", D("1"), None, D("10"), exit=True)
    assert orders[2] == PlannedOrder("NEWER", "buy", None, D("600.00"), D("10"))


def test_exits_are_sold_before_the_others_and_larger_before_smaller():
    held = {"OUT1": "1", "OUT2": "2", "OUT0": "1", "BIG": "300", "BIGGER": "400"}
    table = plan({"BIG": 0.1, "BIGGER": 0.1}, held)
    assert list(table.index) == ["OUT2", "OUT0", "OUT1", "BIGGER", "BIG"]


def test_buys_spend_cash_and_proceeds_less_the_buffer_and_the_last_are_cut_or_skipped():
    weights = {"A": 0.4, "B": 0.3, "C": 0.2, "D": 0.1}
    table = plan(weights, {"OUT": "100"}, cash="7085", cash_buffer_pct=1.0)
    # 7,085 + 1,000 - 100 = 7,985 for 3,960 + 2,970 + 1,980
    assert trade(table, "A") == ("buy", "3960.00", None)
    assert trade(table, "B") == ("buy", "2970.00", None)
    assert trade(table, "C") == ("buy", "1055.00", "cut from 1980.00 USD: cash is short")
    assert trade(table, "D") == ("none", None, "cash is short: 0.00 USD are left for a buy of 990.00 USD")


def test_whole_shares_are_cut_to_what_cash_pays_for_and_the_rest_serves_the_next():
    table = plan({"A": 0.6, "B": 0.3}, price={"A": "900"}, whole="A", cash="4000")
    assert trade(table, "A") == ("buy", "4", "cut from 5400.00 USD: cash is short")
    assert trade(table, "B") == ("buy", "400.00", "cut from 3000.00 USD: cash is short")


def test_a_buy_that_cash_would_cut_below_the_minimum_is_skipped():
    table = plan({"A": 0.5, "B": 0.5}, cash="5099.99")
    assert trade(table, "B") == ("none", None, "cash is short: 99.99 USD are left for a buy of 5000.00 USD")
    assert trade(plan({"A": 0.5, "B": 0.5}, cash="5100"), "B")[:2] == ("buy", "100.00")


def test_what_the_rules_leave_as_cash_is_told_by_the_rule_and_what_cash_does_not_pay_for_is_not():
    minimum = "trades under rebalancing.min_trade_usd = 100 USD"
    found = kept({"A": 0.05, "B": 0.04, "C": 0.5}, {"D": "1"}, equity="1500", cash="1490")
    assert found == {minimum: (D(135), 2)}, "what is sold leaves no cash, and C is bought"
    # 100 of 1,000 USD are lacking; 400 and 350 cannot be had in whole shares; of the last buy cash pays a tenth.
    threshold = "drifts under rebalancing.rebalance_threshold_pct = 20 %"
    whole = "not to be had in whole shares, and they do not trade in fractions"
    wanted = {"A": 0.1, "B": 0.24, "C": 0.035, "E": 0.1}
    prices = {"B": "1000", "C": "400"}
    found = kept(wanted, {"A": "90"}, price=prices, whole="B C", cash="2100", equity="10000")
    assert found == {whole: (D(750), 2), threshold: (D(100), 1)}
    # What is meant and could not be planned is told as not traded.
    assert kept({"A": 0.5, "B": 0.5}, unknown="A", open_orders="B") == {}


def kept(weights: dict[str, float], *args, **changes) -> dict:
    return kept_idle(as_plan(trades(weights, *args, **changes)), rules())


def test_debt_buys_nothing():
    table = plan({"A": 0.5}, {"OUT": "10"}, cash="-500")
    assert trade(table, "OUT")[0] == "sell"
    assert trade(table, "A")[2] == "cash is short: 0.00 USD are left for a buy of 5000.00 USD"


def test_no_targets_are_refused_for_they_would_sell_everything():
    with pytest.raises(ValueError, match="no target weights"):
        plan_trades(targets({}), Names({"A": (D(1), D(1))}, {"A": D(1)}, {"A": True}), Money(D(1), D(1)), rules())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"held": {"A": "-1"}}, "A is held short"),
        ({"held": {"B": ("1", "2")}}, "B: 2 of 1 shares available"),
        ({"held": {"B": ("NaN", "NaN")}}, "B: NaN of NaN shares"),
        ({"price": {"Z": "-0.01"}}, "the price of Z is -0.01"),
        ({"price": {"A": "NaN"}}, "the price of A is NaN"),
        ({"equity": "0"}, "equity must be above zero"),
        ({"equity": "-1"}, "equity must be above zero"),
        ({"equity": "NaN"}, "equity must be above zero"),
        ({"cash": "Infinity"}, "cash finite"),
    ],
)
def test_figures_that_make_no_sense_stop_the_plan(changes, text):
    with pytest.raises(ValueError, match=text):
        plan({"A": 0.1}, **changes)


@pytest.mark.parametrize("weights", [{"A": 0.6, "B": 0.6}, {"A": 1.1}, {"A": 0.0}])
def test_targets_that_break_their_schema_stop_the_plan(weights):
    with pytest.raises(Exception, match="weight"):
        plan(weights)


MONEY = st.decimals(D("0"), D("2000"), places=4)
SYMBOLS = ["A", "B", "C", "D", "E", "F"]


@st.composite
def accounts(draw) -> dict:
    """Targets, positions, prices and assets of up to six names; equity = cash + positions, as at the broker."""
    weights, positions, prices, assets = {}, {}, {}, {}
    left = 1.0
    for symbol in SYMBOLS:
        if draw(st.booleans()):
            weight = draw(st.floats(0.001, 0.4))
            if weight < left:
                weights[symbol] = weight
                left -= weight
        prices[symbol] = draw(st.one_of(st.decimals(D("0.0001"), D("3000"), places=4), st.just(D("0"))))
        if draw(st.booleans()):
            qty = draw(st.decimals(D("0"), D("40"), places=9))
            available = draw(st.sampled_from([qty, qty, qty, D("0"), qty / 2]))
            positions[symbol] = (qty, available)
        if draw(st.integers(0, 9)):
            assets[symbol] = draw(st.booleans())
    cash = draw(st.decimals(D("0"), D("100000"), places=2))
    equity = cash + sum((qty * prices[s] for s, (qty, _) in positions.items()), D(0))
    return {
        "targets": targets(weights or {"A": 0.5}),
        "positions": positions,
        "prices": prices,
        "assets": assets,
        "equity": max(equity, D("0.01")),
        "cash": cash,
        "rules": rules(
            rebalance_threshold_pct=draw(st.sampled_from([0.0, 5.0, 20.0])),
            min_trade_usd=draw(st.sampled_from([1.0, 100.0])),
            cash_buffer_pct=draw(st.sampled_from([0.0, 0.25, 10.0])),
        ),
        "open_orders": draw(st.sampled_from([(), (), ("A", "C")])),
    }


@given(accounts())
def test_a_plan_applied_at_its_prices_gives_the_targets_within_the_filters_and_never_a_short_or_debt(account):
    table, _ = planned(**account)
    rule, equity = account["rules"], account["equity"]
    buffer = equity * D(str(rule.cash_buffer_pct)) / 100
    wanted = {s: D(str(w)) for s, w in zip(account["targets"]["symbol"], account["targets"]["weight"], strict=True)}
    minimum, threshold = D(str(rule.min_trade_usd)), D(str(rule.rebalance_threshold_pct)) / 100
    cash, bought = account["cash"], False
    skipped = table[table["side"] == "none"].set_index("symbol")["reason"].to_dict()
    reasons = table.set_index("symbol")["reason"].dropna().to_dict()
    holdings = {s: qty for s, (qty, _) in account["positions"].items()}
    for order in planned_orders(table):
        price = account["prices"][order.symbol]
        assert account["assets"][order.symbol] or order.notional is None
        if order.side == "sell":
            assert not bought, "sells come first"
            assert order.qty is not None
            assert 0 < order.qty <= account["positions"][order.symbol][1]
            if order.symbol not in wanted:
                step = FRACTION if account["assets"][order.symbol] else SHARE
                assert order.qty == account["positions"][order.symbol][1].quantize(step, ROUND_DOWN)
            holdings[order.symbol] -= order.qty
            cash += order.qty * price
        else:
            bought = True
            amount = order.notional if order.notional is not None else (order.qty or D(0)) * price
            assert amount >= minimum - D("0.01")
            assert order.notional is None or order.notional == round(order.notional, 2)
            assert order.qty is None or order.qty == order.qty.to_integral_value()
            holdings[order.symbol] = holdings.get(order.symbol, D(0)) + amount / price
            cash -= amount
            # the buffer stays, unless it was not there before
            assert cash >= buffer - D("0.01") * len(table)
    assert all(qty >= 0 for qty in holdings.values())
    for symbol in holdings.keys() | wanted.keys():
        if symbol in reasons or symbol not in set(table["symbol"]):
            continue
        price = account["prices"][symbol]
        target = wanted.get(symbol, D(0)) * (equity - buffer)
        step = D("0.0000001") * (price + 1) + D("0.01") if account["assets"][symbol] else price
        if symbol in wanted:
            assert abs(holdings.get(symbol, D(0)) * price - target) <= step
        else:
            assert holdings[symbol] == 0
    for symbol, reason in skipped.items():
        delta = wanted.get(symbol, D(0)) * (equity - buffer) - holdings.get(symbol, D(0)) * account["prices"][symbol]
        if reason.startswith("drift of"):
            assert abs(delta) < threshold * wanted[symbol] * (equity - buffer)
        elif reason.startswith("trade of"):
            assert abs(delta) < minimum
        elif reason == "an order is open for it":
            assert symbol in account["open_orders"]
        elif reason == "no price":
            assert not account["prices"][symbol]
        elif reason == "not tradable at the broker":
            assert symbol not in account["assets"]
        elif reason.startswith("not fractionable"):
            assert not account["assets"][symbol]
            assert abs(delta) < account["prices"][symbol]


@pytest.mark.soak
@given(accounts(), st.randoms())
def test_a_plan_depends_neither_on_the_order_of_its_inputs_nor_on_the_callers_decimal_context(account, random):
    def shuffled(mapping):
        return {key: mapping[key] for key in random.sample(list(mapping), len(mapping))}

    other = dict(account, targets=account["targets"].sample(frac=1, random_state=random.randint(0, 999)))
    for name in ("positions", "prices", "assets"):
        other[name] = shuffled(account[name])
    with localcontext() as context:
        context.prec, context.rounding = 9, ROUND_UP
        made = planned(**other)
    again = planned(**account)
    pd.testing.assert_frame_equal(made.frame, again.frame)
    assert made.not_planned == again.not_planned


@given(accounts())
def test_a_plan_that_was_carried_out_leaves_nothing_to_trade(account):
    """With fractions, no open orders and a price for everyone; what was cut for lack of cash stays wanted."""
    account["assets"], account["open_orders"] = dict.fromkeys(SYMBOLS, True), ()
    account["prices"] = {symbol: price or D("1") for symbol, price in account["prices"].items()}
    account["positions"] = {symbol: (qty, qty) for symbol, (qty, _) in account["positions"].items()}
    cash = account["cash"]
    account["equity"] = cash + sum((q * account["prices"][s] for s, (q, _) in account["positions"].items()), D(0))
    if account["equity"] <= 0:
        return
    table, _ = planned(**account)
    holdings = {symbol: qty for symbol, (qty, _) in account["positions"].items()}
    for order in planned_orders(table):
        price = account["prices"][order.symbol]
        if order.side == "sell":
            holdings[order.symbol] -= order.qty
            cash += order.qty * price
        else:
            holdings[order.symbol] = holdings.get(order.symbol, D(0)) + order.notional / price
            cash -= order.notional
    again, _ = planned(**account | {"positions": {s: (q, q) for s, q in holdings.items()}, "cash": cash})
    short = set(table.loc[table["reason"].fillna("").str.contains("cash is short"), "symbol"])
    assert not set(again.loc[again["side"] != "none", "symbol"]) - short
