"""What has changed between two weeks: each name that came or went has its reason, each move of a score its cause."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.fundamentals.scoring import score
from tokenomics_dagster.fundamentals.told import Scored
from tokenomics_dagster.portfolio.changes import Changes, changes
from tokenomics_dagster.portfolio.decide import decide
from tokenomics_dagster.portfolio.weeks import Decided
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.storage.records import Stored
from tokenomics_dagster.universe.schema import UniverseDetails

AT = {week: datetime(2026, 8, week, 14, tzinfo=UTC) for week in (10, 17)}
GOOD = {"roe_ttm_pct": 30.0, "debt_to_equity": 0.5, "revenue_growth_yoy_pct": 20.0, "eps_growth_yoy_pct": 20.0}
FIRST = {"AAA": GOOD, "BBB": {**GOOD, "roe_ttm_pct": 25.0}, "CCC": {**GOOD, "roe_ttm_pct": 20.0}}


def week(
    day: int, figures: Mapping[str, Mapping[str, float | None]], dropped=None, renamed=None, **rules: Any
) -> Decided:
    """Scored and decided by the rules themselves."""
    symbols = list(figures)
    rows = [
        {
            "symbol": symbol,
            "known_at": AT[day],
            "book_value_per_share": 20.0,
            "market_cap_musd": None,
            "reported_period": "2026-06-30",
            **one,
        }
        for symbol, one in figures.items()
    ]
    universe = pd.DataFrame(
        {
            "symbol": symbols,
            "name": [f"{symbol} Inc" for symbol in symbols],
            "industry": "",
            "market_cap_musd": [1000.0 - number for number in range(len(symbols))],
        }
    )
    frame = score(universe, pd.DataFrame(rows), ScoreSettings())
    settings = RebalancingSettings(**{"top_n_stocks": 2, "max_position_pct": 60.0, **rules})
    weights = decide(frame, universe, renamed or {}, settings).weights
    details = UniverseDetails(dropped=dropped or {}, candidates=3, asked=3, renamed=renamed or {})
    return Decided(
        date(2026, 8, day),
        AT[day],
        weights,
        1 - float(weights["weight"].sum()),
        settings,
        True,
        Scored(frame, AT[day], ScoreSettings(), True, {}),
        Stored(universe, AT[day], details, day, "run"),
    )


def between(after: Decided, links: Mapping[str, str] | None = None) -> Changes:
    return changes(week(10, FIRST), after, links or {})


def test_where_nothing_has_changed_nothing_is_told():
    found = between(week(17, FIRST))
    assert (found.came_in, found.went_out, found.scores, found.weights, found.rules) == ((), (), (), (), {})
    assert found.turnover == 0
    assert not found.same_scores


def test_who_is_outrun_went_out_by_rank_and_the_other_came_in_by_the_figure_that_moved_its_score():
    found = between(week(17, {**FIRST, "CCC": {**GOOD, "roe_ttm_pct": 39.0}}))
    [came], [went] = found.came_in, found.went_out
    assert (came.symbol, went.symbol) == ("CCC", "BBB")
    assert came.why_not is not None
    assert came.why_not.kind == "rank too low"
    assert went.why is not None
    assert went.why.kind == "rank too low"
    assert went.score == went.score_before
    [move] = found.scores
    assert move.symbol == "CCC"
    [figure] = move.figures
    assert (figure.figure, figure.before, figure.after) == ("roe_ttm_pct", 20.0, 39.0)
    assert figure.points == pytest.approx(19 * 40 / 60)
    assert figure.points == pytest.approx(move.after - move.before)


@pytest.mark.parametrize(
    ("figures", "dropped", "kind", "reason"),
    [
        ({**FIRST, "BBB": {**GOOD, "roe_ttm_pct": None}}, {}, "no score", "ROE is missing"),
        (
            {**FIRST, "BBB": {**GOOD, "roe_ttm_pct": -99.0, "debt_to_equity": 3.0}},
            {},
            "score too low",
            "min_score is 50",
        ),
        ({one: FIRST[one] for one in ("AAA", "CCC")}, {"BBB": "no profile"}, "not in the universe", "no profile"),
    ],
)
def test_each_way_out_is_told_apart(figures, dropped, kind, reason):
    [went] = between(week(17, figures, dropped)).went_out
    assert went.symbol == "BBB"
    assert went.why is not None
    assert went.why.kind == kind
    assert reason in went.why.reason


def test_weights_that_moved_and_what_came_and_went_are_the_turnover_of_the_targets():
    before, after = week(10, FIRST), week(17, {**FIRST, "CCC": {**GOOD, "roe_ttm_pct": 39.0}})
    found = changes(before, after, {})
    old, new = before.weight_of, after.weight_of
    [kept] = found.weights
    assert (kept.symbol, kept.before, kept.after) == ("AAA", old["AAA"], new["AAA"])
    moved = old["BBB"] + new["CCC"] + abs(new["AAA"] - old["AAA"]) + abs(found.cash_after - found.cash_before)
    assert found.turnover == pytest.approx(moved / 2)


def test_a_renamed_stock_has_neither_come_nor_gone():
    new = {"AAA": FIRST["AAA"], "NEW": FIRST["BBB"], "CCC": FIRST["CCC"]}
    found = between(week(17, new), {"BBB": "NEW"})
    assert (found.came_in, found.went_out, found.scores) == ((), (), ())
    assert found.renamed == {"BBB": "NEW"}
    # The universe has the new symbol before the scores have it.
    old_scores = week(17, FIRST)
    universe = week(17, new, renamed={"BBB": "NEW"}).universe
    weights = decide(old_scores.scores.frame, universe.frame, {"BBB": "NEW"}, old_scores.rules).weights
    found = between(dataclasses.replace(old_scores, universe=universe, weights=weights), {"BBB": "NEW"})
    assert (found.came_in, found.went_out) == ((), ())


def test_settings_that_differ_are_told_and_are_the_reason_of_who_goes():
    found = between(week(17, FIRST, top_n_stocks=1))
    assert found.rules == {"top_n_stocks": (2, 1)}
    [went] = found.went_out
    assert went.why is not None
    assert "top_n_stocks is 1" in went.why.reason
