"""Who leaves at once, who waits, and for how long: what was there yesterday and is gone today is a doubt."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tokenomics_dagster.kit.checks import Finding
from tokenomics_dagster.universe.checks import Sources, check_universe
from tokenomics_dagster.universe.departures import Refresh, Settled, held_shares, settle
from tokenomics_dagster.universe.schema import Listings
from tokenomics_dagster.universe.selection import select
from tokenomics_dagster_tests.checks.market import settings
from tokenomics_dagster_tests.universe.test_selection import EMPTY, listing, profile, rules

NOW = datetime(2026, 9, 1, 5, tzinfo=UTC)
MONTH = timedelta(days=30)
SIZE = 5
MARKET = {"A": 900.0, "B": 800.0, "C": 700.0, "D": 600.0, "E": 500.0, "F": 400.0, "G": 300.0}


def found(changes: Mapping[str, dict | None], last: pd.DataFrame | None, size: int = SIZE, **known: Any) -> Refresh:
    """A refresh of the market with `changes`: of a profile, or None for a symbol that is listed no more."""
    listed = [symbol for symbol in {**MARKET, **changes} if changes.get(symbol, {}) is not None]
    rows = [profile(s, MARKET.get(s, 100.0), **(changes.get(s) or {})) for s in listed]
    rule = rules(size=size, leave_after_refreshes=2, profile_max_age_days=3.0)
    profiles = pd.DataFrame(rows).astype({"market_cap_musd": float, "shares_outstanding_m": float, "price": float})
    selected, reasons = select(profiles, rule)
    figis = {symbol: f"BBG{symbol}" for symbol in listed} | known.pop("figis", {})
    before = {"listed_before": {symbol: f"BBG{symbol}" for symbol in MARKET}}
    return Refresh(
        selected,
        profiles,
        {str(s): str(why) for s, why in reasons.items()},
        last,
        NOW,
        rule,
        listed=figis,
        **{**before, **known},
    )


@pytest.fixture(scope="module")
def last() -> pd.DataFrame:
    return settle(found({}, None)).universe


def again(settled: Settled, changes: Mapping[str, dict | None], *, after: timedelta = MONTH, **known: Any) -> Settled:
    """The next refresh, with what the last one has kept."""
    waiting = {one.symbol: one.record for one in settled.waiting}
    return settle(replace(found(changes, settled.universe, waiting=waiting, **known), now=NOW + after))


def names(settled: Settled) -> list[str]:
    return list(settled.universe["symbol"])


DOUBTS: dict[str, tuple[dict | None, str]] = {
    "not listed": (None, "not listed any more"),
    "no profile": (EMPTY, "no profile"),
    "currency": ({"currency": "JPY"}, "quarantine: currency of the market cap is JPY, not USD"),
    "no price": ({"price": None}, "quarantine: no price to check the market cap with"),
    "half a split": ({"shares_outstanding_m": 800.0}, "quarantine: market cap 800.0 million differs from"),
    "fell": ({"market_cap_musd": 80.0, "shares_outstanding_m": 8.0}, "its market cap fell from 800 to 80 million USD"),
    "another's name": ({"name": "C Inc", "traded_value_musd": 0.5}, "another class of the issuer is traded more: C"),
    "another's all": (
        {"name": "Other", "market_cap_musd": 9000.0, "shares_outstanding_m": 900.0},
        "name, shares and market cap are all others, as of another company: 'Other'",
    ),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_what_was_followed_and_is_gone_waits_with_its_last_good_row(last, case):
    change, reason = DOUBTS[case]
    settled = settle(found({"B": change}, last))
    assert names(settled) == ["A", "B", "C", "D", "E"]
    pd.testing.assert_frame_equal(settled.universe, last)
    (waiting,) = settled.waiting
    assert waiting.reason.startswith(reason)
    assert (waiting.former_rank, waiting.looks, waiting.verdict) == (2, 1, "waits: look 1 of 2")


@pytest.mark.parametrize("case", [case for case in DOUBTS if case != "another's all"])
def test_it_leaves_when_a_second_refresh_finds_the_same_and_the_next_one_enters(last, case):
    change, _ = DOUBTS[case]
    settled = again(settle(found({"B": change}, last)), {"B": change})
    assert names(settled) == ["A", "C", "D", "E", "F"]
    (left,) = settled.departures
    assert left.verdict == "found by 2 refreshes (universe.leave_after_refreshes), since 2026-09-01"
    assert left.former_rank == 2


def test_figures_that_are_still_all_others_at_the_second_look_are_believed(last):
    change, _ = DOUBTS["another's all"]
    settled = again(settle(found({"B": change}, last)), {"B": change})
    assert names(settled) == ["B", "A", "C", "D", "E"]
    assert settled.universe["name"][0] == "Other"


def test_who_is_back_at_the_second_look_never_left_and_begins_anew_the_next_time(last):
    back = again(settle(found({"B": None}, last)), {})
    assert names(back) == ["A", "B", "C", "D", "E"]
    assert back.departures == []
    (waiting,) = again(back, {"B": None}).waiting
    assert waiting.looks == 1


def test_the_same_answer_looked_at_twice_and_a_failed_call_are_no_second_look(last):
    first = settle(found({"B": None}, last))
    for change, after in (({"B": None}, timedelta(days=2)), ({"B": {**EMPTY, "fresh": True}}, timedelta(hours=1))):
        assert [one.looks for one in again(first, change, after=after).waiting] == [1]
    failed = found({"B": None}, first.universe, waiting={one.symbol: one.record for one in first.waiting})
    failed = replace(failed, reasons={**failed.reasons, "B": "profile not fetched: status 500"}, now=NOW + MONTH)
    assert [one.looks for one in settle(failed).waiting] == [1]


def test_a_profile_that_is_refused_for_good_does_not_keep_its_name_for_ever(last):
    """A failed call says nothing, so no number of them lets a name go; but a person is told of it, and can."""
    settled, verdicts = settle(found({}, last)), []

    def refusing(month: int, **changes: dict) -> Refresh:
        waiting = {one.symbol: one.record for one in settled.waiting}
        refused = found({"E": EMPTY, **changes}, settled.universe, waiting=waiting)
        reasons = {**refused.reasons, "E": "profile not fetched: another company's"}
        return replace(refused, reasons=reasons, now=NOW + month * MONTH)

    for month in range(1, 5):
        refused = refusing(month)
        told = checked(refused)["waiting"]
        settled = settle(refused)
        verdicts.append((told.passed, settled.waiting[0].looks))
    assert verdicts == [(True, 0), (False, 0), (False, 0), (False, 0)], "small, and told from the second time on"
    assert "E (rank 5: profile not fetched: another company's, since 2026-10-01)" in told.description
    assert "for 1 of them no profile could be fetched since then: they stay until a person" in told.description
    left = settle(refusing(5, D=EMPTY), leave=["E"])
    assert names(left) == ["A", "B", "C", "D", "F"]
    assert [(one.symbol, one.goes, one.verdict) for one in left.departures] == [
        ("D", False, "waits: look 1 of 2"),
        ("E", True, "accepted for this run by leave"),
    ]


def test_a_rank_that_a_believable_market_cap_has_lost_counts_at_once(last):
    settled = settle(found({"E": {"market_cap_musd": 390.0, "shares_outstanding_m": 39.0}}, last))
    assert names(settled) == ["A", "B", "C", "D", "F"]
    assert settled.departures == []


def test_a_smaller_universe_lets_go_at_once_whoever_is_below_its_size(last):
    assert names(settle(found({"E": None, "B": None}, last, size=3))) == ["A", "B", "C"]


def test_a_person_may_let_them_leave_in_one_run(last):
    settled = settle(found({"B": None}, last), accept=True)
    assert names(settled) == ["A", "C", "D", "E", "F"]
    assert settled.departures[0].verdict == "accepted for this run by accept_change"


def test_who_is_let_go_and_gives_way_besides_is_named_once(last):
    fell = {"market_cap_musd": 81.0, "shares_outstanding_m": 8.1}
    other = {"name": "Other", "market_cap_musd": 80.0, "shares_outstanding_m": 8.0}
    settled = settle(found({"A": None, "C": None, "E": fell, "B": other}, last), leave=["B"])
    assert sorted(one.symbol for one in settled.departures) == ["A", "B", "C", "E"]
    assert [one.symbol for one in settled.departures if one.goes] == ["B"]


def test_a_new_symbol_of_the_same_figi_takes_the_place_at_once(last):
    new = {"B": None, "BNEW": {"market_cap_musd": 800.0, "shares_outstanding_m": 80.0, "name": "Quite New"}}
    settled = settle(found(new, last, figis={"BNEW": "BBGB"}))
    assert names(settled) == ["A", "BNEW", "C", "D", "E"]
    assert [(one.symbol, one.successor) for one in settled.departures] == [("B", "BNEW")]


def test_a_new_symbol_of_the_same_company_takes_the_place_of_one_that_is_listed_no_more(last):
    new = {"B": None, "NEW": {"market_cap_musd": 800.0, "shares_outstanding_m": 80.0, "name": "B, Inc."}}
    assert names(settle(found(new, last))) == ["A", "NEW", "C", "D", "E"]
    # Listed before, it is another class, and the first may be back.
    other = {"B": None, "B.A": new["NEW"]}
    settled = settle(found(other, last, listed_before=dict.fromkeys((*MARKET, "B.A"), "")))
    assert names(settled) == ["A", "B", "C", "D", "E"]


def test_a_renamed_stock_without_a_sound_profile_waits_under_its_old_symbol(last):
    settled = settle(found({"B": None, "BNEW": EMPTY}, last, figis={"BNEW": "BBGB"}))
    assert names(settled) == ["A", "B", "C", "D", "E"]
    assert settled.waiting[0].reason == "renamed to BNEW, which is out: no profile"


def test_a_stock_that_the_broker_has_no_more_either_leaves_at_once_if_its_list_is_whole(last):
    whole = settle(found({"B": None}, last, active=frozenset(set(MARKET) - {"B"})))
    assert names(whole) == ["A", "C", "D", "E", "F"]
    assert whole.departures[0].verdict == "neither listed nor among the broker's active assets"
    for active in (frozenset(), frozenset({"A", "C"}), frozenset(MARKET)):
        assert "B" in names(settle(found({"B": None}, last, active=active)))


def test_a_new_class_of_a_company_does_not_enter_while_another_class_waits(last):
    larger: dict = {"market_cap_musd": 850.0, "shares_outstanding_m": 85.0, "name": "B Inc Class A"}
    changes: dict[str, dict | None] = {"B": {"traded_value_musd": 0.5}, "B.A": larger}
    settled = settle(found(changes, last))
    assert names(settled) == ["A", "B", "C", "D", "E"]
    assert settled.gave_way == {"B.A": "another class of the issuer waits for a second look: B"}
    assert names(again(settled, changes)) == ["A", "B.A", "C", "D", "E"]


@example(["another's all", "another's all", "another's all", "fell", "no profile"], {"A", "B", "C", "D"})
@hypothesis_settings(max_examples=8)
@given(st.lists(st.sampled_from(sorted(DOUBTS)), min_size=5, max_size=5), st.sets(st.sampled_from("ABCDE")))
def test_nothing_leaves_on_first_sight_whatever_is_wrong_with_whom(kinds, hit):
    before = settle(found({}, None)).universe
    changes = {symbol: DOUBTS[kind][0] for symbol, kind in zip("ABCDE", kinds, strict=True) if symbol in hit}
    settled = settle(found(changes, before))
    assert set(names(settled)) == set("ABCDE")
    assert list(settled.universe["rank"]) == [1, 2, 3, 4, 5]


def checked(refresh: Refresh, **options: Any) -> dict[str, Finding]:
    settled = settle(refresh, accept=options.get("accept_change", False))
    rows = Listings.validate(pd.DataFrame([listing(symbol) for symbol in refresh.listed]))
    configured = settings(universe__size=SIZE, guards__max_universe_turnover_pct=100.0)
    sources = Sources(refresh.profiles, pd.Series(refresh.reasons, dtype="str"), rows)
    findings = check_universe(settled.universe, sources, refresh.last, configured, settled.departures, **options)
    return {one.name: one for one in findings}


def test_a_held_name_that_waits_is_told_with_its_reason_rank_and_weight(last):
    held = held_shares({"D": 300.0, "E": 700.0, "CRYPTO": 0.0}, {"D": 0.5})
    assert held == {"CRYPTO": 0.0, "D": 0.5, "E": 0.7}
    told = checked(found({"D": None}, last, held=held))["waiting"]
    assert not told.passed
    assert "D (rank 4, 50.0% of what is held: not listed any more)" in told.description
    assert "accept_change: true" in told.description
    assert checked(found({"D": None}, last))["waiting"].passed, "neither held nor large"


def test_three_names_of_few_wait_and_more_than_that_are_refused_by_weight(last):
    assert checked(found({"A": None, "B": None, "C": None}, last))["departures"].passed
    gone = dict.fromkeys("ABCD")
    refused = checked(found(gone, last))
    assert not refused["departures"].passed
    assert "4 names (80.0 % of the last universe, 85.7 % of its market cap" in refused["departures"].description
    assert refused["waiting"].passed, "told once"
    accepted = checked(found(gone, last), accept_change=True)["departures"]
    assert accepted.passed
    assert "accepted for this run by accept_change" in accepted.description
