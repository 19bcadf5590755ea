"""The plan as a document: sealed by its hash, the same after storing."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tokenomics_dagster.model.plan import Plan, PlannedOrder, plan_id_in


@pytest.fixture
def plan():
    orders = (
        PlannedOrder("MSFT", "sell", Decimal("5.123456789"), None, Decimal("400.1"), exit=True),
        PlannedOrder("NVDA", "buy", None, Decimal("1000.50"), Decimal(200)),
    )
    return Plan(
        week=date(2026, 8, 24),
        created_at=datetime(2026, 8, 24, 14, 5, 1, 250, tzinfo=UTC),
        account="PA1",
        equity=Decimal("100000.12"),
        cash=Decimal("250.10"),
        scores_as_of=datetime(2026, 8, 22, 7, tzinfo=UTC),
        positions={"MSFT": Decimal("5.123456789")},
        inputs_hash="abc",
        orders=orders,
    ).sealed()


def test_a_plan_comes_back_from_its_document_with_the_same_hash(plan):
    again = Plan.from_document(plan.to_document())
    assert again == plan
    assert again.digest() == plan.plan_hash
    assert plan.plan_id == plan_id_in(plan.to_document()) == f"fundamentals-2026-08-24-{plan.plan_hash[:12]}"


# As version 3 stored it: the hash is of its time.
OF_BEFORE = {
    "week": "2026-08-24",
    "created_at": "2026-08-24 14:05:01.000250+00:00",
    "account": "PA1",
    "equity": "100000.12",
    "cash": "250.10",
    "scores_as_of": "2026-08-22 07:00:00+00:00",
    "positions": {"MSFT": "5.123456789"},
    "inputs_hash": "abc",
    "orders": [
        {
            "symbol": "MSFT",
            "side": "sell",
            "qty": "5.123456789",
            "notional": None,
            "price": "400.1",
            "exit": True,
        }
    ],
    "plan_hash": "405d72d9083fe3fa93e078cff19fb7b18964d64025cf544b18b4a41767e5fe73",
}


def test_a_plan_that_was_made_before_sleeves_keeps_its_hash_its_document_and_its_id():
    plan = Plan.from_document(OF_BEFORE)
    assert plan.digest() == OF_BEFORE["plan_hash"]
    assert plan.to_document() == OF_BEFORE
    assert plan.plan_id == plan_id_in(OF_BEFORE) == f"2026-08-24-{plan.plan_hash[:12]}"
    assert (plan.sleeve, plan.period, plan.foreign) == ("fundamentals", "2026-08-24", {})


def test_every_field_is_sealed(plan):
    changes = {
        "week": date(2026, 8, 31),
        "created_at": datetime(2026, 8, 24, 15, tzinfo=UTC),
        "account": "PA2",
        "equity": Decimal(1),
        "cash": Decimal(1),
        "scores_as_of": datetime(2026, 8, 1, tzinfo=UTC),
        "positions": {},
        "inputs_hash": "abd",
        "orders": plan.orders[:1],
        "form": 3,
        "sleeve": "news",
        "period": "2026-08-31",
        "foreign": {"AAPL": Decimal(5)},
        "taken": ("AAPL",),
    }
    assert set(changes) == set(Plan.__dataclass_fields__) - {"plan_hash"}
    for name, value in changes.items():
        assert replace(plan, **{name: value}).digest() != plan.plan_hash, name


def test_turnover_sales_and_exits_are_shares_of_equity(plan):
    sold, bought = Decimal("5.123456789") * Decimal("400.1"), Decimal("1000.50")
    assert plan.sold_share == sold / plan.equity
    assert plan.turnover == (sold + bought) / plan.equity / 2
    assert plan.exits == 1
