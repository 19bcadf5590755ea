"""A value that cannot be is none, what cannot be told right from wrong is not known, and what does not fit is said."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tokenomics_dagster.reports.judged import judged
from tokenomics_dagster.reports.performance import Flow, measure
from tokenomics_dagster_tests.reports.test_performance import before_open, close, closes

GOOD = (100_000, 100_400, 100_200, 100_700, 100_957)


@pytest.mark.parametrize("usd", [0, -5])
def test_a_value_of_nothing_that_nobody_paid_out_is_a_gap_and_no_loss_of_all(usd):
    whole = measure(closes(*GOOD), [])
    found = judged(closes(*GOOD[:2], usd, *GOOD[3:]), [])
    assert found.time_weighted == pytest.approx(whole.time_weighted) == pytest.approx(0.00957)
    assert found.drawdown is None
    assert found.unsure == ()
    assert f"an equity of {usd:,.2f} USD is told of 2026-08-25, after 100,400.00 USD of 2026-08-24" in found.gaps[0]
    assert "no value of the account is known of 1 session (2026-08-25)" in found.gaps[1]


@pytest.mark.parametrize("values", [(*GOOD[:4], 0), (0, *GOOD[1:]), (*GOOD[:2], 0, 0)])
def test_an_end_that_tells_of_nothing_makes_no_return_at_all(values):
    found = judged(closes(*values), [])
    assert (found.time_weighted, found.money_weighted, found.drawdown) == (None, None, None)
    assert "no growth makes the one of the other" in found.unsure[0]
    assert set(found.undefined.values()) == {found.unsure[0]}
    assert all(month.growth is None for month in found.months)


def test_no_growth_of_nothing_enters_the_product_of_formulas_either():
    found = measure(closes(100, 0, 101), [])
    assert found.time_weighted is None
    assert all(step.growth is None or step.growth > 0 for step in found.steps)


def test_an_account_that_its_owner_emptied_is_believed():
    flows = [Flow(close(1), Decimal(-100)), Flow(close(3), Decimal(50))]
    found = judged(closes(100, 0, 0, 50, 55), flows)
    assert found.time_weighted == pytest.approx(0.10)
    assert found.unsure == ()
    assert len(found.steps) == 4
    assert not any("not known" in gap for gap in found.gaps)


@pytest.mark.parametrize("factor", ["1.5", "0.5", "1.13", "0.02"])
def test_a_spike_is_in_no_figure_and_the_drawdown_is_not_known(factor):
    values = closes(*GOOD)
    wrong = [*values[:2], values[2].__class__(values[2].at, values[2].usd * Decimal(factor)), *values[3:]]
    found = judged(wrong, [])
    assert found.time_weighted == pytest.approx(0.00957)
    assert (found.drawdown, found.unsure) == (None, ())
    told = found.undefined["drawdown"]
    assert f"{values[2].usd * Decimal(factor):,.2f} USD is told of 2026-08-25" in told
    assert "100,400.00 USD of 2026-08-24 and 100,700.00 USD of 2026-08-26" in told
    assert told in found.gaps


def test_two_wrong_values_after_each_other_are_one_spike():
    found = judged(closes(100_000, 100_400, 150_300, 151_050, 100_957), [])
    assert found.time_weighted == pytest.approx(0.00957)
    assert sum("nobody tells which of the values is right" in gap for gap in found.gaps) == 2


def test_a_spike_among_flows_leaves_no_return():
    values = closes(100_000, 100_400, 250_000, 181_000, 181_500)
    found = judged(values, [Flow(before_open(3), Decimal(80_000))])
    assert found.time_weighted is None
    assert found.unsure[0].startswith("250,000.00 USD is told of 2026-08-25")


@pytest.mark.parametrize(
    "growths",
    [
        (0.9049, 1.0929, 0.8802, 1.0600),  # S&P 500, 2020-03-12 to 17
        (0.7953, 1.0533, 1.0910, 0.9608),  # 1987-10-19 to 22
        (1.1158, 0.9947, 0.9097, 1.0425),  # 2008-10-13 to 16
    ],
)
def test_the_wildest_days_of_the_market_are_believed(growths):
    usd = [100_000.0]
    for growth in growths:
        usd.append(usd[-1] * growth)
    values = closes(*(round(one, 2) for one in usd))
    found = judged(values, [])
    assert found.drawdown is not None
    assert found.unsure == ()
    assert found.time_weighted == pytest.approx(measure(values, []).time_weighted)


def test_a_jump_that_nothing_undid_stands_beside_the_figures():
    found = judged(closes(100_000, 100_400, 150_600, 151_000, 151_500), [])
    assert found.time_weighted is not None
    [told] = found.beside
    assert told.startswith("the account moved by +50.0% without what was paid, from 100,400.00 USD of 2026-08-24")


def test_a_deposit_of_the_first_day_without_its_hour_stands_beside_with_the_other_return():
    day = datetime(2026, 8, 21, 4, tzinfo=UTC)
    values = closes(100_000, 101_410, 102_430)
    found = judged(values, [Flow(day, Decimal(1_000), "CSD", by_day=True)])
    assert found.time_weighted == pytest.approx(0.0243)
    [told] = found.beside
    assert "no hour of +1,000.00 USD of 2026-08-21" in told
    assert told.endswith("the time-weighted return is +1.42%")


def test_where_the_hour_makes_no_difference_nothing_stands_beside():
    day = datetime(2026, 8, 24, 4, tzinfo=UTC)
    found = judged(closes(100_000, 101_100, 101_200), [Flow(day, Decimal(1_000), "CSD", by_day=True)])
    assert found.beside == ()


def test_what_is_known_from_elsewhere_withholds_each_return_and_stays_beside_the_sums():
    found = judged(closes(*GOOD), [], unsure=["50,000 USD came from nowhere"])
    assert (found.time_weighted, found.money_weighted, found.drawdown) == (None, None, None)
    assert found.undefined["money_weighted"] == "50,000 USD came from nowhere"
    assert found.start + found.paid_in - found.paid_out + found.profit == found.end
