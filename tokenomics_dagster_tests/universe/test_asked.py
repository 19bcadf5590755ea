"""Whom a small universe asks: the most traded, until a larger one is unlikely; what a person has named; the starter."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.sandbox.replay import replay
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.settings.universe import UniverseSettings
from tokenomics_dagster.universe.asked import by_traded_value, most_traded, passed_over, rules_of
from tokenomics_dagster.universe.schema import Universe, UniverseDetails
from tokenomics_dagster.universe.selection import names_to_ask, select
from tokenomics_dagster_tests import reading
from tokenomics_dagster_tests.automation.conftest import save_sweep
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.universe.test_selection import EMPTY, profile

PROFILE = "GET /api/v1/stock/profile2"


def of(rows: list[dict[str, Any]], seen: list[str], **rules: Any) -> list[str]:
    """Whom to ask next: of those not `seen` only price and traded value are known."""
    known = [row if row["symbol"] in seen else row | EMPTY | {"fresh": False} for row in rows]
    return most_traded(pd.DataFrame(known), seen, UniverseSettings(**{"size": 2, "turnover_factor": 2.0} | rules))


def traded(symbol: str, cap: float, value: float) -> dict[str, Any]:
    return profile(symbol, cap, traded_value_musd=value)


def test_the_most_traded_are_asked_first_as_many_as_are_lacking():
    rows = [traded("A", 1000, 1), traded("B", 10, 9), traded("C", 10, 5), traded("D", 10, 7)]
    assert of(rows, []) == ["B", "D"]
    assert of(rows, ["B"]) == ["D"]
    empty = [row | (EMPTY if row["symbol"] == "B" else {}) for row in rows]
    assert of(empty, ["B", "D"]) == ["C"], "who has no profile is no stock of the universe"


def test_a_name_is_asked_for_while_it_could_turn_over_the_factor_th_part_of_what_the_largest_do():
    # The largest turn over 1 %, so 100 million of market cap are 1 million traded, or half of that by the factor of 2.
    rows = [traded("A", 200, 2), traded("B", 100, 1), traded("C", 1, 0.51), traded("D", 1, 0.49)]
    assert of(rows, ["A", "B"]) == ["C"]
    assert of(rows, ["A", "B", "C"]) == []
    assert of(rows, ["A", "B"], turnover_factor=1.0) == []


def test_what_one_feed_sees_of_all_trades_does_not_matter():
    rows = [traded("A", 200, 2), traded("B", 100, 1), traded("C", 1, 0.51), traded("D", 1, 0.49)]
    thin = [row | {"traded_value_musd": row["traded_value_musd"] / 40} for row in rows]
    assert of(thin, ["A", "B"]) == of(rows, ["A", "B"])


def test_who_is_not_traded_or_has_no_price_is_never_asked_and_told():
    rows = [traded("A", 200, 2), traded("B", 100, 0), traded("C", 100, float("nan"))]
    rows += [traded("D", 100, 5) | {"price": float("nan")}]
    assert of(rows, ["A"]) == []
    told = passed_over(pd.DataFrame(rows), ["A", "D"], UniverseSettings(size=2))
    assert told == {
        "B": "not asked for: traded for 0.0 million USD, too little to be among the 2 largest",
        "C": "not asked for: the broker tells no traded value",
    }


def test_all_are_asked_for_a_large_universe_and_the_named_ones_for_themselves():
    assert not by_traded_value(UniverseSettings(size=501))
    assert by_traded_value(UniverseSettings(size=500))
    assert not by_traded_value(UniverseSettings(size=500, most_traded_up_to=0))
    growing = UniverseSettings(size=1500, starter_size=50, most_traded_up_to=0)
    assert by_traded_value(rules_of(growing, is_first=True))
    assert not by_traded_value(rules_of(growing))
    named = UniverseSettings(symbols=("AAPL", "MSFT"), starter_size=1)
    assert not by_traded_value(rules_of(named, is_first=True))
    assert rules_of(named).size == 2


@pytest.mark.parametrize(
    ("size", "factor", "asked", "found"),
    [
        (50, 1.5, 144, 45),
        (100, 1.0, 171, 87),
        (100, 1.5, 254, 90),
        pytest.param(100, 3.0, 443, 92, marks=pytest.mark.soak),
        pytest.param(500, 1.5, 709, 488, marks=pytest.mark.soak),
    ],
)  # fmt: skip
def test_of_the_recorded_market_s_largest_as_many_are_found_as_the_rule_says(size, factor, asked, found):
    if not reading.MARKET.is_dir():
        pytest.skip(reading.WHY_SKIPPED)
    stocks = [one for one in replay(reading.MARKET).instruments.values() if one.type == "Common Stock"]
    rows = [
        profile(one.symbol, 1.0, market_cap_musd=one.profile["marketCapitalization"], name=one.issuer)
        | {"shares_outstanding_m": one.profile["shareOutstanding"], "price": float(one.price)}
        | {"currency": one.profile["currency"], "traded_value_musd": float(one.price) * one.volume / 1e6}
        for one in stocks
        if one.mic in ("XNYS", "XNAS")
    ]
    rules = UniverseSettings(size=size, turnover_factor=factor)
    whole = pd.DataFrame(rows)
    truth = set(select(whole, rules)[0]["symbol"])
    seen: list[str] = []
    while True:
        known = whole["symbol"].isin(seen)
        blank = whole.assign(fresh=known)
        for column in EMPTY:
            blank[column] = blank[column].where(known)
        assert not seen or names_to_ask(blank[known], rules) == []
        coming = most_traded(blank, seen, rules)
        if not coming:
            break
        seen += coming
    assert (len(seen), len(truth & set(select(whole[whole["symbol"].isin(seen)], rules)[0]["symbol"]))) == (
        asked,
        found,
    )


def test_symbols_are_tickers_each_named_once(tmp_path):
    for symbols, why in (
        (["AAPL", "aapl"], r"universe.symbols.1 = 'aapl' is not allowed: must be in capitals: AAPL"),
        (["AAPL", "7-11"], r"universe.symbols.1 = '7-11' is not allowed: must match the pattern \^\[A-Z\]"),
        (["A", "A"], "must name each stock once, and names A more often"),
    ):
        file = tmp_path / "settings.yaml"
        file.write_text(f"universe: {{symbols: {symbols}}}\n")
        with pytest.raises(SettingsError, match=why):
            load_settings(file)


def newest(platform: Platform) -> tuple[pd.DataFrame, UniverseDetails]:
    found = platform.store.load_stored("universe", Universe, UniverseDetails)
    assert found is not None
    return found.frame, found.details


@pytest.mark.soak
def test_a_starter_universe_asks_for_few_and_the_next_refresh_makes_the_whole_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.must_run("universe_refresh")
    whole, all_of_them = newest(platform)[0], newest(platform)[1].asked
    platform.store.close()
    del platform.store
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{platform.folder}/anew.db")
    platform.configure(universe__starter_size=20)
    platform.must_run("universe_refresh")
    starter, details = newest(platform)
    assert (len(starter), details.is_starter) == (20, True)
    assert details.asked < 0.6 * all_of_them
    assert len(set(starter["symbol"]) & set(whole["symbol"].head(20))) >= 15
    reasons = [why for why in details.dropped.values() if why.startswith("not asked for: traded for")]
    assert len(reasons) == details.candidates - details.asked - sum(
        why.startswith("not asked for: the broker") for why in details.dropped.values()
    )
    platform.must_run("universe_refresh")
    grown, details = newest(platform)
    assert not details.is_starter
    assert list(grown["symbol"]) == list(whole["symbol"])
    assert details.asked < all_of_them, "what was asked for in the starter universe is known"
    platform.must_run("universe_refresh")
    assert len(newest(platform)[0]) == 60, "it stays whole"


@pytest.mark.soak
def test_a_small_universe_asks_for_the_most_traded_and_never_loses_a_name_because_it_is_traded_little(
    platform: Platform,
) -> None:
    platform.configure(universe__size=20, universe__most_traded_up_to=20)
    platform.must_run("universe_refresh")
    first, details = newest(platform)
    assert len(first) == 20
    assert details.asked < 0.7 * details.candidates
    # A month later every share count is asked for again, and the least traded of them are still among them.
    platform.configure(universe__profile_max_age_days=0.0, universe__share_count_max_age_days=0.001)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-21T14:30:00Z"})
    platform.must_run("universe_refresh")
    later, details = newest(platform)
    left = set(first["symbol"]) - set(later["symbol"])
    assert {details.dropped[symbol] for symbol in left} <= {"below the 20 largest by market cap"}
    assert later["market_cap_musd"].min() >= first["market_cap_musd"].min()


@pytest.mark.soak
def test_exactly_the_named_stocks_are_followed_and_the_doubtful_ones_told(platform: Platform) -> None:
    platform.must_run("universe_refresh")
    whole = list(newest(platform)[0]["symbol"])
    named = [whole[3], whole[50], whole[10], whole[20], "NOSUCH"]
    platform.configure(universe__symbols=named)
    refused = platform.run("universe_refresh")
    assert "60 stocks, " in failure_of(refused) or "4 stocks, " in failure_of(refused), "a smaller one must be meant"
    before = platform.calls(PROFILE)
    run = platform.run("universe_refresh", run_config={"ops": {"universe": {"config": {"accept_change": True}}}})
    assert run.success, failure_of(run)
    frame, details = newest(platform)
    assert list(frame["symbol"]) == [whole[3], whole[10], whole[20], whole[50]]
    assert platform.calls(PROFILE) == before, "what was asked for of late is known"
    assert details.dropped[whole[0]] == "not named in universe.symbols"
    told = {
        one.check_name: one for one in run.get_asset_check_evaluations() if one.asset_key == dg.AssetKey("universe")
    }
    assert not told["listed"].passed
    assert "1 of the 5 stocks of universe.symbols are in doubt: NOSUCH: not listed" in str(told["listed"].description)
    platform.must_run("fundamentals_refresh")


def test_a_list_without_any_stock_is_one_sentence(platform: Platform) -> None:
    platform.configure(universe__symbols=["NOSUCH"])
    said = failure_of(platform.run("universe_refresh"))
    assert "none of universe.symbols (NOSUCH) is a Common Stock on NYSE or NASDAQ: correct it" in said


@pytest.mark.soak
def test_a_starter_universe_grows_by_the_next_night_and_its_financials_follow(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    platform.configure(universe__starter_size=20)
    folder = str(tmp_path_factory.mktemp("instance"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as on_disk:

        def looked() -> tuple[bool, bool]:
            """Whether the schedule would start a refresh, and the sensor a sweep."""
            made = build_defs(load_settings())
            repository = made.get_repository_def()
            with (
                dg.build_schedule_context(on_disk, resources=made.resources, repository_def=repository) as tick,
                dg.build_sensor_context(on_disk, resources=made.resources, repository_def=repository) as look,
            ):
                grows = made.resolve_schedule_def("universe_growth").evaluate_tick(tick)
                sweeps = made.resolve_sensor_def("financials_follow_growth").evaluate_tick(look)
            return bool(grows.run_requests), bool(sweeps.run_requests)

        assert looked() == (False, False), "there is no universe yet"
        platform.must_run("universe_refresh")
        assert looked() == (True, False)
        platform.must_run("universe_refresh")
        assert looked() == (False, True)
        with platform.broker() as broker:
            save_sweep(platform.store, broker.now() + timedelta(seconds=1))
        assert looked() == (False, False)
    platform.configure(universe__starter_size=0)
    made = build_defs(load_settings()).get_repository_def()
    assert "universe_growth" not in [one.name for one in made.schedule_defs]
    assert "financials_follow_growth" not in [one.name for one in made.sensor_defs]
