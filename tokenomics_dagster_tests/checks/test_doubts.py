"""Figures that are there and not believed, on the recorded market: what is refused, what is told, what is kept."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from tokenomics_dagster.fundamentals import doubts, scoring
from tokenomics_dagster.fundamentals.checks import check_scores
from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.kit.checks import Finding
from tokenomics_dagster_tests.checks.market import NOW, Inputs, Stored, later, run
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.rewriting import Answer, Proxy

FIGURES = list(scoring.FIGURES)
Change = Callable[[pd.DataFrame, list[str]], pd.DataFrame]


def best(sound: Stored, count: int) -> list[str]:
    return list(sound.frames["scores"].nlargest(count, "score")["symbol"])


def spread(sound: Stored, percent: int) -> list[str]:
    """That many of the universe, evenly over all ranks."""
    return [s for place, s in enumerate(sound.frames["universe"]["symbol"]) if place * percent % 100 < percent]


def scaled(metric: str, factor: float) -> Change:
    return lambda frame, names: frame.assign(
        **{metric: frame[metric].mask(frame["symbol"].isin(names), frame[metric] * factor)}
    )


def without(*metrics: str) -> Change:
    return lambda frame, names: frame.assign(**{m: frame[m].mask(frame["symbol"].isin(names)) for m in metrics})


def another_s(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """All have the figures of the last of the names."""
    found = frame.set_index("symbol")
    found.loc[names, FIGURES] = found.loc[names[-1], FIGURES].to_numpy(dtype=float)
    return found.reset_index()[list(frame.columns)]


def after(recorded: Inputs, sound: Stored, change: Change, names: list[str], days: int = 5) -> Stored:
    """The next weekend: the last figures are a week old."""
    given = later(recorded, days)
    return run(replace(given, metrics=change(given.metrics, names)), sound)


FLOODS: dict[str, tuple[Change, Callable[[Stored], list[str]], str]] = {
    "debt/equity x100 in 45 %": (scaled("debt_to_equity", 100), lambda s: spread(s, 45), "scores.units"),
    "ROE as a fraction in 45 %": (scaled("roe_ttm_pct", 0.01), lambda s: spread(s, 45), "scores.units"),
    "revenue growth in thousands in 5 %": (
        scaled("revenue_growth_yoy_pct", 1000),
        lambda s: spread(s, 5),
        "scores.units",
    ),
    "zeros in a tenth": (scaled("debt_to_equity", 0), lambda s: spread(s, 10), "scores.units"),
    "a quarter with one name's figures": (another_s, lambda s: spread(s, 25), "financials.own"),
    "13 % emptied": (without(*FIGURES), lambda s: spread(s, 13), "scores.lost"),
    "ROE of 13 % gone": (without("roe_ttm_pct"), lambda s: spread(s, 13), "scores.lost"),
    "the 40 best emptied": (without(*FIGURES), lambda s: best(s, 40), "scores.lost"),
    "the 10 best emptied": (without(*FIGURES), lambda s: best(s, 10), "scores.lost"),
    "a quarter emptied": (without(*FIGURES), lambda s: spread(s, 25), "scores.scored"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_much_doubt_is_refused_by_one_check_and_the_last_scores_stay(
    recorded: Inputs, sound: Stored, name: str
) -> None:
    change, names, caught_by = FLOODS[name]
    found = after(recorded, sound, change, names(sound))
    assert found.failed - {"financials.plausible"} == {caught_by}  # a hundred times 62 is also impossible in itself
    assert "scores" not in found.frames


def row(stored: Stored, symbol: str) -> dict[str, Any]:
    return {str(key): value for key, value in stored.frames["scores"].set_index("symbol").loc[symbol].items()}


SINGLES: dict[str, tuple[Change, set[str], str]] = {
    "one of the best with an impossible ROE": (
        lambda frame, names: frame.assign(
            roe_ttm_pct=frame["roe_ttm_pct"].mask(frame["symbol"].isin(names[:1]), 1e308)
        ),
        {"financials.plausible", "scores.held"},
        "roe_ttm_pct is 1e+308, fundamentals.plausible.roe_ttm_pct is 100000",
    ),
    "two with the same figures": (another_s, {"financials.twins", "scores.held"}, "its figures are exactly those of"),
    "one x100": (scaled("debt_to_equity", 100), {"scores.held"}, "a change of units?"),
    "one emptied": (without(*FIGURES), {"scores.held"}, "ROE is missing"),
    "one without ROE": (without("roe_ttm_pct"), {"scores.held"}, "ROE is missing"),
}


@pytest.mark.parametrize("name", SINGLES)
def test_doubt_in_single_names_that_are_held_is_told_and_they_keep_what_they_were_scored_by_while_that_is_young(
    recorded: Inputs, sound: Stored, name: str
) -> None:
    change, told, why = SINGLES[name]
    indebted = [s for s in best(sound, 60) if row(sound, s)["debt_to_equity"] > 0.01]
    names = indebted[:2] if name == "two with the same figures" else indebted[:1]
    found = after(recorded, sound, change, names)
    assert found.failed == told
    held = next(one for one in found.findings["scores"] if one.name == "held")
    for symbol in names:
        assert row(found, symbol)["score"] == row(sound, symbol)["score"]
        assert row(found, symbol)["known_at"] == row(sound, symbol)["known_at"]
        assert f"{symbol} is scored by its last figures" in held.description
        assert why in held.description
        assert symbol in set(found.frames["target_weights"]["symbol"])


def settled(
    sound: Stored, recorded: Inputs, facts: pd.DataFrame, days: int, last: doubts.Settled | None = None
) -> doubts.Settled:
    """These figures, asked for that many days later than the sound ones; after the scores of `last`, else the sound."""
    facts = facts.assign(known_at=facts["known_at"] + timedelta(days=days))
    before, looks = (sound.frames["scores"], {}) if last is None else (last.scores, last.looks)
    universe = sound.frames["universe"]
    return doubts.settle(universe, facts, before, NOW + timedelta(days=days), recorded.settings, looks=looks)


def test_what_a_later_sweep_still_finds_is_believed_unless_it_is_wrong_in_itself(
    recorded: Inputs, sound: Stored
) -> None:
    (symbol,) = best(sound, 1)
    absurd = SINGLES["one of the best with an impossible ROE"][0]
    for change, why in ((without(*FIGURES), "ROE is missing"), (absurd, "roe_ttm_pct is 1e+308")):
        facts = change(sound.frames["financials"], [symbol])
        first = settled(sound, recorded, facts, 5)
        assert list(first.kept) == [symbol]
        second = settled(sound, recorded, facts, 12, first)
        assert second.kept == {}
        found = second.scores.set_index("symbol").loc[symbol]
        assert found["score"] != found["score"]
        assert found["reason"].startswith(why)
        told = check_scores(second.fresh, first.scores, recorded.settings, held={symbol: 0.01})
        assert [one.name for one in told if not one.passed] == ["held"]


@pytest.mark.parametrize(("days", "kept"), [(7, True), (8, True), (14, True), (15, False)])
def test_a_figure_that_is_gone_is_doubted_at_first_sight_also_when_the_sweep_comes_a_day_or_a_week_late(
    recorded: Inputs, sound: Stored, days: int, kept: bool
) -> None:
    """The sound figures are two days older."""
    (symbol,) = best(sound, 1)
    facts = without("roe_ttm_pct")(sound.frames["financials"], [symbol])
    assert list(settled(sound, recorded, facts, days).kept) == [symbol] * kept


def test_a_lost_figure_is_not_believed_by_scoring_the_same_answer_again(recorded: Inputs, sound: Stored) -> None:
    (symbol,) = best(sound, 1)
    facts = without("roe_ttm_pct")(sound.frames["financials"], [symbol])
    found = first = settled(sound, recorded, facts, 7)
    facts = facts.assign(known_at=facts["known_at"] + timedelta(days=7))
    for days in (8, 9, 11):  # somebody has repaired other names, and each time the scores are made anew
        now = NOW + timedelta(days=days)
        universe = sound.frames["universe"]
        found = doubts.settle(universe, facts, found.scores, now, recorded.settings, looks=found.looks)
        assert found.looks == first.looks
        assert list(found.kept) == [symbol]


def test_a_name_that_is_told_as_kept_has_a_score(recorded: Inputs, sound: Stored) -> None:
    """Its report crosses fundamentals.max_report_age_days between two sweeps."""
    before, symbol = judge(recorded, sound, "2025-11-18", None)
    facts = sound.frames["financials"]
    facts = facts.assign(reported_period=facts["reported_period"].mask(facts["symbol"] == symbol, "2025-11-18"))
    first = settled(sound, recorded, facts, 7, before)
    assert list(first.kept) == [symbol]
    scores = (one.scores.set_index("symbol")["score"] for one in (first, before))
    assert len({frame[symbol] for frame in scores}) == 1
    second = settled(sound, recorded, facts, 14, first)
    assert second.kept == {}
    assert "the newest reported period ends 2025-11-18" in second.scores.set_index("symbol")["reason"][symbol]


def test_equity_that_turned_negative_is_a_rule_of_the_score_and_no_doubt(recorded: Inputs, sound: Stored) -> None:
    (symbol,) = best(sound, 1)
    found = after(recorded, sound, scaled("book_value_per_share", -1), [symbol])
    assert row(found, symbol)["reason"] == "equity is negative"
    assert found.failed == {"scores.held"}, "a person is told what will be sold"


def judge(recorded: Inputs, sound: Stored, period: str, last: pd.DataFrame | None) -> tuple[doubts.Settled, str]:
    (symbol,) = best(sound, 1)
    facts = sound.frames["financials"]
    facts = facts.assign(reported_period=facts["reported_period"].mask(facts["symbol"] == symbol, period))
    return doubts.settle(sound.frames["universe"], facts, last, NOW, recorded.settings), symbol


@pytest.mark.parametrize(
    ("period", "scored"),
    [("2026-06-30", True), ("2025-11-17", True), ("2025-11-16", False), ("2024-06-30", False), ("2027-01-01", False)],
)
def test_figures_of_a_period_that_ended_too_long_ago_or_is_to_come_have_no_score(
    recorded: Inputs, sound: Stored, period: str, scored: bool
) -> None:
    judged, symbol = judge(recorded, sound, period, None)
    found = judged.scores.set_index("symbol").loc[symbol]
    assert (found["score"] == found["score"]) == scored
    assert found["reported_period"] == period
    if not scored:
        assert f"the newest reported period ends {period}" in found["reason"]
        assert "fundamentals.max_report_age_days is 280" in found["reason"]


def test_a_period_that_was_known_is_not_forgotten(recorded: Inputs, sound: Stored) -> None:
    old, symbol = judge(recorded, sound, "2024-06-30", None)
    facts = sound.frames["financials"]
    facts = facts.assign(reported_period=facts["reported_period"].mask(facts["symbol"] == symbol))
    judged = doubts.settle(sound.frames["universe"], facts, old.scores, NOW, recorded.settings)
    found = judged.scores.set_index("symbol").loc[symbol]
    assert found["reported_period"] == "2024-06-30"
    assert "the newest reported period ends 2024-06-30" in found["reason"]


def test_equity_that_is_negative_by_an_older_report_than_the_last_waits_for_a_second_look(
    recorded: Inputs, sound: Stored
) -> None:
    (symbol,) = best(sound, 1)
    facts = scaled("book_value_per_share", -1)(sound.frames["financials"], [symbol])
    for period, kept in (("2025-12-31", [symbol]), (None, [symbol]), ("2026-06-30", [])):
        told = facts.assign(reported_period=facts["reported_period"].mask(facts["symbol"] == symbol, period))
        assert list(settled(sound, recorded, told, 7).kept) == kept


def test_a_report_that_is_suddenly_old_waits_for_a_second_look(recorded: Inputs, sound: Stored) -> None:
    judged, symbol = judge(recorded, sound, "2024-06-30", sound.frames["scores"])
    assert list(judged.kept) == [symbol]
    assert judged.scores.set_index("symbol")["reported_period"][symbol] == "2026-06-30"


def test_a_person_may_accept_a_change_of_units_or_lost_scores_for_one_run(recorded: Inputs, sound: Stored) -> None:
    last, given = sound.frames["scores"], sound.frames["financials"]
    now = NOW + timedelta(days=5)
    for change, names in (
        (scaled("debt_to_equity", 100), spread(sound, 45)),
        (without("roe_ttm_pct"), spread(sound, 10)),
    ):
        facts = change(given, names)
        taken = doubts.settle(sound.frames["universe"], facts, last, now, recorded.settings, accepted=True)
        assert all("fundamentals.plausible" in why for why in taken.kept.values())
        found = check_scores(taken.fresh, last, recorded.settings, accept_change=True)
        assert all(one.passed for one in found)
        assert any("accepted for this run by accept_change" in one.description for one in found)
        assert not all(one.passed for one in check_scores(taken.fresh, last, recorded.settings))


def test_two_classes_whose_names_differ_by_a_dot_are_no_twins() -> None:
    names = pd.DataFrame(
        {"symbol": ["GOOG", "GOOGL", "KO"], "name": ["Alphabet Inc. Class C", "Alphabet Inc Class A", "Coca-Cola"]}
    )
    alike = names[["symbol"]].assign(**dict.fromkeys(FIGURES, 1.5))
    assert doubts.twins(alike[:2], doubts.issuers_of(names)) == {}
    assert set(doubts.twins(alike, doubts.issuers_of(names))) == {"GOOG", "GOOGL", "KO"}


def test_two_classes_of_one_issuer_may_share_all_figures(sound: Stored) -> None:
    facts = sound.frames["financials"]
    one, other = best(sound, 2)
    alike = another_s(facts, [one, other])
    assert doubts.twins(alike, {one: "Alphabet", other: "Alphabet"}) == {}
    assert set(doubts.twins(alike, {one: "Alphabet", other: "Apple"})) == {one, other}
    few = alike.assign(eps_growth_yoy_pct=float("nan"), book_value_per_share=float("nan"))
    assert doubts.twins(few, {}) == {}


def test_of_few_names_one_alone_never_refuses(recorded: Inputs, sound: Stored) -> None:
    few = sound.frames["scores"].dropna(subset="score").head(10)
    held = dict.fromkeys(few["symbol"], 0.1)
    gone = few.assign(score=few["score"].mask(few.index == few.index[0]), reason=None)
    gone["reason"] = (
        gone["reason"].astype("str").mask(gone["score"].isna(), "ROE is missing").mask(gone["score"].notna())
    )

    def lost(frame: pd.DataFrame) -> Finding:
        found = check_scores(frame, few, recorded.settings, held=held)
        return next(one for one in found if one.name == "lost")

    assert lost(gone).passed
    assert lost(gone).figures["lost_weight_pct"] == pytest.approx(10)


METRIC = "GET /api/v1/stock/metric"


def emptied(*symbols: str) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        if answer.query["symbol"][0] in symbols:
            answer.json.update(metric={}, series={})

    return change


@pytest.mark.soak
def test_a_name_whose_figures_are_all_gone_is_asked_again_and_then_keeps_its_last_ones(
    platform: Platform, proxy: Proxy
) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    before = platform.store.load_snapshot("scores", Scores)
    assert before is not None
    scored = list(before.nlargest(3, "score")["symbol"])
    assert set(before["reported_period"].dropna()) == {"2026-06-30"}
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-01T12:05:00Z"})  # a day late
    proxy.on(METRIC, emptied(scored[0]))
    proxy.seen.clear()
    refused = failure_of(platform.run("fundamentals_refresh"))
    assert "1 of 60 symbols could not be fetched" in refused
    assert "no figure at all, twice, where there were some on 2026-08-24" in str(platform.store.latest_sweep())
    assert proxy.seen.count(METRIC) == 61
    platform.must_run("score")
    kept = platform.store.load_snapshot("scores", Scores)
    assert kept is not None
    assert kept.set_index("symbol")["score"][scored[0]] == before.set_index("symbol")["score"][scored[0]]

    proxy.clear()
    proxy.on(METRIC, emptied(*scored))
    again = {"ops": {"financials": {"config": {"again": True}}}}
    assert "3 of 60 symbols" in failure_of(platform.run("fundamentals_refresh", run_config=again))
    assert "guards.max_failed_pct is 2" in failure_of(platform.run("score"))
