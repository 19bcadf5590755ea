"""The plan as a document: sealed by its hash, the same after storing."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tokenomics_dagster.model.plan import Plan, PlannedOrder, week_of_plan


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
    assert plan.plan_id == f"2026-08-24-{plan.plan_hash[:12]}"


def test_a_plans_id_knows_its_week_and_what_is_none_is_refused(plan):
    assert week_of_plan(plan.plan_id) == "2026-08-24"
    for wrong in ("", "2026-08-24", "2026-08-24-", plan.plan_id[:-1], plan.plan_id + "0", plan.plan_id + "\n"):
        with pytest.raises(ValueError, match="its week and 12 hexadecimal digits"):
            week_of_plan(wrong)


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
    }
    assert set(changes) == set(Plan.__dataclass_fields__) - {"plan_hash"}
    for name, value in changes.items():
        assert replace(plan, **{name: value}).digest() != plan.plan_hash, name


def test_turnover_sales_and_exits_are_shares_of_equity(plan):
    sold, bought = Decimal("5.123456789") * Decimal("400.1"), Decimal("1000.50")
    assert plan.sold_share == sold / plan.equity
    assert plan.turnover == (sold + bought) / plan.equity / 2
    assert plan.exits == 1
