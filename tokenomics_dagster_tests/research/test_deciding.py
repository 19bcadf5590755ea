"""When is decided, what is refused, and what a strategy of one's own must not answer."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

from tokenomics_dagster.research.deciding import DecisionError, decided, decisions, sessions_of
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, figures, market


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


# Friday, a whole week, a week without its Monday, Monday and Tuesday of the next month
DAYS = days(
    "2021-01-29",
    *("2021-02-01", "2021-02-02", "2021-02-03", "2021-02-04", "2021-02-05"),
    *("2021-02-09", "2021-02-10", "2021-02-11", "2021-02-12"),
    *("2021-03-01", "2021-03-02"),
)


def at(**values: Any) -> list[str]:
    return [str(day)[5:] for day in DAYS[sessions_of(DAYS, experiment(**values))]]


def test_weekly_is_the_first_session_of_each_iso_week_and_the_very_first_date():
    assert at() == ["01-29", "02-01", "02-09", "03-01"]


def test_monthly_is_the_first_session_of_each_month_and_daily_each():
    assert at(cadence="monthly") == ["01-29", "02-01", "03-01"]
    assert at(cadence="daily") == [str(day)[5:] for day in DAYS]


def test_a_start_session_puts_each_decision_off_by_sessions_and_drops_what_has_not_come_yet():
    assert at(start_session=1) == ["02-01", "02-02", "02-10", "03-02"]
    assert at(start_session=2) == ["02-02", "02-03", "02-11"]


def test_from_and_to_are_sessions_of_the_experiment_and_the_first_of_them_decides():
    assert at(**{"from": "2021-02-03", "to": "2021-02-10"}) == ["02-03", "02-09"]
    assert at(**{"from": "2021-02-06"}) == ["02-09", "03-01"]


def test_new_year_does_not_begin_a_week():
    around = days("2024-12-30", "2024-12-31", "2025-01-02", "2025-01-03", "2025-01-06")
    assert sessions_of(around, experiment()).tolist() == [0, 4]


@pytest.mark.parametrize("values", [{"from": "2022-01-01"}, {"start_session": 12}])
def test_an_experiment_without_a_session_is_an_error_that_says_what_there_is(values):
    with pytest.raises(ExperimentError, match=r"2021-01-29 to 2021-03-02|12 sessions"):
        sessions_of(DAYS, experiment(**values))


class Says:
    """Answers each day with the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, view) -> Any:
        return self.answer(view) if callable(self.answer) else self.answer


def of(answer: Any, panel=None, **values: Any):
    return decided(market() if panel is None else panel, None, experiment("own", **values), SETTINGS, Says(answer))


def eligible(view, n: int = 2) -> list[str]:
    return [symbol for symbol, there in zip(view.symbols, view.eligible, strict=True) if there][:n]


def test_an_answer_becomes_columns_and_weights_in_its_own_order():
    panel = market()
    made = of(lambda view: dict.fromkeys(reversed(eligible(view)), 0.25), panel)
    assert made.sessions.tolist() == sessions_of(panel.dates, experiment()).tolist()
    assert made.starts.tolist() == list(range(0, 2 * len(made.sessions) + 1, 2))
    assert set(made.weights.tolist()) == {0.25}
    assert (made.names[::2] > made.names[1::2]).all()
    assert not made.refused.any()


def test_nothing_said_is_refused_and_counted_and_zero_weights_are_cash():
    said = iter([{}, {"S999": 0.0}, {}])
    panel = market(14)
    made = of(lambda view: next(said), panel)
    assert made.refused.tolist() == [True, False, True]
    assert made.starts.tolist() == [0, 0, 0, 0]
    assert "2 of 3 decisions were refused: the strategy said nothing" in made.warnings


def test_a_day_on_which_no_name_could_be_chosen_is_refused():
    panel = market(14)
    panel = replace(panel, market_cap=np.full(panel.price.shape, np.nan))
    for strategy in ("equal", "cap", "fundamentals"):
        made = decisions(panel, figures(panel), experiment(strategy), SETTINGS)
        assert made.refused.all()
        assert made.eligible.tolist() == [0, 0, 0]
        assert made.warnings == ("3 of 3 decisions were refused: no name could be chosen",)


def test_a_week_without_figures_is_refused_with_the_reason():
    panel = market(30)
    told = figures(panel)
    late = replace(told, known_at=told.known_at + np.timedelta64(14, "D"))
    made = decisions(panel, late, experiment("fundamentals"), SETTINGS)
    assert made.refused.tolist() == [True] * 3 + [False] * (len(made.sessions) - 3)
    assert made.warnings == (
        f"3 of {len(made.sessions)} decisions were refused: none has a score of at least rebalancing.min_score",
    )


def both(weight: Any, other: Any = 0.1):
    return lambda view: dict(zip(eligible(view), (weight, other), strict=True))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (both(-0.1), "gave S00. the weight -0.1: a weight is a number from 0 to 1"),
        (both(float("nan")), "the weight nan"),
        (both(1.5), "the weight 1.5"),
        (both("0.1"), "the weight '0.1'"),
        (both(True), "the weight True"),
        (both(None), "the weight None"),
        (both(0.6, 0.7), "add up to 1.300000.*the largest is S00. with 0.700000"),
        (lambda view: pd.Series({"S000": 0.5}), "must answer with a mapping of symbols to weights, not Series"),
        (None, "not NoneType"),
        ({7: 0.5}, "named 7: a symbol is a string"),
        ({"NOBODY": 0.5}, "NOBODY cannot be chosen: no name of that symbol had appeared by then"),
        (
            lambda view: dict[str, float]()["S000"],
            r"the strategy own failed: KeyError: 'S000' \(test_deciding.py, line \d+\)",
        ),
        (lambda view: 1 / 0, "ZeroDivisionError"),
        (lambda view: sys.exit(0), "failed: SystemExit: 0"),
    ],
)
def test_an_answer_that_is_none_is_an_error_with_its_day(answer, said):
    with pytest.raises(DecisionError, match=f"2024-01-02: .*{said}"):
        of(answer)


@pytest.mark.parametrize(("count", "weight"), [(10, 0.1 + 1e-11), (3, np.float32(1 / 3)), (10, np.float32(0.1))])
def test_sums_of_floats_beyond_one_are_cut_to_one(count, weight):
    """Three thirds of 32 bits are 1.00000003."""
    panel = replace(market(late=0, gaps=0), barred=None)
    made = of(lambda view: dict.fromkeys(eligible(view, count), weight), panel)
    for start, end in zip(made.starts, made.starts[1:], strict=False):
        assert 1 - 1e-12 < made.weights[start:end].sum() <= 1 + 1e-15
    assert np.isclose(of({}, panel).weights.sum(), 0)


@pytest.mark.parametrize("weight", [np.float32(0.5), np.int64(1), 1, 0.5])
def test_numbers_of_numpy_are_numbers(weight):
    made = of(lambda view: {eligible(view)[0]: weight})
    assert set(made.weights.tolist()) == {float(weight)}


def test_money_is_no_weight():
    with pytest.raises(DecisionError, match="Decimal"):
        of(lambda view: {eligible(view)[0]: Decimal("0.5")})


def not_eligible(change: dict[str, Any], symbol: str, size: int = 1500) -> str:
    panel = replace(market(10, 8, late=0, gaps=0), barred=None)
    caps = np.tile(np.arange(8.0, 0, -1), (10, 1))
    panel = replace(panel, **({"market_cap": caps} | change))
    with pytest.raises(DecisionError) as error:
        of({symbol: 0.5}, panel, universe_size=size)
    assert error.value.ineligible
    assert error.value.day == date(2024, 1, 2)
    return str(error.value)


def test_who_may_not_be_chosen_is_named_with_the_reason():
    first = np.zeros((10, 8), dtype=bool)
    first[:, 2] = True
    gone = np.where(first, np.nan, 10.0)
    assert "S002 cannot be chosen: it has no price that day" in not_eligible(
        {"price": np.where(np.arange(10)[:, None] == 0, np.where(first, 0.0, 10), 10)}, "S002"
    )
    assert "no name of that symbol had appeared" in not_eligible({"price": gone}, "S002")
    assert "its market cap is not known that day" in not_eligible({"market_cap": gone}, "S002")
    assert "it is in quarantine, or its trading is halted" in not_eligible({"barred": first}, "S002")
    assert "it is in quarantine, or its trading is halted" in not_eligible({"halted": first}, "S002")
    beyond = not_eligible({}, "S005", size=5)
    assert "S005 cannot be chosen: it is number 6 by market cap and 5 could be chosen" in beyond
    assert "large at another time" in beyond


def test_more_names_and_larger_weights_than_the_settings_say_are_told_and_left():
    panel = replace(market(14, late=0, gaps=0), barred=None)
    made = of(lambda view: dict.fromkeys(eligible(view, 3), 0.2), panel, top_n=2)
    assert len(made.names) == 9
    names, weight = made.warnings
    assert "more than rebalancing.top_n_stocks = 2 names at 3 decisions, first on 2024-01-02, at most 3" in names
    assert "more than rebalancing.max_position_pct = 5 at 3 decisions, first on 2024-01-02, at most 20.0" in weight


def test_a_strategy_sees_the_rules_of_the_experiment_and_no_secret():
    seen: list[Any] = []

    def decide(view) -> Mapping[str, float]:
        seen.append(view)
        return {}

    secret = Environment.model_construct(alpaca_secret_key=SecretStr("sesame"))
    known = SETTINGS.model_copy(update={"environment": secret})
    asked = experiment("own", top_n=7, rebalancing={"min_score": 60})
    decided(market(4), None, asked, known, Says(decide))
    (view,) = seen
    assert view.top_n == view.settings.rebalancing.top_n_stocks == 7
    assert view.settings.rebalancing.min_score == 60
    assert view.settings.environment.alpaca_secret_key is None


def test_a_strategy_that_writes_over_its_view_decides_by_the_true_one():
    def decide(view) -> Mapping[str, float]:
        view.eligible[:] = True
        view.market_cap[:] = 1e9
        return {view.symbols[-1]: 0.5}

    panel = replace(market(10, 8, late=0, gaps=0), market_cap=np.tile(np.arange(8.0, 0, -1), (10, 1)), barred=None)
    with pytest.raises(DecisionError, match="S007 cannot be chosen: it is number 8"):
        of(decide, panel, universe_size=5)
