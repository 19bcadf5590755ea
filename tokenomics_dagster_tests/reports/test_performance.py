"""Returns under deposits and withdrawals: by hand, and as properties of any record."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.model import calendar
from tokenomics_dagster.reports.performance import (
    YEAR,
    Flow,
    TooShort,
    Value,
    compare,
    drawdown,
    equal_weighted,
    measure,
    money_weighted_return,
    steps,
    turnover,
)

DAYS = calendar.session_days(date(2026, 8, 21), date(2027, 12, 31))


def closes(*usd: float | str, first: int = 0) -> list[Value]:
    """One value at each close, from Friday 2026-08-21 on."""
    return [Value(close(first + number), Decimal(str(one))) for number, one in enumerate(usd)]


def close(number: int) -> datetime:
    session = calendar.session_on(DAYS[number])
    assert session is not None
    return session.close


def before_open(number: int) -> datetime:
    session = calendar.session_on(DAYS[number])
    assert session is not None
    return session.open - timedelta(minutes=30)


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss():
    # 100 -> 110, then 890 come: 1,000 -> 900, then 400 go: 500 -> 550. Without flows: 1.1 x 0.9 x 1.1.
    values = closes(100, 110, 900, 550)
    found = measure(values, [Flow(before_open(2), Decimal(890)), Flow(before_open(3), Decimal(-400))])
    assert found.time_weighted == pytest.approx(1.1 * 0.9 * 1.1 - 1)
    assert (found.paid_in, found.paid_out, found.profit) == (Decimal(890), Decimal(400), Decimal(-40))
    assert found.start + found.paid_in - found.paid_out + found.profit == found.end


def test_what_comes_at_the_close_takes_no_part_in_the_day_and_what_comes_before_the_open_in_all_of_it():
    values = closes(100, 210)
    assert steps(values, [Flow(close(1), Decimal(100))])[0].growth == pytest.approx(1.10)
    assert steps(values, [Flow(before_open(1), Decimal(100))])[0].growth == pytest.approx(1.05)
    session = calendar.session_on(DAYS[1])
    assert session is not None
    noon = session.open + (session.close - session.open) / 2
    assert steps(values, [Flow(noon, Decimal(100))])[0].growth == pytest.approx(1 + 10 / 150)
    # What comes in the night after a close is the next day's.
    later = close(1) + timedelta(hours=3)
    assert steps(closes(100, 110, 210), [Flow(later, Decimal(100))])[1].growth == pytest.approx(1.0)


def test_a_flow_told_by_its_day_comes_before_it_and_goes_after_it():
    day = datetime(2026, 8, 24, 4, tzinfo=UTC)
    values = closes(100, 210)
    assert steps(values, [Flow(day, Decimal(100), by_day=True)])[0].growth == pytest.approx(1.05)
    assert steps(closes(100, 10), [Flow(day, Decimal(-100), by_day=True)])[0].growth == pytest.approx(1.10)


def test_a_flow_of_the_first_day_without_its_hour_is_a_doubt_that_is_told():
    values = closes(100, 101)
    flow = Flow(datetime(2026, 8, 21, 4, tzinfo=UTC), Decimal(50), "CSD", by_day=True)
    found = measure(values, [flow])
    assert found.paid_in == 0
    assert any("CSD of +50.00 USD is told of 2026-08-21 without its hour" in gap for gap in found.gaps)


def test_the_money_weighted_return_is_what_the_owners_money_did():
    first, last = closes(100, 0)[0], Value(close(0) + timedelta(days=100), Decimal(315))
    # Half of the time passes before 200 come: 100 g + 200 g ** 0.5 = 315.
    half = Flow(first.at + timedelta(days=50), Decimal(200))
    found, why = money_weighted_return(first, last, [half])
    assert why == ""
    root = (-200 + (200**2 + 4 * 100 * 315) ** 0.5) / 200
    assert found == pytest.approx(root**2 - 1)
    alone, _ = money_weighted_return(first, Value(last.at, Decimal(110)), [])
    assert alone == pytest.approx(0.10)


def test_who_pays_in_before_a_fall_has_lost_although_a_usd_that_stayed_has_won():
    values = closes(100, 200, 900, first=0)
    found = measure(values, [Flow(before_open(2), Decimal(1_000))])
    assert found.time_weighted == pytest.approx(2 * 900 / 1_200 - 1)
    assert found.time_weighted is not None
    assert found.time_weighted > 0
    assert found.money_weighted is not None
    assert found.money_weighted < 0


def test_a_money_weighted_return_that_is_not_the_only_one_is_none():
    # 1 out for 1, 2.5 back in the middle, 1.54 paid at the end: two rates fit (the textbook's -1, 2.5, -1.54).
    first = Value(close(0), Decimal(1))
    last = Value(close(0) + timedelta(days=2), Decimal("-1.54"))
    middle = Flow(close(0) + timedelta(days=1), Decimal("-2.5"))
    found, why = money_weighted_return(first, last, [middle])
    assert found is None
    assert "more than one rate" in why


def test_nothing_is_a_years_rate_under_a_years_sessions():
    short = measure(closes(*range(100, 100 + YEAR)), [])
    assert short.sessions == YEAR - 1
    assert short.time_weighted_annual is None
    assert "251 sessions are less than a year of 252" in short.undefined["time_weighted_annual"]
    long = measure(closes(*range(100, 101 + YEAR)), [])
    years = (long.until - long.since).total_seconds() / 86_400 / 365.25
    assert long.time_weighted_annual == pytest.approx(3.52 ** (1 / years) - 1)


def test_a_drawdown_is_of_the_unit_so_that_a_withdrawal_is_none():
    values = closes(100, 120, 60, 57, 63)
    done = steps(values, [Flow(before_open(2), Decimal(-60))])
    fall = drawdown(done)
    assert fall is not None
    assert fall.depth == pytest.approx(0.05)
    assert (fall.peak, fall.trough) == (DAYS[2], DAYS[3])
    assert fall.recovered == DAYS[4]
    assert drawdown(steps(closes(100, 100, 101), [])) is None


def test_months_chain_to_the_whole_and_their_profits_add_up_to_it():
    values = closes(*(100 + number**1.5 for number in range(60)))
    found = measure(values, [Flow(before_open(20), Decimal(7))])
    whole = 1.0
    for month in found.months:
        assert month.growth is not None
        whole *= month.growth
    assert whole - 1 == pytest.approx(found.time_weighted)
    assert sum(month.profit for month in found.months) == found.profit
    assert [month.month for month in found.months] == [date(2026, number, 1) for number in (8, 9, 10, 11)]
    for before, after in pairwise(found.months):
        assert before.until == after.since


def test_sessions_without_a_value_are_named():
    values = [*closes(100), *closes(101, first=3), *closes(102, first=5)]
    found = measure(values, [])
    assert len(found.gaps) == 2
    assert "2 sessions (2026-08-24 to 2026-08-25)" in found.gaps[0]
    assert "1 session (2026-08-27)" in found.gaps[1]


def test_an_empty_account_has_no_return_for_that_time_and_the_rest_has_one():
    found = measure(closes(100, 0, 0, 50, 55), [Flow(close(1), Decimal(-100)), Flow(close(3), Decimal(50))])
    assert found.time_weighted == pytest.approx(0.10)
    assert any("nothing was in the account" in gap for gap in found.gaps)


def test_one_value_is_no_record():
    with pytest.raises(TooShort, match="two values of the account"):
        measure(closes(100), [])


def test_values_out_of_order_are_refused():
    with pytest.raises(ValueError, match="order of time"):
        measure(closes(100, 101)[::-1], [])


@given(
    st.lists(st.floats(0.9, 1.1), min_size=2, max_size=30),
    st.lists(st.integers(-30_000, 100_000), min_size=30, max_size=30),
)
def test_flows_before_the_open_never_change_the_time_weighted_return(growths, flows):
    """An account whose day multiplies whatever lies in it at the open: the chained return is that of the days."""
    usd, values, paid = Decimal(100_000), closes(100_000), []
    whole = 1.0
    for number, growth in enumerate(growths, start=1):
        flow = Decimal(max(flows[number - 1], int(-usd / 2)))
        paid.append(Flow(before_open(number), flow))
        usd = round((usd + flow) * Decimal(str(growth)), 12)  # of the 28 digits that Decimal adds up exactly
        whole *= growth
        values.append(Value(close(number), usd))
    found = measure(values, paid)
    assert found.time_weighted == pytest.approx(whole - 1, abs=1e-9)
    assert found.start + found.paid_in - found.paid_out + found.profit == found.end


@given(st.floats(0.5, 2.0), st.lists(st.tuples(st.integers(1, 99), st.integers(0, 50_000)), max_size=6))
def test_money_that_all_grows_at_one_rate_has_that_money_weighted_return(growth, flows):
    first = Value(close(0), Decimal(10_000))
    until = first.at + timedelta(days=100)
    paid = [Flow(first.at + timedelta(days=day), Decimal(usd)) for day, usd in flows]
    end = 10_000 * growth + sum(usd * growth ** ((100 - day) / 100) for day, usd in flows)
    found, _ = money_weighted_return(first, Value(until, Decimal(str(end))), paid)
    assert found == pytest.approx(growth - 1, rel=1e-6, abs=1e-9)


def test_equal_amounts_drift_until_they_are_bought_anew():
    prices = {"A": [10.0, 20.0, 20.0], "B": [10.0, 10.0, 20.0]}
    held, lacking = equal_weighted(prices, {0: ["A", "B"]})
    assert (held, lacking) == ([1.0, 1.5, 2.0], set())
    anew, _ = equal_weighted(prices, {0: ["A", "B"], 1: ["A", "B"]})
    assert anew == [1.0, 1.5, pytest.approx(1.5 * 1.5)]


def test_a_name_without_a_price_keeps_its_last_one_and_is_told():
    prices: dict[str, list[float | None]] = {"A": [10.0, 20.0, None], "B": [10.0, 10.0, 10.0], "C": [None, 5.0, 50.0]}
    levels, lacking = equal_weighted(prices, {0: ["A", "B", "C"]})
    assert levels == [1.0, 1.5, 1.5]
    assert lacking == {"A", "C"}
    assert equal_weighted({}, {0: ["A"]}) == ([], set())


def test_what_is_compared_is_measured_between_the_same_values_and_an_unknown_price_is_no_zero():
    values = closes(*range(100, 108))
    found = compare("SPY", values, [10, 10, 10, 11, 11, 11, 12, 13])
    assert found.total == pytest.approx(0.3)
    assert found.months == {date(2026, 8, 1): pytest.approx(0.2), date(2026, 9, 1): pytest.approx(13 / 12 - 1)}
    lacking = compare("SPY", values, [None, 10, 10, 11, 11, 11, 12, 13])
    assert lacking.total is None
    assert "not known" in lacking.why
    assert lacking.months[date(2026, 8, 1)] is None
    assert lacking.months[date(2026, 9, 1)] == pytest.approx(13 / 12 - 1)
    assert compare("SPY", values, [10.0] * 8).why == "", "nothing won is no missing price"


def test_turnover_is_both_sides_over_the_mean_value():
    assert turnover(Decimal(100), closes(90, 110)) == pytest.approx(1.0)
    assert turnover(Decimal(100), []) is None
