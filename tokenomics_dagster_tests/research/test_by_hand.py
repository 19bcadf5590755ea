"""Accounts that were computed by hand, to the cent: the figures stand in the tests."""

import numpy as np
import pytest

from tokenomics_dagster.research import engine
from tokenomics_dagster.research.experiment import Costs
from tokenomics_dagster.research.runs import Rules
from tokenomics_dagster_tests.research.markets import NAN, decided, market, under

FIVE_DAYS = market(
    {"A": [100, 51, 52, 50, 55], "B": [40, 41, 40.25, 42, 43], "C": [25, 24, 20, NAN, NAN]},
    split={"A": [1, 2, 1, 1, 1]},
    dividend={"B": [0, 0, 0.5, 0, 0]},
)
THIRDS_THEN_HALVES = decided(FIVE_DAYS, {0: dict.fromkeys("ABC", 1 / 3), 4: {"A": 0.5, "B": 0.5}})
WHOLE = Rules("close", "whole", 10_000, Costs(half_spread_bps=5), threshold_pct=0, min_trade_usd=0, cash_buffer_pct=0)


pytestmark = pytest.mark.usefixtures("as_python")


def trades(run: engine.Run) -> list[tuple[int, str, float]]:
    fills = run.fills
    return [
        (int(day) + 1, "ABC"[name], float(shares))
        for day, name, shares in zip(fills.sessions, fills.names, fills.shares, strict=True)
    ]


def test_five_days_with_a_split_a_dividend_and_a_name_that_goes() -> None:
    """Equity of the days 1 to 5; on day 5 C is paid for at its last price, without costs."""
    run = engine.simulate(FIVE_DAYS, THIRDS_THEN_HALVES, WHOLE)
    np.testing.assert_allclose(run.equity, [9995.0275, 10011.0275, 9524.2775, 9537.5275, 9949.1795], rtol=0, atol=1e-9)
    assert trades(run)[:3] == [(1, "A", 33), (1, "B", 83), (1, "C", 133)]
    assert sorted(trades(run)[3:]) == [(5, "A", 24), (5, "B", 32), (5, "C", -133)]
    assert run.cash[-1] == pytest.approx(54.1795, abs=1e-9)


def test_five_days_with_a_haircut_of_30_percent() -> None:
    """The haircut is taken on day 4, the first day without C, and is money lost for good."""
    run = engine.simulate(FIVE_DAYS, THIRDS_THEN_HALVES, under(WHOLE, haircut_pct=30.0))
    np.testing.assert_allclose(run.equity, [9995.0275, 10011.0275, 9524.2775, 8739.5275, 9151.5655], rtol=0, atol=1e-9)
    assert sorted(trades(run)[3:]) == [(5, "A", 17), (5, "B", 23), (5, "C", -133)]
    assert run.cash[-1] == pytest.approx(28.5655, abs=1e-9)


@pytest.mark.parametrize(("haircut_pct", "equity"), [(0.0, 9950.5275), (30.0, 9152.5275)])
def test_day_5_before_anything_is_traded(haircut_pct: float, equity: float) -> None:
    thirds = decided(FIVE_DAYS, {0: dict.fromkeys("ABC", 1 / 3)})
    run = engine.simulate(FIVE_DAYS, thirds, under(WHOLE, haircut_pct=haircut_pct))
    assert run.equity[-1] == pytest.approx(equity, abs=1e-9)


def test_five_days_with_a_fee_of_one_dollar_and_the_haircut() -> None:
    """Day 1. A third of 10,000 is 3,333.33: 33 A (3,300), 83 B (3,320), 133 C (3,325) are 9,945. Half a spread of
    5 bps takes 1.65 + 1.66 + 1.6625 = 4.9725, three orders cost 3: cash 47.0275, equity 9,992.0275.
    Day 2. A is split, 66 x 51 = 3,366; 83 x 41 = 3,403; 133 x 24 = 3,192; with the cash 10,008.0275.
    Day 3. 66 x 52 = 3,432; 83 x 40.25 = 3,340.75; 133 x 20 = 2,660; B pays 83 x 0.50 = 41.50, cash 88.5275: 9,521.2775.
    Day 4. 66 x 50 = 3,300; 83 x 42 = 3,486; of C 70 % of 2,660 = 1,862; with the cash 8,736.5275.
    Day 5. 66 x 55 = 3,630; 83 x 43 = 3,569; 1,862; with the cash 9,149.5275, half of which is 4,574.76375. A lacks
    944.76375, 17.18 shares; B lacks 1,005.76375, 23.39 shares. C brings 1,862 and costs nothing. 17 x 55 = 935 with
    0.4675 + 1, 23 x 43 = 989 with 0.4945 + 1: cash 88.5275 + 1,862 - 935 - 989 - 2.962 = 23.5655, equity 9,146.5655.
    """
    rules = under(WHOLE, haircut_pct=30.0, costs=Costs(half_spread_bps=5, fee_usd=1))
    run = engine.simulate(FIVE_DAYS, THIRDS_THEN_HALVES, rules)
    np.testing.assert_allclose(run.equity, [9992.0275, 10008.0275, 9521.2775, 8736.5275, 9146.5655], rtol=0, atol=1e-9)
    assert sorted(trades(run)[3:]) == [(5, "A", 17), (5, "B", 23), (5, "C", -133)]
    np.testing.assert_allclose(run.cash[[0, 2, 4]], [47.0275, 88.5275, 23.5655], rtol=0, atol=1e-9)
    np.testing.assert_allclose(run.costs, [7.9725, 0, 0, 0, 2.962], rtol=0, atol=1e-9)
    # A: 83 x 55 less 3,300, 935 and 4.1175. B: 106 x 43 and 41.50 less 3,320, 989 and 4.1545. C: 1,862 less 3,327.6625.
    np.testing.assert_allclose(run.profit, [325.8825, 286.3455, -1465.6625], rtol=0, atol=1e-9)
    assert run.profit.sum() == pytest.approx(9146.5655 - 10_000, abs=1e-9)


ONE = under(WHOLE, capital=1_000.0, costs=Costs(half_spread_bps=0))
"""One thousand USD, whole shares, no costs but those that a test adds."""


@pytest.mark.parametrize(("shares", "bought"), [("whole", 9), ("fractional", 9.5)])
def test_a_fee_is_paid_out_of_the_cash_that_buys(shares: str, bought: float) -> None:
    """1,000 USD less a fee of 50 pay for 9.5 shares of 100."""
    panel = market({"A": [100, 100]})
    run = engine.simulate(
        panel, decided(panel, {0: {"A": 1.0}}), under(ONE, shares=shares, costs=Costs(half_spread_bps=0, fee_usd=50))
    )
    assert run.fills.shares.tolist() == [pytest.approx(bought)]
    assert run.equity.tolist() == [950, 950]


def test_a_fee_above_what_a_name_without_a_row_brings_takes_no_more_than_there_is() -> None:
    """1,000 USD less 500 pay for 5 shares of 100. At 20 they are worth 100, and the fee of selling them is 500."""
    panel = market({"A": [100, 20, NAN]})
    rules = under(ONE, costs=Costs(half_spread_bps=0, fee_usd=500))
    run = engine.simulate(panel, decided(panel, {0: {"A": 1.0}, 2: {"A": 1.0}}), rules)
    assert run.equity.tolist() == [500, 100, 0]
    assert run.cash.tolist() == [0, 0, 0]


def test_a_whole_order_that_waits_through_a_split_is_of_whole_shares() -> None:
    """300 USD of A at 100 are 3 shares; 3 for 2 makes 4.5 of them, and 4 are bought, at 66."""
    panel = market({"A": [100, 66]}, split={"A": [1, 1.5]})
    run = engine.simulate(panel, decided(panel, {0: {"A": 0.3}}), under(ONE, fill="next_close"))
    assert trades(run) == [(2, "A", 4)]
    assert run.cash[-1] == 1_000 - 4 * 66


def test_who_comes_back_and_goes_again_takes_the_haircut_again() -> None:
    """10 A at 100; gone on day 2, 30 % lost: 700 USD. On day 3 they buy 7 A at 100; gone on day 4: 490 USD."""
    panel = market({"A": [100, NAN, 100, NAN, NAN]})
    wanted = {0: {"A": 1.0}, 1: {"A": 1.0}, 2: {"A": 1.0}, 4: {"A": 1.0}}
    run = engine.simulate(panel, decided(panel, wanted), under(ONE, haircut_pct=30.0))
    np.testing.assert_allclose(run.equity, [1_000, 700, 700, 490, 490])


def test_who_is_halted_when_it_should_leave_stays_until_the_next_decision() -> None:
    """Its order lapses where it is decided, though it is traded again when the others are filled."""
    panel = market({"A": [100] * 5}, halted={"A": [0, 0, 1, 0, 0]})
    run = engine.simulate(panel, decided(panel, {0: {"A": 1.0}, 2: {}, 3: {}}), under(ONE, fill="next_close"))
    assert trades(run) == [(2, "A", 10), (5, "A", -10)]
    assert run.warnings == ("orders that lapsed, without a price or under a halt when they were to be filled: 1.",)


def test_what_cash_cuts_costs_the_impact_of_what_is_bought_and_five_returns_tell_the_volatility() -> None:
    """Returns of 0, 4, -4, 4 and -4 % deviate by 4 %; 100 shares of 100 USD a day are 10,000 USD. Ten shares would cost
    0.04 x 0.1^0.6 = 1.005 % more, so 1,000 USD pay for nine, and those cost 0.04 x 0.09^0.6 of 900 USD."""
    returns, volume = [0, 0.04, -0.04, 0.04, -0.04], [100] * 5
    # With splits told, prices are as they stand.
    panel = market({"A": [100] * 5}, split={}, returns={"A": returns}, volume={"A": volume})
    rules = under(ONE, costs=Costs(half_spread_bps=0, impact=1))
    run = engine.simulate(panel, decided(panel, {4: {"A": 1.0}}), rules)
    assert trades(run) == [(5, "A", 9)]
    assert run.costs[4] == pytest.approx(900 * 0.04 * 0.09**0.6, rel=1e-12)
    assert run.warnings == ()
