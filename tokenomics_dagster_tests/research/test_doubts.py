"""What a result cannot show is said where it is so, and not where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from tokenomics_dagster.research.doubts import Facts, doubts, facts_of
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster_tests.research.making import decisions_of, panel_of, run_of

BEST = Facts(
    sessions=1_389,
    decisions=291,
    refused=0,
    fill="next_open",
    half_spread_bps=5,
    fee_usd=0,
    impact=1,
    interest_pct=3,
    haircut_pct=0,
    quarantine=True,
    quarantined=0,
    names=2_842,
    gone=300,
    dividends=True,
    opens=True,
    splits=True,
    industries=True,
    universe_size=1_500,
    trials=1,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decisions": 14}, "There are 14 decisions, under the 52 of a year of weeks"),
        ({"refused": 3}, "At 3 more sessions nothing could be decided"),
        ({"sessions": 100}, "The record has 100 sessions, less than a year"),
        ({"trials": 40}, "one of 40 experiments that were seen"),
        ({"survivors": True}, "holds only names that are still there"),
        ({"figured": (0.02, 0.45)}, "2% of the names that ended have any, and 45% of those that are still there"),
        ({"idle": 1_389}, "Nothing was ever held, and every figure is that of cash."),
        ({"idle": 255}, "Nothing was held in the first 255 of 1,389 sessions"),
        ({"gone": 0}, "None of the 2,842 names ends before the data does"),
        ({"haircut_pct": None}, "300 names end before the data does, and it does not tell a failure from a merger"),
        ({"haircut_pct": 30}, "each that was held then lost 30 %"),
        ({"dividends": False}, "Price return"),
        ({"splits": False}, "tells no splits"),
        ({"quarantine": False}, "Quarantine is off"),
        ({"quarantined": 1_234}, "1,234 spans of rows could not be believed"),
        ({"industries": False}, "no industries"),
        ({"fill": "close"}, "Fills at the close that decides: nobody can trade at it"),
        ({"fill": "next_close", "opens": False}, "Fills at the next close, for the data has no opens"),
        ({"impact": 0}, "no impact: nothing here holds for a large account"),
        ({"interest_pct": 0}, "Cash earns nothing"),
    ],
)
def test_each_doubt_is_said_where_it_is_one(changes, said) -> None:
    assert not any(said in one for one in doubts(BEST))
    told = doubts(replace(BEST, **changes))
    assert sum(said in one for one in told) == 1
    assert all(one.endswith(".") for one in told)


@pytest.mark.parametrize("changes", [{"survivors": True}, {"figured": (0.02, 0.45)}])
def test_survivorship_is_said_first_of_all_and_once(changes) -> None:
    told = doubts(replace(BEST, decisions=14, **changes))
    assert "surviv" in told[0] or "still there" in told[0]
    assert doubts(replace(BEST, figured=(0.02, 0.45), survivors=True)) == doubts(replace(BEST, figured=(0.02, 0.45)))


def test_figures_that_those_who_ended_have_as_often_are_no_survivors() -> None:
    assert doubts(replace(BEST, figured=(0.4, 0.45))) == doubts(BEST)


def test_a_first_decision_may_take_a_month_to_come() -> None:
    assert doubts(replace(BEST, idle=23)) == doubts(BEST)


def ending_market(ended: int) -> Panel:
    """60 names, of which the first `ended` have no row in the last 10 of 100 sessions."""
    price = np.full((100, 60), 10.0)
    price[90:, :ended] = np.nan
    return panel_of(np.zeros((100, 60)), price=price)


@pytest.mark.parametrize(
    ("ended", "known_from", "figured"),
    [
        (30, "2021-01-04", (0.1, 0.5)),
        (19, "2021-01-04", None),  # too few ended
        (30, "2021-06-01", None),  # they ended before anything was known
    ],
)
def test_who_has_figures_is_seen_in_those_that_ended_later(ended, known_from, figured) -> None:
    panel = ending_market(ended)
    there = np.array([*panel.symbols[:3], *panel.symbols[ended : ended + 15]])
    none = np.full(len(there), np.nan)
    known = Fundamentals(np.full(len(there), np.datetime64(known_from, "ns")), there, none, none, none, none, none)
    experiment = Experiment.model_validate({"data": {"prices": "p"}, "strategy": "equal_weight"})
    made = facts_of(panel, experiment, decisions_of([0], [[0]]), run_of(np.full(100, 100.0)), known)
    assert made.figured == (None if figured is None else pytest.approx(figured))


@pytest.mark.parametrize(
    ("held", "first", "idle"), [([0, 0, 2, 0], 2, 2), ([1, 1, 1, 1], 0, 0), ([0, 0, 0, 0], None, 4)]
)
def test_the_sessions_before_something_was_held_are_counted(held, first, idle) -> None:
    run = run_of(np.full(4, 100.0), held=np.array(held))
    experiment = Experiment.model_validate({"data": {"prices": "p"}, "strategy": "equal_weight"})
    made = facts_of(panel_of(np.zeros((4, 3))), experiment, decisions_of([0], [[0]]), run)
    assert (run.first_held, made.idle) == (first, idle)


def test_what_no_backtest_can_show_is_always_said() -> None:
    told = " ".join(doubts(BEST))
    for always in ("Risk-free rate 0", "The past is one draw", "Costs are modelled", "Taxes are not taken off"):
        assert always in told


def test_facts_are_those_of_the_data_and_the_run() -> None:
    price = np.full((6, 3), 10.0)
    price[4:, 1] = np.nan
    panel = panel_of(np.zeros((6, 3)), price=price, industry={"S0000": "Banks"})
    experiment = Experiment.model_validate(
        {"data": {"prices": "p"}, "strategy": "equal_weight", "fill": "next_close", "costs": {"fee_usd": 2}}
    )
    decisions = decisions_of([0, 2], [[0], []], refused=np.array([False, True]))
    made = facts_of(panel, experiment, decisions, run_of(np.full(6, 100.0)), trials=5)
    assert (made.names, made.gone, made.sessions, made.decisions, made.refused) == (3, 1, 6, 1, 1)
    assert (made.industries, made.opens, made.dividends) == (True, False, False)
    assert (made.fee_usd, made.fill, made.haircut_pct, made.trials, made.survivors) == (2, "next_close", None, 5, False)
