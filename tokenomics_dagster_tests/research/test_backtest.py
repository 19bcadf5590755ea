"""A backtest from data to result: what its JSON holds, what it is beside, and that it says the same twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.research import beside
from tokenomics_dagster.research.backtest import study
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.research.result import Refused, Result, plain
from tokenomics_dagster.research.screen import screen
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, figures, market

pytestmark = pytest.mark.usefixtures("as_python")

DEFAULTS: dict[str, Any] = {"universe_size": 20, "top_n": 5, "fill": "next_close"}
CONTRACT = {
    "equity", "final_equity", "trades", "turnover", "costs", "metrics", "drawdown", "quarantined", "warnings",
    "data_hash", "rules_hash", "seconds",
}  # fmt: skip


def of(panel: Panel, fundamentals: Fundamentals | None = None, *, portfolios: int = 0, **values: Any) -> Result:
    asked = experiment(**{**DEFAULTS, **values})
    return study(panel, fundamentals, asked, SETTINGS, portfolios=portfolios)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return replace(market(sessions=300, names=25), data_hash="of the data")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def test_the_json_is_strict_and_has_every_key_of_the_contract(panel: Panel) -> None:
    result = of(panel)
    document = result.document()
    assert document.keys() >= CONTRACT
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert all(np.isfinite(one) for one in numbers(document))
    days = [day for day, _ in document["equity"]]
    assert days == [str(day) for day in panel.dates]
    assert [usd for _, usd in document["equity"]] == result.run.equity.tolist()
    assert document["final_equity"] == result.run.equity[-1]
    assert document["trades"] == len(result.run.fills.names)
    assert document["turnover"] == result.run.turnover
    assert document["costs"] == pytest.approx(result.run.fills.cost.sum())
    assert document["drawdown"].keys() == {"depth", "peak", "trough", "recovered"}
    assert document["data_hash"] == "of the data"


def test_what_is_no_number_is_null_and_days_are_iso() -> None:
    found = {"a": np.float64("nan"), "b": float("inf"), "c": np.int64(3), "d": np.datetime64("2024-01-02").item()}
    assert plain(found) == {"a": None, "b": None, "c": 3, "d": "2024-01-02"}


def test_the_parts_add_up_to_the_profit_to_the_cent(panel: Panel) -> None:
    result = of(panel)
    profit = round(float(result.run.equity[-1]) - result.run.capital, 2)
    assert round(sum(one.usd for one in result.contributions), 2) == profit
    assert round(sum(one.usd for one in result.industries), 2) == profit


@pytest.mark.soak
def test_the_same_again_is_the_same_to_the_last_digit_and_another_rule_has_another_hash(panel: Panel) -> None:
    first, again = of(panel, portfolios=5), of(panel, portfolios=5)
    assert first.document() == again.document()
    for change in ({"top_n": 6}, {"fill": "close"}, {"rebalancing": {"min_trade_usd": 5}}, {"strategy": "cap_weight"}):
        assert of(panel, **change).rules_hash != first.rules_hash
    assert of(panel, name="another name of it").rules_hash == first.rules_hash


def test_what_is_before_from_is_looked_back_on_and_is_no_part_of_the_record(panel: Panel) -> None:
    since = panel.dates[260].item()
    whole = of(panel, strategy="momentum", **{"from": since})
    assert whole.run.dates[0] == panel.dates[260]
    assert len(whole.document()["equity"]) == 40
    assert len(whole.run.decided) > 5, "252 sessions are looked back on"
    assert whole.run.fills.sessions.min() >= 0


def test_what_is_after_to_does_not_change_anything(panel: Panel) -> None:
    until = panel.dates[199].item()
    grids = ("dates", "price", "returns", "market_cap", "volume", "barred")
    cut = replace(panel, **{name: getattr(panel, name)[:200] for name in grids})
    assert of(panel, to=until).document()["equity"] == of(cut).document()["equity"]


def test_interest_is_paid_from_the_first_decision_on(panel: Panel) -> None:
    """An account that begins in the middle of the data has earned nothing before."""
    since = panel.dates[100].item()
    result = of(panel, interest_pct=50, rebalancing={"max_position_pct": 0.001}, **{"from": since})
    days = int((panel.dates[-1] - panel.dates[100]) / np.timedelta64(1, "D"))
    assert result.run.equity[0] == result.run.capital
    assert result.run.equity[-1] / result.run.capital < 1.5 ** (days / 365.25) * 1.2


def test_without_a_haircut_both_ends_are_told_and_the_lower_is_lower(panel: Panel) -> None:
    result = of(panel)
    none, more = (one.equity[-1] for one in result.haircuts)
    assert none == result.run.equity[-1]
    assert more < none
    assert of(panel, haircut_pct=55).run.equity[-1] == more
    assert of(panel, haircut_pct=55).haircuts == []


def test_it_stands_beside_everything_that_could_be_chosen(panel: Panel) -> None:
    names = [one.name for one in of(panel).beside]
    assert names == [beside.EQUAL, beside.CAP]
    with_figures = of(panel, figures(panel), strategy="fundamentals", rebalancing={"min_score": 0})
    assert [one.name for one in with_figures.beside] == [beside.EQUAL, beside.CAP, beside.FIGURES]
    level = with_figures.beside[-1].equity
    assert with_figures.metrics["benchmark_return"] == pytest.approx(level[-1] / level[0] - 1)


def test_the_equal_universe_is_what_its_names_returned() -> None:
    """Daily, nothing missing: its return of a day is the mean of the returns."""
    panel = replace(market(sessions=30, names=10, late=0, gaps=0), barred=None)
    account = of(panel, universe_size=10, cadence="daily", fill="close", haircut_pct=0).beside[0]
    np.testing.assert_allclose(account.equity[1:] / account.equity[:-1] - 1, panel.returns[1:].mean(axis=1), rtol=1e-9)


def test_a_benchmark_is_a_symbol_of_the_prices() -> None:
    panel = replace(market(sessions=30, names=10, late=0, gaps=0), barred=None)
    result = of(panel, benchmark="S003")
    assert result.beside[-1].name == "S003"
    growth = float(np.prod(1 + panel.returns[1:, 3]))
    assert result.beside[-1].equity[-1] == pytest.approx(result.run.capital * growth)
    with pytest.raises(ExperimentError, match="benchmark = SPY is no symbol of these prices"):
        of(panel, benchmark="SPY")


def test_a_short_record_refuses_with_the_number_needed() -> None:
    result = of(replace(market(sessions=15, names=20), barred=None))
    assert result.metrics["cagr"] is None
    assert isinstance(result.factors, Refused)
    assert "252" in result.factors.why
    assert isinstance(result.sure.intervals, Refused)
    assert isinstance(result.sure.out_of_sample, Refused)


@pytest.mark.parametrize(
    ("values", "advised"),
    [
        ({"capital": 20.0}, "write shares: fractional"),
        ({"capital": 200.0, "shares": "fractional"}, "lower rebalancing.min_trade_usd (100 USD"),
    ],
)
def test_a_capital_that_buys_nothing_is_named_with_what_to_do(panel: Panel, values: Any, advised: str) -> None:
    result = of(panel, **values)
    assert len(result.run.fills.names) == 0
    said = f"Nothing was ever traded, though 60 decisions wanted names: with a capital of {values['capital']:.2f} USD"
    for warning in (result.document()["warnings"][0], screen(result)["what it cannot show"].rows[0][0]):
        assert warning.startswith(said)
        assert "raise capital" in warning
        assert advised in warning


def test_an_account_that_trades_or_wants_nothing_is_not_told_that_it_is_too_small(panel: Panel) -> None:
    halted = replace(panel, halted=np.ones(panel.price.shape, dtype=np.bool_))
    short = of(panel, strategy="low_volatility", to="2024-06-03")
    for result in (of(panel), short, of(halted)):
        assert not any("Nothing was ever traded" in warning for warning in result.warnings)


def test_doubts_of_survivors_come_first(panel: Panel) -> None:
    assert of(panel, survivors=True).doubts[0].startswith("The data holds only names that are still there")


def test_an_experiment_of_ones_own_is_tried_beside_all_shipped_ones(panel: Panel) -> None:
    assert of(panel).sure.tried == ["equal_weight", "cap_weight", "momentum", "low_volatility"]
    with_figures = of(panel, figures(panel), strategy="fundamentals", rebalancing={"min_score": 0})
    assert with_figures.sure.tried[0] == "fundamentals"
    assert len(with_figures.sure.tried) == 5


def test_progress_is_told_in_the_order_of_the_work(panel: Panel) -> None:
    said: list[str] = []
    asked = Experiment.model_validate(
        {"data": {"prices": "x"}, "strategy": "equal_weight", "universe_size": 20, "top_n": 5, "fill": "next_close"}
    )
    study(panel, None, asked, SETTINGS, portfolios=0, say=said.append)
    assert said[0] == "deciding ..."
    assert said[-1].startswith("asking how sure")
