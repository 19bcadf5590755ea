from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.research import account
from tokenomics_dagster.research.engine import simulate, simulate_many
from tokenomics_dagster.research.experiment import Costs, ExperimentError
from tokenomics_dagster.research.panel import Floats, Panel
from tokenomics_dagster.research.runs import Decisions, Rules, Run
from tokenomics_dagster_tests.bench import oracle
from tokenomics_dagster_tests.research.markets import (
    FREE,
    FULL,
    NAN,
    PLAIN,
    decided,
    kept_by_hand,
    market,
    random_decisions,
    random_market,
    under,
)

pytestmark = pytest.mark.usefixtures("as_python")
EVERYTHING = under(
    FULL,
    fill="next_open",
    costs=Costs(by_volume=True, fee_usd=1, impact=0.5),
    cash_buffer_pct=0.25,
    haircut_pct=55,
    interest_pct=4,
)


def trades(panel: Panel, run: Run) -> list[tuple[int, str, float]]:
    fills = run.fills
    return [
        (int(t), panel.symbols[name], float(shares))
        for t, name, shares in zip(fills.sessions, fills.names, fills.shares, strict=True)
    ]


def targets_of(decisions: Decisions) -> list[oracle.Targets]:
    made = []
    for i, t in enumerate(decisions.sessions):
        part = slice(decisions.starts[i], decisions.starts[i + 1])
        if not decisions.refused[i]:
            made.append(oracle.Targets(int(t), decisions.names[part], decisions.weights[part]))
    return made


def full_rows(panel: Panel) -> Panel:
    """The panel with neither gaps nor halts."""
    price: Floats = 50 * np.cumprod(1 + panel.returns, axis=0, dtype=np.float64)
    return replace(panel, price=price, market_cap=price, open=price * 1.001, split=None, dividend=None, halted=None)


@pytest.mark.parametrize("seed", range(5))
def test_costs_bands_and_rounding_off_are_a_plain_loop(seed: int) -> None:
    panel = full_rows(random_market(seed))
    decisions = random_decisions(panel, seed)
    run = simulate(panel, decisions, PLAIN)
    np.testing.assert_allclose(run.equity, oracle.plain(panel.returns, targets_of(decisions)), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_bands_minimum_whole_shares_costs_and_cash_are_those_of_a_plain_loop(seed: int) -> None:
    panel = full_rows(random_market(seed))
    decisions = random_decisions(panel, seed)
    run = simulate(panel, decisions, under(FULL, capital=20_000.0))
    worth = oracle.anchored(panel.price, panel.returns)
    equity, _ = oracle.full(worth, targets_of(decisions), 20_000)
    np.testing.assert_allclose(run.equity, equity, rtol=1e-12)


@pytest.mark.parametrize("rules", [PLAIN, FULL, EVERYTHING, under(EVERYTHING, shares="fractional", fill="next_close")])
@given(seed=st.integers(0, 10**6))
def test_cash_is_never_below_zero_and_what_is_told_adds_up(rules: Rules, seed: int) -> None:
    """Also when fees are larger than what is traded."""
    rng = np.random.default_rng(seed)
    panel = random_market(seed, events=bool(seed % 2))
    costs = rules.costs.model_copy(update={"fee_usd": float(rng.choice([0, 1, 300]))})
    rules = under(rules, capital=float(rng.choice([300, 10_000, 1e7])), costs=costs)
    run = simulate(panel, random_decisions(panel, seed), rules)
    assert run.cash.min() >= 0
    assert run.costs.min() >= -1e-9
    assert run.profit.sum() + run.interest == pytest.approx(run.equity[-1] - rules.capital, abs=0.005)
    assert run.traded.sum() == pytest.approx(np.abs(run.fills.shares * run.fills.price).sum())
    assert run.costs.sum() == pytest.approx(run.fills.cost.sum(), abs=1e-6)
    cash, shares = kept_by_hand(panel, rules, run)
    np.testing.assert_allclose(run.cash, cash, atol=1e-6 * rules.capital**0.5, rtol=1e-9)
    np.testing.assert_allclose(run.final_shares, shares[-1], rtol=1e-9, atol=1e-9)
    assert (run.held == (shares > 0).sum(axis=1)).all()


@given(seed=st.integers(0, 10**6), fill=st.sampled_from(["close", "next_open", "next_close"]))
def test_the_order_of_the_columns_changes_nothing(seed: int, fill: str) -> None:
    panel = random_market(seed, sessions=30)
    decisions = random_decisions(panel, seed)
    rules = under(EVERYTHING, fill=fill, capital=50_000.0)
    run = simulate(panel, decisions, rules)
    order = np.random.default_rng(seed).permutation(len(panel.symbols))
    grids = ("price", "returns", "market_cap", "volume", "open", "split", "dividend", "halted")
    shuffled = replace(panel, **{name: getattr(panel, name)[:, order] for name in grids})
    names = np.argsort(order)[decisions.names]
    again = simulate(shuffled, replace(decisions, names=names), rules)
    np.testing.assert_allclose(again.equity, run.equity, rtol=1e-9)
    np.testing.assert_allclose(again.profit, run.profit[order], atol=1e-6)


@pytest.mark.parametrize("events", [True, False])
def test_ten_times_the_price_is_a_tenth_of_the_fractional_shares(events: bool) -> None:
    panel = random_market(3, events=events)
    decisions = random_decisions(panel, 3)
    rules = under(PLAIN, costs=Costs(), threshold_pct=20, min_trade_usd=100)
    run = simulate(panel, decisions, rules)
    dearer = replace(panel, price=panel.price * 10, dividend=None if panel.dividend is None else panel.dividend * 10)
    again = simulate(dearer, decisions, rules)
    np.testing.assert_allclose(again.equity, run.equity, rtol=1e-9)
    np.testing.assert_allclose(again.final_shares, run.final_shares / 10, rtol=1e-9)


def test_a_split_changes_only_the_fraction_of_a_share() -> None:
    """33 shares become 49 at 3:2, and half a share of 40 USD is paid in cash; fractional ones stay 49.5."""
    prices = {"A": [60.0, 60, 40, 41], "B": [10.0, 10, 10, 10]}
    panel = market(prices, split={"A": [1, 1, 1.5, 1]})
    decisions = decided(panel, {0: {"A": 33 * 60 / 10_000}})
    run = simulate(panel, decisions, under(PLAIN, shares="whole", capital=10_000.0))
    np.testing.assert_allclose(run.equity, [10_000, 10_000, 10_000, 10_049])
    np.testing.assert_allclose(run.cash, [8_020, 8_020, 8_040, 8_040])
    assert run.final_shares.tolist() == [49, 0]
    assert simulate(panel, decisions, under(PLAIN, capital=10_000.0)).final_shares.tolist() == [49.5, 0]


@pytest.mark.parametrize("fill", ["close", "next_close"])
def test_a_split_is_worth_nothing_and_neither_is_its_absence(fill: str) -> None:
    """The same market told in prices as traded with splits, and in returns without: fractional shares see no odds."""
    panel = random_market(8, sessions=80)
    there = ~np.isnan(panel.price)
    whole_rows = replace(
        panel,
        price=np.where(there, panel.price, 0) + ~there * 1.0,
        dividend=None,
        halted=None,
    )
    assert panel.split is not None
    price: Floats = 50 * np.cumprod((1 + panel.returns) / panel.split, axis=0, dtype=np.float64)
    told = replace(whole_rows, price=price, market_cap=price)
    decisions = random_decisions(told, 8)
    rules = under(PLAIN, fill=fill, costs=Costs(), threshold_pct=20)
    run, again = simulate(told, decisions, rules), simulate(replace(told, split=None), decisions, rules)
    np.testing.assert_allclose(again.equity, run.equity, rtol=1e-9)


def test_an_order_of_one_close_is_filled_at_the_next_open() -> None:
    """Decided at 100: 50 shares. Filled at 110 with 5 bps: 50 x 110.055 = 5,502.75."""
    panel = market({"A": [100, 120, 120]}, open={"A": [NAN, 110, 120]})
    run = simulate(panel, decided(panel, {0: {"A": 0.5}}), under(FULL, fill="next_open", capital=10_000.0))
    assert trades(panel, run) == [(1, "A", 50)]
    np.testing.assert_allclose(run.cash, [10_000, 4_497.25, 4_497.25])
    np.testing.assert_allclose(run.equity, [10_000, 10_497.25, 10_497.25])


def test_the_open_is_counted_in_the_shares_of_the_close() -> None:
    """Without splits: after 2:1 the row says 61 and 60, +20 %; in old shares the open was 122."""
    panel = market({"A": [100, 60, 60]}, open={"A": [100, 61, 60]}, returns={"A": [0, 0.2, 0]})
    run = simulate(panel, decided(panel, {0: {"A": 0.5}}), under(PLAIN, fill="next_open", capital=10_000.0))
    assert run.fills.price.tolist() == [122]
    np.testing.assert_allclose(run.equity, [10_000, 10_000 - 50 * 2, 9_900])


def test_an_order_of_one_close_is_filled_at_the_next_close_as_far_as_cash_goes() -> None:
    """100 shares were meant at 100; at 125 the 10,000 USD pay for 80 without costs."""
    panel = market({"A": [100, 125, 130]})
    rules = under(PLAIN, fill="next_close", shares="whole", capital=10_000.0)
    run = simulate(panel, decided(panel, {0: {"A": 1.0}}), rules)
    assert trades(panel, run) == [(1, "A", 80)]
    np.testing.assert_allclose(run.equity, [10_000, 10_000, 10_400])


def test_the_buffer_is_neither_planned_nor_spent() -> None:
    panel = market({"A": [100, 110, 110]})
    rules = under(PLAIN, fill="next_close", capital=10_000.0, cash_buffer_pct=2)
    run = simulate(panel, decided(panel, {0: {"A": 1.0}}), rules)
    assert run.fills.shares[0] == pytest.approx(9_800 / 110)
    assert run.cash[1] == pytest.approx(200)


def test_sells_pay_for_buys_and_who_lacks_most_comes_first() -> None:
    """B and C lack all of theirs, C more in USD; A lacks a fifth. D is no more wanted and is sold first."""
    panel = market({"A": [100, 100], "B": [30, 30], "C": [20, 20], "D": [50, 50]})
    decisions = decided(panel, {0: {"A": 0.4, "D": 0.6}, 1: {"A": 0.5, "B": 0.2, "C": 0.3}})
    run = simulate(panel, decisions, under(PLAIN, shares="whole", capital=10_000.0))
    assert trades(panel, run)[2:] == [(1, "D", -120), (1, "C", 150), (1, "B", 66), (1, "A", 10)]


def test_halts_stop_trades_and_the_mark_stays() -> None:
    """A's halted row says 300, and nobody could have sold at it."""
    panel = market({"A": [100, 300, 90], "B": [10, 10, 10]}, halted={"A": [0, 1, 0]})
    decisions = decided(panel, {0: {"A": 1.0}, 1: {"B": 1.0}, 2: {"B": 1.0}})
    run = simulate(panel, decisions, under(PLAIN, capital=1_000.0))
    np.testing.assert_allclose(run.equity, [1_000, 1_000, 900])
    assert trades(panel, run)[:2] == [(0, "A", 10), (2, "A", -10)]
    assert run.final_shares.tolist() == pytest.approx([0, 90])
    assert run.warnings[0].startswith("orders that lapsed")


@pytest.mark.parametrize("why", ["no row", "no open", "a halt"])
def test_an_order_lapses_where_nothing_is_traded_and_the_position_stays(why: str) -> None:
    prices = {"A": [100, NAN if why == "no row" else 100.0, 100], "B": [50.0, 50, 50]}
    opens = {"A": [100, 100.0 if why == "a halt" else NAN, 100], "B": [50.0, 50, 50]}
    panel = market(prices, open=opens, halted={"A": [0, float(why == "a halt"), 0]})
    decisions = decided(panel, {0: {"A": 0.5, "B": 0.5}})
    run = simulate(panel, decisions, under(PLAIN, fill="next_open", capital=1_000.0))
    assert trades(panel, run) == [(1, "B", 10)]
    assert run.warnings == ("orders that lapsed, without a price or under a halt when they were to be filled: 1.",)


def test_a_name_without_a_row_at_a_decision_is_sold_at_its_last_mark() -> None:
    """Where splits are not told it is taken for a trade, with half a spread."""
    panel = market({"A": [100, 110, NAN, 120], "B": [10, 10, 10, 10]})
    decisions = decided(panel, {0: {"A": 1.0}, 2: {"A": 0.5, "B": 0.5}})
    run = simulate(panel, decisions, under(PLAIN, capital=1_000.0, costs=Costs(half_spread_bps=10)))
    assert trades(panel, run)[1][:2] == (2, "A")
    assert run.fills.price[1] == pytest.approx(110)
    assert run.fills.cost[1] == pytest.approx(0.001 * 110 * run.fills.shares[0])
    assert run.final_shares[0] == 0


def test_a_gap_that_closes_before_the_next_decision_takes_no_haircut() -> None:
    panel = market({"A": [100, NAN, 100, NAN, NAN], "B": [1, 1, 1, 1, 1]})
    decisions = decided(panel, {0: {"A": 1.0}, 2: {"A": 1.0}})
    run = simulate(panel, decisions, under(PLAIN, capital=1_000.0, haircut_pct=30))
    np.testing.assert_allclose(run.equity, [1_000, 1_000, 1_000, 700, 700])


def test_what_cannot_be_decided_keeps_everything() -> None:
    panel = market({"A": [100, 110, NAN, 120]})
    run = simulate(panel, decided(panel, {0: {"A": 1.0}, 1: None, 2: None}), under(PLAIN, capital=1_000.0))
    np.testing.assert_allclose(run.equity, [1_000, 1_100, 1_100, 1_200])
    assert run.decided.tolist() == [0]


def test_interest_is_paid_by_calendar_days() -> None:
    panel = replace(market({"A": [1, 1, 1]}), dates=np.array(["2024-01-05", "2024-01-08", "2024-01-09"], "M8[D]"))
    run = simulate(panel, decided(panel, {}), under(PLAIN, interest_pct=3.6525))
    np.testing.assert_allclose(run.equity, [1e6, 1e6 * (1 + 3e-4), 1e6 * (1 + 3e-4) * (1 + 1e-4)])
    assert run.interest == pytest.approx(run.equity[-1] - 1e6)


def test_dividends_are_paid_to_who_held_the_day_before() -> None:
    panel = market({"A": [10, 10, 10]}, split={}, dividend={"A": [1, 1, 0]})
    run = simulate(panel, decided(panel, {0: {"A": 0.5}}), under(PLAIN, capital=1_000.0))
    np.testing.assert_allclose(run.cash, [500, 550, 550])
    assert run.profit.tolist() == [50]


def test_impact_is_y_sigma_participation_to_the_power_of_six_tenths_of_what_was_known() -> None:
    """Sessions after the decision have other volatility and volume, and do not count."""
    rng = np.random.default_rng(5)
    returns = rng.standard_normal(90) * np.where(np.arange(90) < 80, 0.02, 0.2)
    price = 100 * np.cumprod(1 + returns)
    volume = np.where(np.arange(90) < 80, rng.integers(900, 1_100, 90), 1e9).astype(float)
    panel = market({"A": price.tolist()}, returns={"A": returns.tolist()}, volume={"A": volume.tolist()})
    rules = under(PLAIN, fill="next_close", costs=Costs(half_spread_bps=5, impact=0.8))
    run = simulate(panel, decided(panel, {79: {"A": 0.02}}), rules)
    shares, filled, cost = run.fills.shares[0], run.fills.price[0], run.fills.cost[0]
    sigma, adv = returns[59:80].std(ddof=1), (price * volume)[17:80].mean()
    assert shares == pytest.approx(20_000 / price[79])
    assert cost == pytest.approx(shares * filled * (0.0005 + 0.8 * sigma * (shares * filled / adv) ** 0.6))


def test_the_spread_widens_where_little_is_traded_and_is_never_below_the_one_asked() -> None:
    """sigma 4 % and 5 million USD a day: W / W* = (0.04 x 5) / (0.02 x 40) = 1/4, so 5 bps x 2 x 4^(1/3)."""
    returns = np.tile([0.04, -0.04], 40) * np.sqrt(20 / 21)  # a standard deviation of 4 % with ddof 1, of 21
    price = np.full(80, 100.0)
    for usd, bps in ((5e6, 5 * 2 * 4 ** (1 / 3)), (4e12, 5.0)):
        volume = {"A": [usd / 100] * 80}
        panel = market({"A": price.tolist()}, returns={"A": returns.tolist()}, volume=volume)
        rules = under(PLAIN, fill="next_close", costs=Costs(half_spread_bps=5, by_volume=True))
        run = simulate(panel, decided(panel, {70: {"A": 0.5}}), rules)
        paid = run.fills.cost[0] / (run.fills.shares[0] * run.fills.price[0])
        assert paid * 1e4 == pytest.approx(bps, rel=2e-3)


def test_unknown_volatility_and_volume_cost_much_and_are_told() -> None:
    panel = market({"A": [100, 100], "B": [1, 1]}, volume={"A": [NAN, NAN]})
    run = simulate(panel, decided(panel, {0: {"A": 0.5}}), under(PLAIN, costs=Costs(half_spread_bps=0, impact=1)))
    assert run.fills.cost[0] == pytest.approx(0.06 * run.fills.shares[0] * 100)
    assert "volatility or volume was not known: 1." in run.warnings[0]


def test_the_live_rules_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    assert account.decide is kernel.decide
    assert account.affordable is kernel.affordable
    panel = market({"A": [100, 100]})
    monkeypatch.setattr(account, "decide", lambda *_: (kernel.DRIFT, 0.0))
    assert len(simulate(panel, decided(panel, {0: {"A": 1.0}}), PLAIN).fills.names) == 0


@pytest.mark.parametrize("events", [True, False])
def test_many_runs_on_one_market_are_what_each_is_alone(events: bool) -> None:
    panel = random_market(4, events=events)
    decisions = [random_decisions(panel, seed) for seed in (1, 1, 2, 3)]
    rules = [PLAIN, FULL, EVERYTHING, under(FULL, fill="next_close")]
    batch = simulate_many(panel, decisions, rules)
    for k, (one, each) in enumerate(zip(decisions, rules, strict=True)):
        run = simulate(panel, one, each)
        np.testing.assert_array_equal(batch.equity[k], run.equity)
        assert batch.traded[k] == run.traded.sum()
        assert batch.costs[k] == run.costs.sum()
        assert batch.trades[k] == len(run.fills.names)
        assert batch.turnover[k] == pytest.approx(run.turnover)
    with pytest.raises(ExperimentError, match="4 lists of decisions cannot be run under 1 sets of rules"):
        simulate_many(panel, decisions, [PLAIN])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"names": np.array([0, 9])}, "columns that a panel of 2 symbols does not have"),
        ({"names": np.array([1, 1])}, "names a symbol twice"),
        ({"weights": np.array([0.5, -0.1])}, "weights must be numbers from 0 to 1"),
        ({"weights": np.array([0.5, NAN])}, "weights must be numbers from 0 to 1"),
        ({"weights": np.array([0.6, 0.6])}, "add up to 1 at most"),
        ({"sessions": np.array([2])}, "increasing sessions of the 2 there are"),
        ({"starts": np.array([0, 1])}, "where its names begin"),
    ],
)
def test_decisions_that_are_none_are_refused(changes: dict, says: str) -> None:
    panel = market({"A": [1, 1], "B": [1, 1]})
    decisions = replace(decided(panel, {0: {"A": 0.5, "B": 0.5}}), **changes)
    with pytest.raises(ExperimentError, match=says):
        simulate(panel, decisions, PLAIN)


def test_rules_that_the_panel_cannot_answer_are_refused() -> None:
    panel = market({"A": [1, 1]}, volume={"A": [NAN, NAN]})
    decisions = decided(panel, {0: {"A": 1.0}})
    with pytest.raises(ExperimentError, match="next_open needs opens"):
        simulate(panel, decisions, under(PLAIN, fill="next_open"))
    with pytest.raises(ExperimentError, match="need volumes"):
        simulate(panel, decisions, under(PLAIN, costs=Costs(impact=1)))


def test_nobody_wanted_leaves_the_cash() -> None:
    panel = market({"A": [1, 2]})
    run = simulate(panel, decided(panel, {}), under(PLAIN, costs=FREE))
    assert run.equity.tolist() == [1e6, 1e6]
    assert run.returns.tolist() == [0, 0]
