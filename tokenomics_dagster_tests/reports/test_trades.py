"""What a week's trades are told to have cost, and why they were made."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.execution.fulfilment import Fulfilment, Shortfall
from tokenomics_dagster.execution.told import moved
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.reports.trades import (
    at_least,
    decided,
    not_traded,
    slippage_bps,
    totals,
    trades,
    wanted,
    why_traded,
)
from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Made

AT = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)
COLUMNS = list(TradePlan.to_schema().columns)
ORDER = ("symbol", "side", "qty", "notional", "price", "exit")  # of a plan's document


def row(symbol: str, side: str, number: int, **fields: Any) -> dict[str, Any]:
    made = {
        "symbol": symbol, "sequence": number, "side": side, "qty": None, "notional": None, "price": "10",
        "current_value": 0.0, "target_value": 100.0, "current_weight": 0.0, "target_weight": 0.05, "drift": 0.05,
        "exit": False, "reason": None,
    }  # fmt: skip
    return {**made, **fields}


def plan(*rows: dict[str, Any], **details: Any) -> Made[TradePlanDetails]:
    frame = TradePlan.validate(pd.DataFrame(rows, columns=COLUMNS))
    orders = [{name: one[name] for name in ORDER} for one in rows if one["side"] != "none"]
    return Made(frame, AT, TradePlanDetails(plan={"orders": orders}, **details))


def ledger(symbol: str, side: str, filled: str, price: str | None, **fields: Any) -> LedgerOrder:
    made: dict[str, Any] = {
        "client_order_id": f"tokenomics-fundamentals-2026-08-24-{symbol}-{side}-1", "account": "1",
        "sleeve": "fundamentals", "period": "2026-08-24", "plan_id": "p", "week": WEEK, "symbol": symbol, "side": side,
        "attempt": 1, "qty": None, "notional": Decimal(100), "status": "filled", "broker_id": f"id-{symbol}",
        "filled_qty": Decimal(filled), "filled_avg_price": None if price is None else Decimal(price), "note": None,
        "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return LedgerOrder(**{**made, **fields})


def fill(symbol: str, side: str, qty: str, price: str) -> FillRow:
    return FillRow(f"{symbol}{qty}", f"id-{symbol}", None, "1", symbol, side, Decimal(qty), Decimal(price), AT)


def test_the_reason_of_a_trade_is_that_its_name_entered_left_or_drifted():
    assert why_traded(row("A", "buy", 1)) == "entered: 5.00% of the portfolio"
    left = row("A", "sell", 1, exit=True, target_weight=0.0, current_weight=0.04)
    assert why_traded(left) == "left: it is no longer among the targets"
    drifted = row("A", "buy", 1, current_weight=0.03, reason="cut from 90.00 USD: cash is short")
    assert why_traded(drifted) == ("drift: from 3.00% to its target of 5.00%; cut from 90.00 USD: cash is short")
    assert why_traded(row("A", "buy", 1, current_weight=float("nan"))) == "to 5.00% of the portfolio"


def test_a_buy_above_the_middle_and_a_sell_below_it_cost():
    made = plan(
        row("A", "buy", 2, notional="100"),
        row("B", "sell", 1, qty="5", current_weight=0.1),
        quotes={"A": (Decimal("9.98"), Decimal("10.02")), "B": (Decimal("19.90"), Decimal("20.10"))},
    )
    rows = [ledger("A", "buy", "10", "10.01"), ledger("B", "sell", "5", "19.95", qty=Decimal(5), notional=None)]
    found = trades(rows, {}, {"p": decided(made)})
    assert totals(trades(rows, {}, {"p": wanted(made.details)})) == totals(found), "for sums the document is enough"
    assert [one.symbol for one in found] == ["B", "A"], "sells first"
    sell, buy = found
    assert (buy.middle, buy.quoted, buy.slippage_bps) == (Decimal(10), True, Decimal(10))
    assert (buy.usd, buy.cost_usd) == (Decimal("100.10"), Decimal("0.10"))
    assert (sell.middle, sell.slippage_bps) == (Decimal(20), Decimal(25))
    assert (sell.usd, sell.cost_usd) == (Decimal("99.75"), Decimal("0.25"))
    sums = totals(found)
    assert (sums.bought, sums.sold, sums.cost) == (Decimal("100.10"), Decimal("99.75"), Decimal("0.35"))
    assert sums.cost_bps == pytest.approx(Decimal("0.35") / Decimal("199.85") * 10_000)
    assert slippage_bps("buy", Decimal("9.99"), Decimal(10)) == -slippage_bps("sell", Decimal("9.99"), Decimal(10)) < 0


def test_without_the_quote_the_price_of_the_plan_stands_for_its_middle_and_is_told_to():
    [one] = trades([ledger("A", "buy", "10", "10.01")], {}, {"p": decided(plan(row("A", "buy", 1, notional="100")))})
    assert (one.middle, one.quoted, one.slippage_bps) == (Decimal(10), False, Decimal(10))


def test_what_is_not_known_of_a_trade_is_none_and_counted():
    unplanned = ledger("A", "buy", "10", "10.01", plan_id="")
    unfilled = ledger("B", "buy", "0", None, status="canceled")
    other = ledger("C", "sell", "3", "9", notional=None, qty=Decimal(3))
    found = trades([unplanned, unfilled, other], {}, {"p": decided(plan(row("C", "buy", 1, notional="100")))})
    by_symbol = {one.symbol: one for one in found}
    assert by_symbol["A"].slippage_bps is by_symbol["A"].middle is by_symbol["A"].cost_usd is None
    assert by_symbol["A"].why == "its plan is not in the warehouse"
    assert by_symbol["B"].price is by_symbol["B"].slippage_bps is None
    assert by_symbol["C"].middle is None, "the plan wanted to buy it: no price of that is one to sell at"
    sums = totals(found)
    assert (sums.orders, sums.filled, sums.unknown, sums.cost_bps) == (3, 2, 2, None)


def test_usd_are_those_of_the_fills_each_rounded_to_the_cent_where_all_are_known():
    order = ledger("A", "buy", "3", "3.335")
    parts = [fill("A", "buy", "1", "3.335"), fill("A", "buy", "2", "3.3325")]
    assert moved(order, parts) == Decimal("3.34") + Decimal("6.67")
    assert moved(order, parts[:1]) == Decimal("10.01"), "3 shares at their mean price, 10.005"


def test_what_was_not_traded_is_first_what_was_meant_by_size_then_the_rest_with_its_reason():
    made = plan(
        row("A", "buy", 1, notional="100"),
        row("B", "none", 2, reason="drift of 1.00% of the target is under the threshold of 20.00%"),
        row("C", "none", 3, reason="no price: quote too old"),
        row("D", "none", 4, reason="drift of 2.00% of the target is under the threshold of 20.00%"),
    )
    done = Fulfilment(
        Decimal(1000),
        Decimal(300),
        3,
        (
            Shortfall("C", "buy", Decimal(200), "not planned", "no price: quote too old"),
            Shortfall("A", "buy", Decimal(50), "cut", "cash is short"),
        ),
    )
    found = not_traded(made, {"E": "somebody else's order is open"}, done, {"D"})
    assert [(one.symbol, one.side, one.usd) for one in found] == [
        ("C", "buy", Decimal(200)), ("A", "buy", Decimal(50)), ("B", "", None), ("E", "", None),
    ]  # fmt: skip
    assert found[0].why == "not planned: no price: quote too old"
    assert found[3].why == "somebody else's order is open"


def test_while_the_end_of_an_order_is_not_known_what_is_told_is_the_least_and_never_nothing():
    ended, begun = ledger("A", "buy", "10", "10"), ledger("B", "buy", "0", None, status="pending_new")
    sums = totals(trades([ended, begun], {}, {}))
    assert (sums.filled, sums.unended) == (1, 1)
    end = "the end of 1 order is not known: `tokenomics orders`"
    assert at_least("nothing", anything=False, unended=1) == f"what was traded is not known, for {end}"
    assert at_least("bought 5", anything=True, unended=1) == f"at least bought 5; {end}"
    assert at_least("nothing", anything=False, unended=0) == "nothing"
