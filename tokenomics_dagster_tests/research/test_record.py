"""Settings tried on a record by the engine: the same account as a backtest's, changed settings paid for, kept apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.record import Record
from tokenomics_dagster.research.search import space_of
from tokenomics_dagster.research.study import begun
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, market

pytestmark = pytest.mark.usefixtures("as_python")

FREE: dict[str, Any] = {
    "fill": "close",
    "shares": "fractional",
    "costs": {"half_spread_bps": 0},
    "rebalancing": {"rebalance_threshold_pct": 0, "min_trade_usd": 0, "cash_buffer_pct": 0, "max_position_pct": 100},
}


SESSIONS, SWITCH = 400, 320  # low volatility looks back 252


def record(of: Experiment, panel: Panel | None = None) -> Record:
    panel = market(SESSIONS) if panel is None else panel
    return Record(begun(panel, None, of, SETTINGS), space_of(of))


def tried(**values: Any) -> Experiment:
    searched = {"search": {"top_n": [3, 20]}, "top_n": 10, "fill": "next_close"}
    return experiment("low_volatility", **(searched | values))


def test_returns_are_those_of_the_backtest_of_each_setting():
    one = tried(**{"from": "2024-03-01"})
    there = record(one)
    few = one.model_copy(update={"top_n": 3, "cadence": "monthly"})
    panel = market(SESSIONS)
    for experiment_tried, returns in zip((one, few), there.evaluate([one, few]), strict=True):
        study = begun(panel, None, experiment_tried, SETTINGS)
        run = study.run(study.decide(), study.rules())
        assert returns.tobytes() == run.returns.tobytes()
        assert np.array_equal(there.dates, run.dates)


def test_a_setting_has_the_same_returns_whatever_is_tried_beside_it():
    one = tried()
    several = [one.model_copy(update={"top_n": n}) for n in (3, 10, 15)]
    there = record(one)
    together = there.evaluate(several)
    assert all(
        there.evaluate([each])[0].tobytes() == row.tobytes() for each, row in zip(several, together, strict=True)
    )


def test_what_came_later_changes_no_return_before_it():
    """So that a fold may choose by the first part of a run over the whole record."""
    one, panel = tried(), market(SESSIONS)
    later = panel.price.copy()
    later[SWITCH:] *= 3
    known = np.arange(SESSIONS)[:, None] < SWITCH
    absurd = replace(panel, price=later, market_cap=np.where(known, panel.market_cap, 1.0))
    plain, changed = (record(one, each).evaluate([one])[0] for each in (panel, absurd))
    assert plain[:SWITCH].tobytes() == changed[:SWITCH].tobytes()
    assert plain[SWITCH:].tobytes() != changed[SWITCH:].tobytes()


def test_an_account_that_keeps_its_settings_is_the_one_that_was_tried():
    one = tried()
    there = record(one)
    assert there.follow([one] * 3, [270, 290, SWITCH]).tobytes() == there.evaluate([one])[0].tobytes()


def test_an_account_that_changes_its_settings_holds_the_new_ones_from_their_first_decision_on():
    one = tried(**FREE)
    other = one.model_copy(update={"top_n": 3})
    there = record(one)
    alone, followed = there.evaluate([one, other]), there.follow([one, other], [280, SWITCH])
    first = SWITCH + int(np.flatnonzero(there.decided[SWITCH:])[0])
    np.testing.assert_allclose(followed[: first + 1], alone[0][: first + 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(followed[first + 1 :], alone[1][first + 1 :], rtol=0, atol=1e-12)
    assert np.abs(alone[0] - alone[1])[first + 1 :].max() > 1e-3


def test_an_account_that_changes_its_settings_pays_for_it():
    dear = FREE | {"costs": {"half_spread_bps": 100}}
    one = tried(**dear)
    other = one.model_copy(update={"top_n": 3})
    there = record(one)
    alone, followed = there.evaluate([other])[0], there.follow([one, other], [280, SWITCH])
    paid = 1 - np.prod(1 + followed[SWITCH:]) / np.prod(1 + alone[SWITCH:])
    assert paid > 0.01  # a hundredth of what is sold and of what is bought: most of it, for 10 names become 3


def test_the_rules_of_a_stretch_are_its_own():
    """With a band of 100 % nothing is ever traded but exits and entries; with one of 0 % every drift is."""
    one = tried(**FREE)
    lazy = one.model_copy(update={"rebalancing": {**FREE["rebalancing"], "rebalance_threshold_pct": 100}})
    there = record(one)
    eager, followed = there.evaluate([one])[0], there.follow([one, lazy], [280, SWITCH])
    assert followed[:SWITCH].tobytes() == eager[:SWITCH].tobytes()
    assert followed[SWITCH:].tobytes() != eager[SWITCH:].tobytes()


def test_buying_and_holding_buys_what_could_be_chosen_before_the_session_and_never_trades():
    panel = market(300, late=0.0, gaps=0.0)
    panel = replace(panel, barred=np.zeros((300, 30), dtype=np.bool_))
    one = tried(**FREE)
    held = record(one, panel).hold(100)
    level = (panel.price[99:] / panel.price[99]).mean(axis=1)
    assert (held[:100] == 0).all()
    np.testing.assert_allclose(np.cumprod(1 + held[100:]), level[1:], rtol=1e-12)


def test_a_named_benchmark_is_what_is_bought_and_held():
    panel = market(300, late=0.0, gaps=0.0)
    held = record(tried(benchmark="S007"), panel).hold(100)
    np.testing.assert_array_equal(held[:100], 0)
    np.testing.assert_allclose(held[100:], panel.returns[100:, 7], atol=1e-15)


def test_an_account_that_lost_everything_has_no_returns(tmp_path: Path):
    (tmp_path / "first.py").write_text(
        "class First:\n    def decide(self, view):\n        return {view.symbols[view.eligible.argmax()]: 1.0}\n"
    )
    panel = market(300, late=0.0, gaps=0.0)
    gone = (np.arange(300)[:, None] >= 150) & (np.arange(30) == 0)
    panel = replace(panel, price=np.where(gone, np.nan, panel.price), barred=np.zeros((300, 30), dtype=np.bool_))
    one = experiment(f"{tmp_path / 'first.py'}:First", haircut_pct=100.0, search={"top_n": [3, 20]}, **FREE)
    with pytest.raises(ExperimentError, match="lost all that it had by 2024-07-30"):
        record(one, panel).evaluate([one])


def test_what_is_kept_belongs_to_its_data_settings_and_strategy(tmp_path: Path):
    file = tmp_path / "own.py"
    code = "class Own:\n    def decide(self, view):\n        return {view.symbols[0]: 1.0}\n"
    file.write_text(code)
    panel = replace(market(300), data_hash="one")
    own = experiment(f"{file}:Own", search={"top_n": [3, 20], "strategy": ["momentum", "low_volatility"]})
    first = record(own, panel).fingerprint
    assert record(own, panel).fingerprint == first
    assert record(own, replace(panel, data_hash="other")).fingerprint != first
    file.write_text(code + "# another\n")
    assert record(own, panel).fingerprint != first
    file.write_text(code)
    dearer = SETTINGS.model_copy(update={"rebalancing": SETTINGS.rebalancing.model_copy(update={"min_score": 60.0})})
    assert Record(begun(panel, None, own, dearer), space_of(own)).fingerprint != first
