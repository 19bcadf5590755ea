"""The asset `backtest`: a partition for each file, stored with all of its result, and no part of the weekly cycle."""

from pathlib import Path

import dagster as dg
import numba
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.research import engine
from tokenomics_dagster.research.assets import experiment_names, experiments_folder
from tokenomics_dagster.research.tables import Backtest, BacktestDetails
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.research.files import market, write

EXPERIMENT = """
data: {prices: prices.parquet}
strategy: equal_weight
universe_size: 8
top_n: 4
fill: next_close
"""


@pytest.fixture
def experiments(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one experiment that can be run and one that cannot, named in the platform's settings."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    monkeypatch.setattr(engine, "_loops", engine._loops.__wrapped__)
    folder = platform.folder / "experiments"
    folder.mkdir()
    write(market(tuple(f"N{letter}" for letter in "ABCDEFGHIJ"), sessions=60), folder)
    (folder / "mine.yaml").write_text(EXPERIMENT)
    (folder / "wrong.yaml").write_text(EXPERIMENT.replace("top_n", "topn"))
    platform.configure(research__experiments=str(folder))
    return folder


def run(platform: Platform, partition: str) -> dg.ExecuteInProcessResult:
    made = build_defs(load_settings(), read=load_settings)
    return made.resolve_job_def("backtests").execute_in_process(
        instance=platform.instance,
        partition_key=partition,
        run_config={"ops": {"backtest": {"config": {"portfolios": 20}}}},
        raise_on_error=False,
    )


def test_each_file_of_the_folder_is_a_partition(platform: Platform, experiments: Path) -> None:
    made = build_defs(load_settings()).resolve_assets_def("backtest")
    assert made.partitions_def == dg.StaticPartitionsDefinition(["mine", "wrong"])
    (experiments / "later.yaml").write_text(EXPERIMENT)
    assert experiment_names(load_settings()) == ["later", "mine", "wrong"]


def test_where_this_folder_has_no_experiments_those_of_the_checkout_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(REPOSITORY / "config/settings.yaml")
    assert experiments_folder(settings) == REPOSITORY / "config/experiments"
    assert "plain_equal" in experiment_names(settings)


def test_a_backtest_is_stored_with_its_rows_and_its_whole_result(platform: Platform, experiments: Path) -> None:
    for _ in range(2):
        assert run(platform, "mine").success
    history = platform.store.history("backtest", partition="mine")
    assert len(history) == 2, "nothing is written over"
    details = history[0].details_as(BacktestDetails)
    assert details.rules_hash == history[1].details_as(BacktestDetails).rules_hash
    assert details.experiment == "mine"
    assert details.evidence.keys() >= {"sure", "controls", "sensitivity", "beside", "final_equity"}
    rows = platform.store.load_snapshot("backtest", Backtest, partition="mine")
    assert rows is not None
    assert len(rows) == 60
    assert rows["equity"].iloc[-1] == details.evidence["final_equity"]
    event = platform.instance.get_latest_materialization_event(dg.AssetKey("backtest"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert {"hit_rate", "max_drawdown", "total_return", "final_equity_usd"} <= metadata.keys()
    pictures = {key for key, value in metadata.items() if str(value.value).startswith("![")}
    assert pictures == {"picture", "equity_curves", "underwater"}
    assert next(iter(metadata)) == "picture"
    assert "| hit_rate | " in str(metadata["figures"].value)


def test_what_warns_is_told_and_the_backtest_is_stored_all_the_same(platform: Platform, experiments: Path) -> None:
    done = run(platform, "mine")
    found = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert {name for name, one in found.items() if not one.passed} == {"long_enough", "skill"}
    assert all(found[name].severity == dg.AssetCheckSeverity.WARN for name in ("long_enough", "skill"))


def test_an_experiment_that_is_wrong_fails_with_its_file_and_key(platform: Platform, experiments: Path) -> None:
    done = run(platform, "wrong")
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    assert "wrong.yaml" in str(failure.event_specific_data)
    assert "topn" in str(failure.event_specific_data)
    assert platform.store.history("backtest", partition="wrong") == []


def test_it_is_made_by_hand_alone_and_never_overdue(platform: Platform) -> None:
    made = build_defs(load_settings())
    [spec] = [one for one in made.resolve_all_asset_specs() if one.key.to_user_string() == "backtest"]
    assert spec.freshness_policy is None
    repository = made.get_repository_def()
    assert "backtests" not in {schedule.job_name for schedule in repository.schedule_defs}
