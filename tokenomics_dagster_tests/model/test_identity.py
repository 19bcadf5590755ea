"""Names of plans and orders, as they are now and as they were before there were sleeves."""

import pytest

from tokenomics_dagster.model.identity import attempt_of, client_order_id, is_of, is_ours, period_of_plan, plan_id_of

HASH = "0123456789ab" + 52 * "f"


@pytest.mark.parametrize(
    ("sleeve", "period", "plan_id"),
    [
        ("fundamentals", "2026-08-24", "fundamentals-2026-08-24-0123456789ab"),
        ("top_30", "2026-09", "top_30-2026-09-0123456789ab"),
        (None, "2026-08-24", "2026-08-24-0123456789ab"),
    ],
)
def test_a_plans_id_knows_its_period(sleeve, period, plan_id):
    assert plan_id_of(period, HASH, sleeve) == plan_id
    assert period_of_plan(plan_id) == period


@pytest.mark.parametrize("end", ["", "0", "\n", "-"])
@pytest.mark.parametrize("start", ["", "2026-08-24", "fundamentals-2026-08-24", "Fundamentals-2026-08-24-0123456789ab"])
def test_what_is_no_plans_id_is_refused(start, end):
    with pytest.raises(ValueError, match="its sleeve, its period and 12 hexadecimal digits"):
        period_of_plan(start + end)


def test_an_order_is_of_the_sleeve_and_period_that_it_is_named_after():
    order_id = client_order_id("fundamentals", "2026-08-24", "BRK.B", "buy", 12)
    assert order_id == "tokenomics-fundamentals-2026-08-24-BRK.B-buy-12"
    assert is_ours(order_id)
    assert attempt_of(order_id) == 12
    assert is_of(order_id, "fundamentals", "2026-08-24")
    assert not is_of(order_id, "fundamentals", "2026-08-31")
    assert not is_of(order_id, "news", "2026-08-24")


def test_an_order_of_before_is_of_the_sleeve_fundamentals():
    order_id = "tokenomics-2026-08-24-BRK.B-buy-1"
    assert is_ours(order_id)
    assert is_of(order_id, "fundamentals", "2026-08-24")
    assert not is_of(order_id, "news", "2026-08-24")
    assert not is_of(order_id, "fundamentals", "2026-08-31")


@pytest.mark.parametrize("order_id", ["", "by-hand", "f3c2b1", "tokenomics_x-2026-08-24-A-buy-1"])
def test_an_order_of_somebody_else_is_not_ours(order_id):
    assert not is_ours(order_id)
    assert attempt_of("by-hand") == 0
