"""Scores to the letter of the rules, their properties, and their speed against plain pandas."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.fundamentals.scoring import Unscored, score, score_arrays, sentence
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.loading import load_settings

RULES = load_settings(Path(__file__).resolve().parents[2] / "config" / "settings.yaml").fundamentals.score
FIGURES = ["roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "eps_growth_yoy_pct", "book_value_per_share"]
NAN = math.nan


def scored(figures: Iterable) -> tuple[np.ndarray, np.ndarray]:
    roe, debt, revenue, eps, book = figures
    return score_arrays(roe, debt, revenue, eps, book, RULES)


def points(roe=10.0, debt=1.0, revenue=10.0, eps=10.0, book=20.0) -> tuple[float, int]:
    scores, codes = scored(([roe], [debt], [revenue], [eps], [book]))
    return float(scores[0]), int(codes[0])


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"roe": 40, "debt": 0, "revenue": 50, "eps": 50}, 100.0),
        ({"roe": -20, "debt": 3, "revenue": -30, "eps": -30}, 0.0),
        ({"roe": 181, "debt": 0, "revenue": 900, "eps": 900}, 100.0),
        ({"roe": -999, "debt": 78, "revenue": -99, "eps": -99}, 0.0),
        ({"roe": 10, "debt": 1.5, "revenue": 10, "eps": 10}, 50.0),
        ({"roe": 40, "debt": 3, "revenue": -30, "eps": -30}, 40.0),
        ({"roe": -20, "debt": 0, "revenue": -30, "eps": -30}, 30.0),
        ({"roe": -20, "debt": 3, "revenue": 50, "eps": 50}, 30.0),
        ({"roe": 0, "debt": 0, "revenue": 0, "eps": 0}, 40 / 3 + 30 + 30 * 3 / 8),
        ({"roe": -20, "debt": 3, "revenue": 20, "eps": -60}, 30 * 10 / 80),
        # the mean is clipped, not its parts
        ({"roe": -20, "debt": 3, "revenue": 130, "eps": -30}, 30.0),
        ({"roe": -20, "debt": 3, "revenue": 10, "eps": NAN}, 15.0),
        ({"roe": -20, "debt": 3, "revenue": NAN, "eps": 10}, 15.0),
        ({"roe": -20, "debt": 3, "revenue": math.inf, "eps": 10}, 15.0),
        ({"roe": -20, "debt": 3, "revenue": 10, "eps": -math.inf}, 15.0),
        ({"roe": -20, "debt": 3, "revenue": 1.7e308, "eps": 1.7e308}, 30.0),
        ({"roe": 10, "debt": 1.5, "revenue": 10, "eps": 10, "book": 0.0}, 50.0),
        ({"roe": 10, "debt": 1.5, "revenue": 10, "eps": 10, "book": NAN}, 50.0),
        ({"roe": 10, "debt": -0.0, "revenue": 10, "eps": 10, "book": -0.0}, 65.0),
    ],
)
def test_a_score_is_40_roe_30_debt_30_growth_linear_and_clipped(figures, expected):
    value, code = points(**figures)
    assert code == 0
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("missing", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("roe",), "ROE is missing"),
        (("debt",), "debt/equity is missing"),
        (("revenue", "eps"), "revenue and EPS growth are both missing"),
        (("roe", "debt"), "ROE is missing; debt/equity is missing"),
    ],
)
def test_a_missing_figure_is_never_zero_but_the_reason_for_no_score(names, reason, missing):
    value, code = points(**dict.fromkeys(names, missing))
    assert math.isnan(value)
    assert sentence(code) == reason


@pytest.mark.parametrize(
    "figures", [{"debt": -0.001, "roe": 40}, {"book": -0.01, "debt": 0.1}, {"debt": -5, "book": -1}]
)
def test_negative_equity_has_no_score_though_its_ratios_look_best(figures):
    value, code = points(**figures)
    assert math.isnan(value)
    assert code == Unscored.NEGATIVE_EQUITY
    assert sentence(code) == "equity is negative"


def test_all_reasons_are_told_at_once():
    _, code = points(roe=NAN, debt=-1.0, revenue=NAN, eps=NAN)
    assert sentence(code) == "equity is negative; ROE is missing; revenue and EPS growth are both missing"
    assert sentence(0) is None


def test_arrays_of_any_shape_keep_it_and_different_shapes_are_refused():
    grid = np.full((3, 4, 2), 1.0)
    scores, codes = score_arrays(grid, grid, grid, grid, grid, RULES)
    assert scores.shape == codes.shape == (3, 4, 2)
    transposed = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    scores, _ = scored([transposed, *[np.ones((3, 4))] * 4])
    assert scores[2, 0] == points(roe=8.0, revenue=1.0, eps=1.0)[0]
    empty, _ = score_arrays([], [], [], [], [], RULES)
    assert empty.shape == (0,)
    with pytest.raises(ValueError, match="different shapes"):
        score_arrays(grid, grid, grid, grid, grid[0], RULES)


def test_weights_that_add_up_to_a_bit_more_than_100_give_no_score_above_it():
    parts = {"growth_pct": 64.2, "roe_pct": 32.6, "debt_to_equity": 3.2}
    assert sum(parts.values()) > 100
    changed = {name: getattr(RULES, name).model_copy(update={"weight": weight}) for name, weight in parts.items()}
    rules = ScoreSettings.model_validate(changed)
    assert score_arrays([99.0], [0.0], [99.0], [99.0], [1.0], rules)[0][0] == 100


FIGURE = st.one_of(
    st.floats(-1e4, 1e4), st.floats(), st.sampled_from([0.0, -0.0, NAN, math.inf, -math.inf, 3.0, 40.0, -20.0])
)
SOUND = st.one_of(st.floats(-1e4, 1e4), st.floats(-40, 60))  # in the latter the lines rise
POSITIVE = st.one_of(st.floats(0, 1e4), st.floats(0, 4))
UNKNOWN = st.sampled_from([NAN, math.inf, -math.inf])
GROWTHS = st.one_of(st.tuples(SOUND, SOUND | UNKNOWN), st.tuples(UNKNOWN, SOUND))  # one of the two is enough


def plain(roe, debt, revenue, eps, book) -> float | None:
    """One score in plain Python."""

    def known(x):
        return x is not None and math.isfinite(x)

    growth = [x / 2 for x in (revenue, eps) if known(x)]
    if (known(debt) and debt < 0) or (known(book) and book < 0) or not (known(roe) and known(debt) and growth):
        return None

    def part(value, worst, best):
        return min(max((value - worst) / (best - worst), 0.0), 1.0)

    mean = sum(growth) * 2 / len(growth)
    return 40 * part(roe, -20, 40) + 30 * part(debt, 3, 0) + 30 * part(mean, -30, 50)


@given(st.lists(st.tuples(FIGURE, FIGURE, FIGURE, FIGURE, FIGURE), min_size=1, max_size=30))
def test_scores_equal_a_plain_reading_and_lie_in_0_to_100(rows):
    scores, codes = scored(np.array(rows).T)
    for row, value, code in zip(rows, scores, codes, strict=True):
        expected = plain(*row)
        assert (code == 0) == (expected is not None)
        if expected is None:
            assert math.isnan(value)
        else:
            assert 0 <= value <= 100
            assert value == pytest.approx(expected, abs=1e-9)


@given(SOUND, POSITIVE, GROWTHS, POSITIVE | UNKNOWN, st.integers(0, 3), st.floats(0, 100))
def test_a_better_figure_never_lowers_the_score(roe, debt, growths, book, which, step):
    row = (roe, debt, *growths, book)
    better = list(row)
    better[which] = max(row[which] - step, 0.0) if which == 1 else row[which] + step
    low, code = points(*row)
    high, better_code = points(*better)
    assert code == better_code == 0
    assert high >= low - 1e-12


@given(st.lists(st.tuples(FIGURE, FIGURE, FIGURE, FIGURE, FIGURE), min_size=2, max_size=20), st.randoms())
def test_a_score_depends_on_its_own_row_only(rows, random):
    shuffled = random.sample(rows, len(rows))
    one, _ = scored(np.array(rows).T)
    two, _ = scored(np.array(shuffled).T)
    assert sorted(one[~np.isnan(one)]) == sorted(two[~np.isnan(two)])


def financials(*rows: dict) -> pd.DataFrame:
    base = dict.fromkeys([*FIGURES, "market_cap_musd", "reported_period"], None) | {
        "known_at": pd.Timestamp("2026-08-22T06:00Z")
    }
    return Financials.validate(pd.DataFrame([base | row for row in rows]))


GOOD = {"roe_ttm_pct": 10, "debt_to_equity": 1.5, "revenue_growth_yoy_pct": 10, "market_cap_musd": 1.0}


def test_the_table_has_a_score_or_a_reason_for_each_symbol_of_the_universe_in_its_order():
    universe = pd.DataFrame({"symbol": ["C", "A", "B", "D"], "market_cap_musd": [9.0, 8.0, 7.0, 6.0]})
    known = financials(
        {"symbol": "A", **GOOD},
        {"symbol": "B", **GOOD, "debt_to_equity": -2},
        {"symbol": "D", **GOOD, "revenue_growth_yoy_pct": math.inf, "eps_growth_yoy_pct": 30.0},
        {"symbol": "STRANGER", **GOOD},
    )
    table = score(universe, known, RULES)
    Scores.validate(table)
    assert list(table["symbol"]) == ["C", "A", "B", "D"]
    assert list(table["market_cap_musd"]) == [9.0, 8.0, 7.0, 6.0]
    rows = table.set_index("symbol")
    assert rows.loc["C", "reason"] == "financials have not been fetched"
    assert rows["known_at"].isna()["C"]
    assert rows.loc["A", "score"] == 50.0
    assert list(rows.loc["A", ["roe_points", "debt_points", "growth_points"]]) == [50.0, 50.0, 50.0]
    assert rows.loc["B", "reason"] == "equity is negative"
    assert rows.loc["B", ["score", "roe_points", "debt_points", "growth_points"]].isna().all()
    assert rows.loc["D", "growth_points"] == 75.0
    assert rows.loc["D", "score"] == pytest.approx(57.5)
    assert rows["revenue_growth_yoy_pct"].isna()["D"]
    parts = rows.loc[["A", "D"]]
    total = 0.4 * parts["roe_points"] + 0.3 * parts["debt_points"] + 0.3 * parts["growth_points"]
    np.testing.assert_allclose(parts["score"], total, atol=1e-12)


def test_a_symbol_that_stands_twice_is_refused():
    universe = pd.DataFrame({"symbol": ["A"], "market_cap_musd": [1.0]})
    with pytest.raises(Exception, match="symbol"):
        score(universe, pd.concat([financials({"symbol": "A", **GOOD})] * 2), RULES)


def test_a_row_with_score_and_reason_or_with_neither_is_no_score():
    universe = pd.DataFrame({"symbol": ["A"], "market_cap_musd": [1.0]})
    table = score(universe, financials({"symbol": "A", **GOOD}), RULES)
    for wrong in (table.assign(reason="why"), table.assign(score=math.nan)):
        with pytest.raises(Exception, match="score_or_reason"):
            Scores.validate(wrong)


def history(weeks: int, names: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    figures = []
    for mean, spread, missing in ((12, 20, 0.04), (0.8, 0.5, 0.02), (8, 20, 0.01), (10, 40, 0.2), (20, 10, 0.01)):
        figure = rng.normal(mean, spread, (weeks, names))
        figure[rng.random((weeks, names)) < missing] = NAN
        figures.append(figure)
    figures[0][0, :10] = math.inf
    return figures


def with_pandas(frame: pd.DataFrame, rules: ScoreSettings) -> tuple[pd.Series, pd.Series]:
    """The same rules as one writes them down in pandas."""
    frame = frame.replace([math.inf, -math.inf], NAN)
    growth = frame[["revenue_growth_yoy_pct", "eps_growth_yoy_pct"]].mean(axis=1)

    def part(figure, rule):
        return ((figure - rule.worst) / (rule.best - rule.worst)).clip(0, 1) * rule.weight

    codes = (
        ((frame["debt_to_equity"] < 0) | (frame["book_value_per_share"] < 0)) * 1
        + frame["roe_ttm_pct"].isna() * 2
        + frame["debt_to_equity"].isna() * 4
        + growth.isna() * 8
    )
    total = (
        part(frame["roe_ttm_pct"], rules.roe_pct)
        + part(frame["debt_to_equity"], rules.debt_to_equity)
        + part(growth, rules.growth_pct)
    )
    return total.where(codes == 0), codes


def test_a_year_of_weeks_scores_as_plain_pandas_does_week_by_week():
    figures = history(52, 1500)
    weeks = [pd.DataFrame({n: f[week] for n, f in zip(FIGURES, figures, strict=True)}) for week in range(52)]
    scores, codes = scored(figures)
    for week, frame in enumerate(weeks):
        expected, expected_codes = with_pandas(frame, RULES)
        np.testing.assert_allclose(scores[week], expected, atol=1e-9)
        np.testing.assert_array_equal(codes[week], expected_codes)
