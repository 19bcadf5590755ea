"""Names of plans and orders, as they are now and as they were before there were sleeves."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.model.identity import attempt_of, client_order_id, is_of, is_ours, period_of_plan, plan_id_of

HASH = "0123456789ab" + 52 * "f"
SLEEVES = st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True)
DAYS = st.dates().map(str)
PERIODS = DAYS | DAYS.map(lambda day: day[:7]) | DAYS.map(lambda day: day[:4])
# As Finnhub's and the broker's may be: BRK.B, ABR-D, BTC/USD, and such as end like an id.
SYMBOLS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9./\-]{0,11}", fullmatch=True).filter(
    lambda symbol: not re.match(r"\d\d-", symbol)
) | st.sampled_from(["ABR-D", "A-buy-1", "24", "08", "buy"])
SIDES = st.sampled_from(["buy", "sell"])
ATTEMPTS = st.integers(1, 10_000)


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


@given(SLEEVES, PERIODS, SLEEVES, PERIODS, SYMBOLS, SIDES, ATTEMPTS)
def test_an_order_is_of_exactly_its_sleeve_and_period(sleeve, period, other, another, symbol, side, attempt):
    order_id = client_order_id(sleeve, period, symbol, side, attempt)
    assert is_ours(order_id)
    assert attempt_of(order_id) == attempt
    assert is_of(order_id, sleeve, period)
    assert is_of(order_id, other, another) == ((other, another) == (sleeve, period))
    for part in (period[:4], period[:7], period[:-1], f"{period}-01"):
        assert is_of(order_id, sleeve, part) == (part == period)
    assert not is_of(order_id, sleeve[:-1], period)


@given(DAYS, PERIODS, SYMBOLS, SIDES, ATTEMPTS)
def test_an_order_of_before_is_of_fundamentals_and_exactly_its_week(week, period, symbol, side, attempt):
    order_id = f"tokenomics-{week}-{symbol}-{side}-{attempt}"
    assert is_of(order_id, "fundamentals", week)
    assert is_of(order_id, "fundamentals", period) == (period == week)
    assert not is_of(order_id, "news", week)


@pytest.mark.parametrize("sleeve", ["", "News", "top-30", "2nd", "a b", "news\n"])
def test_a_sleeve_that_could_not_be_read_back_names_nothing(sleeve):
    for made in (lambda: plan_id_of("2026-08-24", HASH, sleeve), lambda: order(sleeve=sleeve)):
        with pytest.raises(ValueError, match="names no sleeve"):
            made()


@pytest.mark.parametrize("period", ["", "2026-8", "26-08-24", "2026-08-24-1", "week", "2026-08-24\n", "\uff12026"])
def test_a_period_that_could_not_be_read_back_names_nothing(period):
    for sleeve in ("fundamentals", None):
        with pytest.raises(ValueError, match="names no period"):
            plan_id_of(period, HASH, sleeve)
    with pytest.raises(ValueError, match="names no period"):
        order(period=period)


@pytest.mark.parametrize(
    "part", [{"symbol": "24-A"}, {"symbol": ""}, {"symbol": "A B"}, {"side": "hold"}, {"attempt": 0}]
)
def test_an_order_whose_id_could_not_be_read_back_gets_none(part):
    with pytest.raises(ValueError, match="does not tell sleeve, period, symbol"):
        order(**part)


def order(**part):
    """The id of an order that has all it needs, but for this part."""
    whole = {"sleeve": "news", "period": "2026-08", "symbol": "A", "side": "buy", "attempt": 1}
    return client_order_id(**{**whole, **part})


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
