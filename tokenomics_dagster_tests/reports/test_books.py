"""Cash is what came and went, to the cent; what nothing explains is told."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tokenomics_dagster.model.trading import Activity, Fill
from tokenomics_dagster.reports.books import books, fees_of, flows_of, unpriced

AT = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)


def activity(kind: str, cash: str, **fields: Any) -> Activity:
    made: dict[str, Any] = {"sub_type": "", "symbol": "", "qty": None, "at": AT, **fields}
    return Activity(id=f"{kind}{cash}", type=kind, cash=Decimal(cash), **made)


def fill(side: str, qty: str, price: str) -> Fill:
    return Fill(side + qty, "o", "A", side, Decimal(qty), Decimal(price), AT)


def test_cash_is_what_came_and_went_to_the_cent():
    activities = [
        activity("CSD", "500"),
        activity("JNLC", "25.50"),
        activity("CSW", "-100"),
        activity("DIV", "3.21", symbol="A"),
        activity("DIVNRA", "-0.48", symbol="A"),
        activity("INT", "0.02"),
        activity("FEE", "-0.37"),
        activity("PTC", "-1"),
    ]
    fills = [fill("buy", "3", "3.335"), fill("sell", "1", "4.005"), fill("sell_short", "1", "1")]
    found = books(AT, Decimal(1000), Decimal("1422.88"), activities, fills)
    assert (found.paid_in, found.paid_out) == (Decimal("525.50"), Decimal(100))
    assert (found.income, found.fees) == (Decimal("2.75"), Decimal("1.37"))
    assert (found.bought, found.sold) == (Decimal("10.01"), Decimal("5.01"))
    assert found.foreseen == Decimal("1421.88")
    assert found.difference == Decimal("1.00")


def test_what_is_told_by_the_first_day_alone_counts_where_the_cash_is_explained_by_it():
    midnight = datetime(2026, 8, 24, 4, tzinfo=UTC)
    dividend = activity("DIV", "53.36", at=midnight, by_day=True)
    found = books(AT, Decimal(1000), Decimal("1053.36"), [dividend], [])
    assert (found.income, found.difference) == (Decimal("53.36"), Decimal(0))
    deposit = activity("CSD", "1000", at=midnight, by_day=True)  # before the plan: its cash has it already
    found = books(AT, Decimal(1000), Decimal("1000.02"), [deposit, activity("INT", "0.02")], [])
    assert (found.paid_in, found.income, found.difference) == (Decimal(0), Decimal("0.02"), Decimal(0))


def test_only_cash_that_the_owner_moved_is_a_flow():
    moved = [activity("CSD", "5", by_day=True), activity("DIV", "3"), activity("FEE", "-1"), activity("ACATS", "0")]
    assert [(one.usd, one.what, one.by_day) for one in flows_of(moved)] == [(Decimal(5), "CSD", True)]
    assert fees_of(moved) == 1


def test_shares_that_were_transferred_are_a_doubt_for_nobody_tells_their_worth():
    moved = [activity("ACATS", "0", symbol="A", qty=Decimal("12.50")), activity("SPLIT", "0", qty=Decimal(5))]
    [told] = unpriced(moved)
    assert told.startswith("12.5 shares of A were transferred on 2026-08-24 (ACATS)")
