"""The bench itself: that it measures, that it compares like with like, and that its exit code is its verdict."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from tokenomics_dagster.kit.dagster_internals import tables
from tokenomics_dagster_tests.automation.test_retention import History
from tokenomics_dagster_tests.bench import evidence, measurements, script, store
from tokenomics_dagster_tests.bench.__main__ import main
from tokenomics_dagster_tests.bench.measurements import WEEK, BenchError, Ratio
from tokenomics_dagster_tests.browser import chromium
from tokenomics_dagster_tests.conftest import REPOSITORY


def part(*values: float, limit: float = 2.0, at_least: bool = False):
    return lambda quick: iter([Ratio("measured", values, limit, "behind", at_least)])


@pytest.mark.soak
def test_the_command_measures_and_shows_a_ratio_with_its_limit():
    command = [sys.executable, "-m", "tokenomics_dagster_tests.bench", "--quick", "--only", "pacing"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = {line[:20].strip(): line.split() for line in run.stdout.splitlines()}
    assert "1.05" in rows["pacing at 15/s"]


@pytest.mark.soak
def test_the_platform_and_the_script_do_the_same():
    assert [ratio.limit for ratio in measurements.cycle(True)] == [2.0]


@pytest.mark.soak
def test_backtests_are_compared_with_a_plain_loop_and_two_peers_on_every_session():
    if not evidence.PEERS.exists():
        pytest.skip("vectorbt and bt are not installed: make bench")
    ratios = {ratio.name: ratio for ratio in evidence.evidence(True)}
    assert "plain mode / plain numpy loop" in ratios
    assert all(ratio.holds for name, ratio in ratios.items() if name.startswith("recorded"))


def test_an_engine_that_ends_elsewhere_is_not_compared(monkeypatch):
    simulate = evidence.simulate
    monkeypatch.setattr(
        evidence, "simulate", lambda *given: replace(simulate(*given), equity=simulate(*given).equity * (1 + 2e-6))
    )
    with pytest.raises(BenchError, match="plain mode: equity differs by 2e-06"):
        list(evidence._one_run(evidence.dense(30, 120), quick=True))


def test_equal_values_are_checked_and_speed_is_shown_as_a_factor_over_the_peer():
    ratios = list(measurements.speed(True))
    assert [ratio.limit for ratio in ratios] == [10, 10, 10]
    assert all(ratio.at_least and min(ratio.values) > 1 for ratio in ratios)


@pytest.mark.soak
def test_a_script_that_ends_with_another_portfolio_is_not_compared(monkeypatch):
    monkeypatch.setattr(script, "run_cycle", lambda *_, **__: {"AAPL": 1.0})
    with pytest.raises(BenchError, match="different portfolios"):
        measurements._cycle_pair(300, 30, None, platform_first=False)


@pytest.mark.parametrize(
    ("made", "code", "verdict"),
    [
        (part(2.0), 0, "ok"),
        (part(9.0, 1.0, 1.5), 0, "ok"),
        (part(2.01), 1, "over"),
        (part(10.0, limit=10.0, at_least=True), 0, "ok"),
        (part(9.9, limit=10.0, at_least=True), 1, "over"),
    ],
)
def test_the_median_against_the_limit_decides(monkeypatch, capsys, made, code, verdict):
    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.PARTS", {"one": made})
    assert main([]) == code
    assert verdict in capsys.readouterr().out


def test_what_cannot_be_compared_ends_the_bench_with_one(monkeypatch, capsys):
    def unequal(quick: bool):
        yield from part(1.0)(quick)
        raise BenchError("two sides differ")

    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.PARTS", {"one": unequal})
    assert main([]) == 1
    assert "error: two sides differ" in capsys.readouterr().out


def test_what_takes_long_is_measured_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.PARTS", {"one": part(1.0)})
    monkeypatch.setattr("tokenomics_dagster_tests.bench.__main__.LONG", {"two": part(3.0)})
    assert main([]) == 0
    assert main(["--only", "two"]) == 1
    assert "measuring two" in capsys.readouterr().out


def test_an_unknown_part_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nothing"])
    assert ended.value.code == 2
    assert "pacing" in capsys.readouterr().err


def a_week(instance: dg.DagsterInstance, folder: Path) -> store.Lived:
    """Of three jobs, as Dagster writes it."""
    history = History(instance)
    made = [("made", "financials", name) for name in ("X", "Y")]
    history.run(("planned", "financials", None), *made, ("check", "financials", None), job="fundamentals_refresh")
    tags = {"dagster/partition": WEEK}
    history.run(("planned", "orders", WEEK), ("made", "orders", WEEK), job="rebalance", tags=tags)
    history.run(("made", "whole", None), job="score")
    said = AssetCheckEvaluation(asset_key=dg.AssetKey("financials"), check_name="fine", passed=True, metadata={})
    instance.report_runless_asset_event(said)
    return store.lived(instance, folder)


@pytest.fixture
def week(tmp_path: Path) -> Iterator[store.Lived]:
    home = tmp_path / "lived"
    home.mkdir()
    (home / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield a_week(instance, tmp_path)


def test_a_store_of_years_is_what_dagster_would_have_written(
    week: store.Lived, stored_instance: dg.DagsterInstance
) -> None:
    """The generator itself asks Dagster what there is; here what no page shows at once."""
    grown = store.grow(week, stored_instance, weeks=9, symbols=5)
    assert grown.followed == ["AAAC", "AAAD", "AAAE", "AAAF", "AAAG"], "two months have passed"
    runs = stored_instance.get_run_records(dg.RunsFilter(job_name="fundamentals_refresh"))
    days = [(runs[0].create_timestamp - run.create_timestamp) / timedelta(days=1) for run in runs]
    assert days == [7 * number for number in range(9)]
    assert len({run.dagster_run.run_id for run in runs}) == 9
    oldest = runs[-1].dagster_run.run_id
    logged = stored_instance.all_logs(oldest)
    assert {event.run_id for event in logged} == {oldest}
    assert [event.timestamp for event in logged] == pytest.approx(
        [event.timestamp - 8 * 7 * 86_400 for event in stored_instance.all_logs(runs[0].dagster_run.run_id)]
    )
    made = stored_instance.all_logs(oldest, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert [event.get_dagster_event().partition for event in made] == ["AAAA", "AAAB", "AAAC", "AAAD", "AAAE"]
    events, checks = tables().events, tables().checks
    with stored_instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        judged = sa.select(events.c.dagster_event_type, events.c.run_id == checks.c.run_id)
        found = connection.execute(judged.join(checks, checks.c.evaluation_event_storage_id == events.c.id)).all()
    assert [tuple(row) for row in found] == [("ASSET_CHECK_EVALUATION", True)] * 18, "of sweeps, and outside of runs"
    event = logged[0].get_dagster_event()
    stored_instance.report_dagster_event(event, run_id=oldest)
    assert len(stored_instance.all_logs(oldest)) == len(logged) + 1, "the next event has a number of its own"


@pytest.mark.parametrize("stored_instance", ["sqlite"], indirect=True)
def test_a_store_that_holds_something_else_is_not_measured(
    week: store.Lived, stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Any = store._Target.write
    monkeypatch.setattr(store._Target, "write", lambda *given: write(*given[:-1], given[-1][1:]))
    with pytest.raises(BenchError, match="something else than it should: the newest sweep, partitions of financials"):
        store.grow(week, stored_instance, weeks=1, symbols=5)


@pytest.mark.soak
def test_a_purge_after_years_and_the_pages_before_and_after_it_are_measured() -> None:
    names = [ratio.name for ratio in store.store(True)]
    assert any(name.startswith("purge of 100,000 events") for name in names)
    assert any(name.startswith("longest wait for a purge") for name in names)
    if chromium():
        assert any(name.startswith("page of a stock's financials") for name in names)
