"""What a study is measured against, and what happened before it: the state of its first sessions' market."""

import numpy as np
import pytest

from tokenomics_dagster.research import beside
from tokenomics_dagster.research.contributions import UNKNOWN, by_regime
from tokenomics_dagster.research.finding import find
from tokenomics_dagster.research.study import begun
from tokenomics_dagster.research.varied import by_capital
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, market

pytestmark = pytest.mark.usefixtures("as_python")


def test_the_market_before_a_study_is_the_universe_by_market_cap_of_each_week() -> None:
    panel = market(60, names=3, late=0.0, gaps=0.0)
    of = begun(panel, None, experiment(fill="close", **{"from": str(panel.dates[20])}), SETTINGS)
    level = beside.with_before(of, np.linspace(2.0, 3.0, 40))
    assert level[20:].tobytes() == np.linspace(2.0, 3.0, 40).tobytes()
    weekdays = (panel.dates.astype("datetime64[D]").astype(int) + 3) % 7
    worth = 2.0
    assert panel.barred is not None
    for row in range(19, -1, -1):  # backwards from the study's first session
        start = row - int(min(weekdays[row], row))  # of the week, whose first session chose
        there = ~panel.barred[start] & (panel.market_cap[start] > 0) & (panel.price[start] > 0)
        shares = panel.market_cap[start] / panel.price[start] * there
        worth *= (shares @ panel.price[row]) / (shares @ panel.price[row + 1]) if there.any() else 1.0
        assert level[row] == pytest.approx(worth)


def test_a_study_of_all_sessions_has_nothing_before_it() -> None:
    of = begun(market(60), None, experiment(), SETTINGS)
    assert beside.with_before(of, np.ones(60)).tobytes() == np.ones(60).tobytes()


def test_a_short_study_knows_the_state_of_its_market_from_the_sessions_before_it() -> None:
    panel = market(420)
    of = begun(panel, None, experiment(fill="close", **{"from": str(panel.dates[380])}), SETTINGS)
    wishes = of.decide()
    (cap,) = (one for one in beside.compared(of, wishes, find(of.experiment)()) if one.name == beside.CAP)
    run = of.run(wishes, of.rules())
    assert {one.regime for one in by_regime(run, cap.equity)} == {UNKNOWN}
    assert UNKNOWN not in {one.regime for one in by_regime(run, beside.with_before(of, cap.equity))}


def test_an_account_too_small_for_any_order_is_told_as_such_and_made_nothing() -> None:
    panel = market(60, names=30, late=0.0, gaps=0.0)
    settings = SETTINGS.model_copy(
        update={"rebalancing": SETTINGS.rebalancing.model_copy(update={"min_trade_usd": 1_000.0})}
    )
    made = by_capital(begun(panel, None, experiment(fill="close"), settings), lambda _: None)
    smallest, *others = made
    assert smallest.label == "10,000 USD, impact Y = 1 put in: cannot be traded"
    assert (smallest.trades, smallest.total_return, smallest.max_drawdown, smallest.sharpe) == (0, None, None, None)
    assert all(one.trades > 0 and one.total_return is not None for one in others)
    assert not any("cannot" in one.label for one in others)
