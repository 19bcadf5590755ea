"""A score taken apart: parts, levers and causes are what scoring.py itself gives when figures are exchanged."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokenomics_dagster.fundamentals.explained import (
    BOOK,
    DEBT,
    EPS,
    REVENUE,
    ROE,
    STEPS,
    Cause,
    Figures,
    cause,
    figure_for,
    levers,
    parts,
    score_of,
)
from tokenomics_dagster.settings.fundamentals import LinearScore, ScoreSettings

RULES = ScoreSettings()
OTHER = ScoreSettings(
    roe_pct=LinearScore(weight=50.0, worst=-20.0, best=30.0),
    debt_to_equity=LinearScore(weight=20.0, worst=3.0, best=0.0),
)
PLAIN = {ROE: 10.0, DEBT: 1.5, REVENUE: 10.0, EPS: 10.0, BOOK: 20.0}

percents = st.floats(-200, 300)
known = st.fixed_dictionaries(
    {ROE: percents, DEBT: st.floats(0, 6), REVENUE: percents, EPS: percents, BOOK: st.floats(0, 500)}
)


def points_of(figures: Figures, rules: ScoreSettings) -> float:
    """Of figures that give a score."""
    points = score_of(figures, rules)
    assert points is not None
    return points


def caused(before: Figures, after: Figures, rules_before: ScoreSettings, rules_after: ScoreSettings) -> Cause:
    found = cause(before, after, rules_before, rules_after)
    assert found is not None
    return found


def test_the_parts_of_a_plain_score_are_those_of_the_strategy():
    roe, debt, growth = parts({**PLAIN, ROE: 25.0, EPS: 30.0}, RULES)
    assert (roe.worst, roe.best, roe.weight_pct) == (-20.0, 40.0, 40.0)
    assert (roe.figure, roe.points, roe.adds) == (25.0, 75.0, 30.0)
    assert (debt.points, debt.adds) == (50.0, 15.0)
    assert growth.inputs == {REVENUE: 10.0, EPS: 30.0}
    assert (growth.figure, growth.points, growth.adds) == (20.0, 62.5, 18.75)


@given(known, st.sampled_from([RULES, OTHER]))
def test_the_parts_add_up_to_the_score(figures, rules):
    assert sum(part.adds or 0.0 for part in parts(figures, rules)) == pytest.approx(points_of(figures, rules), abs=1e-9)


def test_a_part_without_its_figure_is_not_known_and_the_others_are():
    roe, debt, growth = parts({**PLAIN, ROE: None, EPS: math.nan}, RULES)
    assert (roe.figure, roe.points, roe.adds) == (None, None, None)
    assert debt.adds == 15.0
    assert growth.inputs == {REVENUE: 10.0, EPS: None}
    assert growth.figure == 10.0
    assert score_of({**PLAIN, ROE: None}, RULES) is None


def test_a_lever_tells_points_by_one_unit_and_none_where_the_line_is_clipped():
    found = {one.figure: one for one in levers(PLAIN, RULES, None)}
    assert found[ROE].per_unit == pytest.approx(40 / 60)
    assert found[DEBT].per_unit == pytest.approx(30 / 3 * 0.1)
    assert found[REVENUE].per_unit == found[EPS].per_unit == pytest.approx(30 / 80 / 2)
    clipped = {one.figure: one.per_unit for one in levers({**PLAIN, ROE: 60.0, DEBT: 0.0}, RULES, None)}
    assert clipped[ROE] == clipped[DEBT] == 0
    assert {one.per_unit for one in levers({**PLAIN, ROE: None}, RULES, None)} == {None}


def test_the_value_that_is_needed_is_the_one_by_hand():
    assert points_of(PLAIN, RULES) == 50.0
    assert figure_for(PLAIN, ROE, 60.0, RULES) == pytest.approx(25.0)
    assert figure_for(PLAIN, DEBT, 60.0, RULES) == pytest.approx(0.5)
    assert figure_for(PLAIN, REVENUE, 60.0, RULES) == pytest.approx(10 + 2 * 80 / 3)
    assert figure_for(PLAIN, ROE, 71.0, RULES) is None, "ROE gives 20 points more and no others"
    assert figure_for(PLAIN, DEBT, 65.5, RULES) is None, "below zero debt/equity is no better, but negative equity"
    # Of one that is in: under which value it goes out.
    assert figure_for(PLAIN, ROE, 45.0, RULES) == pytest.approx(2.5)
    assert figure_for(PLAIN, DEBT, 45.0, RULES) == pytest.approx(2.0)
    # Without a figure: the least that it would have to be.
    assert figure_for({**PLAIN, ROE: None}, ROE, 50.0, RULES) == pytest.approx(10.0)


@given(known, st.sampled_from(sorted(STEPS)), st.floats(-40, 40))
def test_a_needed_value_is_just_on_the_other_side_of_the_cut(figures, name, away):
    now = points_of(figures, RULES)
    wanted = now + away  # more than 40 points are in no figure
    value = figure_for(figures, name, wanted, RULES)
    assume(value is not None)
    assert (points_of({**figures, name: value}, RULES) >= wanted) != (now >= wanted)
    near = value + (figures[name] - value) * 1e-6
    back = points_of({**figures, name: near}, RULES)
    assert (back >= wanted) == (now >= wanted) or back == pytest.approx(wanted, abs=1e-6)


@given(known, st.sampled_from(sorted(STEPS)), st.floats(1, 99))
def test_where_no_value_is_named_none_is_enough(figures, name, wanted):
    assume(figure_for(figures, name, wanted, RULES) is None)
    now = points_of(figures, RULES)
    for value in (-1e6, 0.0, 1e6) if name != DEBT else (0.0, 1e6):
        assert (points_of({**figures, name: value}, RULES) >= wanted) == (now >= wanted)


@given(known, known, st.sampled_from([RULES, OTHER]))
def test_causes_add_up_to_the_move(before, after, rules):
    found = caused(before, after, RULES, rules)
    move = points_of(after, rules) - points_of(before, RULES)
    assert sum(found.points.values()) + found.rules + found.together == pytest.approx(move, abs=1e-8)


def test_the_largest_cause_is_the_figure_that_moves_the_score_most_alone():
    found = caused(PLAIN, {**PLAIN, ROE: 40.0, EPS: 0.0, BOOK: 30.0}, RULES, RULES)
    assert found.points == {ROE: pytest.approx(20.0), EPS: pytest.approx(-1.875), BOOK: 0.0}
    assert found.largest == ROE
    assert (found.rules, found.together) == (0.0, 0.0)
    assert caused(PLAIN, PLAIN, RULES, RULES).largest is None


def test_other_rules_are_told_apart_from_figures():
    found = caused(PLAIN, PLAIN, RULES, OTHER)
    assert found.points == {}
    assert found.rules == pytest.approx(points_of(PLAIN, OTHER) - 50.0)


def test_a_figure_without_which_there_is_no_score_is_told_with_the_others():
    found = caused({**PLAIN, EPS: None}, {**PLAIN, REVENUE: None, EPS: 50.0}, RULES, RULES)
    assert found.points[REVENUE] == 0.0
    assert found.together == pytest.approx(30 * 40 / 80 - found.points[EPS])


def test_without_a_score_on_either_side_there_is_no_cause():
    assert cause(PLAIN, {**PLAIN, ROE: None}, RULES, RULES) is None
    assert cause({**PLAIN, BOOK: -1.0}, PLAIN, RULES, RULES) is None
