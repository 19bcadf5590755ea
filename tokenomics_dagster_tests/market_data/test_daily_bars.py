"""Daily bars on the sandbox: what comes is in the lake, whatever ends a run, and its checks fail when it is wrong."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.market_data.schema import DailyBars, DailyBarsDetails
from tokenomics_dagster.model.calendar import session_days
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.lake import Lake
from tokenomics_dagster.storage.records import Stored
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.rewriting import Answer, Proxy

FIRST, FRIDAY = date(2026, 8, 3), date(2026, 8, 21)
SESSIONS = list(session_days(FIRST, FRIDAY))
REFRESH = "daily_bars_refresh"
ENDPOINT = "GET /v2/stocks/bars"


@pytest.fixture
def followed(platform: Platform) -> Platform:
    """A platform with a universe, whose bars begin three weeks ago."""
    platform.configure(market_data__bars_from=FIRST.isoformat(), alpaca__max_attempts=1, alpaca__symbols_per_call=25)
    platform.must_run("universe_refresh")
    return platform


def lake_of(platform: Platform) -> Lake:
    return Lake(platform.folder / "lake")


def stored(platform: Platform) -> Stored[DailyBarsDetails]:
    found = platform.store.load_stored("daily_bars", DailyBars, DailyBarsDetails)
    assert found is not None
    return found


def found_by(run: dg.ExecuteInProcessResult) -> Mapping[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in run.get_asset_check_evaluations()}


def to(platform: Platform, instant: str) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": instant})


def test_the_bars_of_the_universe_are_in_the_lake_as_the_market_tells_them(followed: Platform) -> None:
    run = followed.run(REFRESH)
    assert run.success, failure_of(run)
    assert {name: one.passed for name, one in found_by(run).items()} == dict.fromkeys(
        ("schema", "sessions", "names", "consistent", "recorded"), True
    )
    lake, universe = lake_of(followed), set(followed.store.newest_values("universe", "symbol", "price"))
    assert lake.known().keys() == universe
    assert lake.sessions() == SESSIONS
    symbol = min(universe)
    [told] = followed.broker().daily_bars([symbol], FRIDAY, FRIDAY)[symbol]
    [row] = lake.bars(FRIDAY, symbols=[symbol]).to_pylist()
    assert {name: row[name] for name in ("open", "high", "low", "close", "volume")} == {
        name: float(getattr(told, name)) for name in ("open", "high", "low", "close", "volume")
    }
    made = stored(followed)
    assert (made.details.last_session, made.details.feed, made.details.new) == ("2026-08-21", "iex", 60 * len(SESSIONS))
    assert list(made.frame["session"]) == [day.isoformat() for day in SESSIONS]
    assert set(made.frame["names"]) == set(made.frame["bars"]) == {60}


def test_the_next_run_asks_for_the_last_sessions_only(followed: Platform) -> None:
    followed.must_run(REFRESH)
    to(followed, "2026-08-25T21:00:00Z")
    followed.must_run(REFRESH)
    made = stored(followed)
    assert made.frame["session"].iloc[0] == "2026-08-17"
    assert (made.details.last_session, made.details.new, made.details.corrected) == ("2026-08-25", 120, [])
    assert lake_of(followed).sessions() == [*SESSIONS, date(2026, 8, 24), date(2026, 8, 25)]


@pytest.mark.soak
def test_what_came_before_a_failure_is_kept_and_the_next_run_asks_only_for_the_rest(
    followed: Platform, proxy: Proxy
) -> None:
    proxy.before(ENDPOINT, lambda answer: answer.become(500, {"message": "internal"}), calls=[2])
    run = followed.run(REFRESH)
    assert not run.success
    kept = lake_of(followed).known()
    assert len(kept) == 25
    assert followed.store.history("daily_bars") == []
    followed.must_run(REFRESH)
    assert stored(followed).details.new == 35 * len(SESSIONS)
    assert len(lake_of(followed).known()) == 60


RUN = """
import dagster as dg
from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.settings.loading import load_settings
with dg.DagsterInstance.ephemeral() as instance:
    build_defs(load_settings()).resolve_job_def("daily_bars_refresh").execute_in_process(instance=instance)
"""


@pytest.mark.soak
@pytest.mark.parametrize("names", [1, 20, 59])
def test_a_run_that_is_killed_goes_on_where_it_was(followed: Platform, names: int) -> None:
    followed.configure(alpaca__symbols_per_call=1)
    lake = lake_of(followed)
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=followed.folder, stderr=subprocess.DEVNULL) as running:
        while len(lake.known()) < names:
            assert running.poll() is None
            time.sleep(0.005)
        running.kill()
    assert running.returncode == -signal.SIGKILL
    kept = sum(there.sessions for there in lake.known().values())
    followed.must_run(REFRESH)
    assert stored(followed).details.new == 60 * len(SESSIONS) - kept
    assert {there.sessions for there in lake.known().values()} == {len(SESSIONS)}


@pytest.mark.soak
def test_a_bar_that_is_told_otherwise_later_stands_beside_the_first(followed: Platform, proxy: Proxy) -> None:
    followed.must_run(REFRESH)
    symbol = min(lake_of(followed).known())
    before = followed.broker().now()
    to(followed, "2026-08-24T21:00:00Z")
    proxy.on(ENDPOINT, _changed(symbol, "2026-08-20", v=7))
    followed.must_run(REFRESH)
    assert stored(followed).details.corrected == [f"{symbol} 2026-08-20"]
    day = date(2026, 8, 20)
    [now] = lake_of(followed).bars(day, day, symbols=[symbol]).to_pylist()
    [then] = lake_of(followed).bars(day, day, symbols=[symbol], as_of=before).to_pylist()
    assert now["volume"] == 7
    assert then["volume"] > 7


@pytest.mark.soak
def test_a_bar_that_contradicts_itself_stays_out_of_the_lake_and_is_named(followed: Platform, proxy: Proxy) -> None:
    symbol = min(followed.store.newest_values("universe", "symbol", "price"))
    proxy.on(ENDPOINT, _changed(symbol, "2026-08-20", h=0.01))
    run = followed.run(REFRESH)
    assert run.success
    finding = found_by(run)["consistent"]
    assert not finding.passed
    assert f"first {symbol} 2026-08-20: open of" in str(finding.description)
    day = date(2026, 8, 20)
    assert lake_of(followed).bars(day, day, symbols=[symbol]).num_rows == 0
    assert list(stored(followed).details.refused) == [f"{symbol} 2026-08-20"]
    assert sum(stored(followed).frame["refused"]) == 1


def test_a_session_without_bars_and_one_that_lacks_a_quarter_of_the_names_are_told(
    followed: Platform, proxy: Proxy
) -> None:
    names = sorted(followed.store.newest_values("universe", "symbol", "price"))

    def lacking(answer: Answer) -> None:
        body = answer.json
        for symbol, rows in body["bars"].items():
            gone = {"2026-08-12"} | ({"2026-08-19"} if symbol in names[:16] else set())
            body["bars"][symbol] = [row for row in rows if row["t"][:10] not in gone]

    proxy.on(ENDPOINT, lacking)
    run = followed.run(REFRESH)
    assert run.success
    found = found_by(run)
    assert not found["sessions"].passed
    assert "1 session of the calendar have no bar, first 2026-08-12" in str(found["sessions"].description)
    assert not found["names"].passed
    assert found["consistent"].passed


def test_a_quarter_of_the_names_may_lack_a_bar(followed: Platform, proxy: Proxy) -> None:
    names = sorted(followed.store.newest_values("universe", "symbol", "price"))

    def lacking(answer: Answer) -> None:
        body = answer.json
        for symbol, rows in body["bars"].items():
            body["bars"][symbol] = [row for row in rows if row["t"][:10] != "2026-08-19" or symbol not in names[:15]]

    proxy.on(ENDPOINT, lacking)
    found = found_by(followed.run(REFRESH))
    assert found["names"].passed
    assert "of 2026-08-19 15 of 60 names lack a bar (25.0 %)" in str(found["names"].description)


@pytest.mark.soak
def test_since_asks_again_and_fills_a_gap(followed: Platform, proxy: Proxy) -> None:
    def lacking(answer: Answer) -> None:
        body = answer.json
        for symbol, rows in body["bars"].items():
            body["bars"][symbol] = [row for row in rows if row["t"][:10] != "2026-08-05"]

    proxy.on(ENDPOINT, lacking)
    followed.must_run(REFRESH)
    proxy.clear()
    followed.must_run(REFRESH)
    assert date(2026, 8, 5) not in lake_of(followed).sessions()
    config = {"ops": {"daily_bars": {"config": {"since": "2026-08-05"}}}}
    run = followed.run(REFRESH, run_config=config)
    assert found_by(run)["sessions"].passed
    assert stored(followed).details.new == 60


def test_a_since_that_is_no_day_is_a_sentence(followed: Platform) -> None:
    run = followed.run(REFRESH, run_config={"ops": {"daily_bars": {"config": {"since": "August"}}}})
    assert "since = August is no day: write YYYY-MM-DD" in failure_of(run)


def test_without_a_universe_or_pyarrow_a_run_says_what_is_missing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "universe_refresh comes first" in failure_of(platform.run(REFRESH))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'tokenomics-dagster[research]'" in failure_of(platform.run(REFRESH))


@pytest.mark.soak
def test_the_prices_of_a_plan_are_compared_with_the_bars_of_its_session(followed: Platform, proxy: Proxy) -> None:
    followed.must_run("fundamentals_refresh", "score")
    followed.must_run("rebalance", week="2026-08-24")
    to(followed, "2026-08-24T21:00:00Z")
    finding = found_by(followed.run(REFRESH))["recorded"]
    assert finding.passed
    planned = followed.store.newest_values("trade_plan", "symbol", "price")
    assert finding.metadata["prices"].value == len(planned) >= 20
    assert finding.metadata["without_bar"].value == 0

    symbol = min(planned)
    recorded = float(planned[symbol])
    other = {key: round(recorded * 1.02, 4) for key in "ohlc"}
    proxy.on(ENDPOINT, _changed(symbol, "2026-08-24", **other))
    to(followed, "2026-08-25T21:00:00Z")
    finding = found_by(followed.run(REFRESH))["recorded"]
    assert not finding.passed
    assert finding.severity == dg.AssetCheckSeverity.WARN
    assert f"{symbol} on 2026-08-24: recorded {recorded:g}, its bar is {other['l']:g} to {other['h']:g}" in str(
        finding.description
    )


@pytest.mark.soak
def test_the_schedule_starts_a_run_after_each_session_and_says_why_it_does_not(
    followed: Platform, tick: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tick() == "run"
    followed.must_run(REFRESH)
    assert tick().startswith("the bars of 2026-08-21 were asked for at ")
    to(followed, "2026-08-24T22:30:00Z")
    assert tick() == "run"
    (followed.folder / "file").write_text("")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TOKENOMICS_LAKE", str(followed.folder / "file"))
        assert tick().endswith("cannot be written: name a folder in TOKENOMICS_LAKE")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        assert "tokenomics-dagster[research]" in tick()


def test_the_schedule_waits_for_a_universe(tick: Callable[[], str]) -> None:
    assert tick() == "there is no universe yet: universe_refresh comes first"


@pytest.fixture
def tick(platform: Platform, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What the schedule says: "run", or why not. Schedules need an instance that lies on a disk."""
    folder = tmp_path / "instance"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}}) as instance:

        def ticked() -> str:
            made = build_defs(load_settings())
            with dg.build_schedule_context(
                instance=instance, resources=made.resources, repository_def=made.get_repository_def()
            ) as context:
                data = made.resolve_schedule_def("daily_bars").evaluate_tick(context)
            return "run" if data.run_requests else str(data.skip_message)

        yield ticked


def _changed(symbol: str, day: str, **values: float) -> Callable[[Answer], None]:
    """Lets the bar of a symbol and a session have other values."""

    def change(answer: Answer) -> None:
        for row in answer.json["bars"].get(symbol, ()):
            if row["t"].startswith(day):
                row.update(values)

    return change
