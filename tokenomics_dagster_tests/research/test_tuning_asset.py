"""The asset `tuning`: one partition per experiment with a search, judged before it is stored, every trial kept."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.research.tuning_assets import tunable_names
from tokenomics_dagster.research.tuning_tables import Tuning, TuningDetails
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.research.tunable import EXPERIMENT, written

pytestmark = pytest.mark.usefixtures("as_python")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    monkeypatch.setattr("tokenomics_dagster.research.record.cores", lambda: 1)
    (tmp_path / "experiments").mkdir()
    written(tmp_path / "experiments")
    (tmp_path / "experiments/plain.yaml").write_text(EXPERIMENT.partition("search:")[0])
    return tmp_path


def run(folder: Path, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    settings = load_settings(overrides={"research.experiments": str(folder / "experiments")})
    job = build_defs(settings).resolve_job_def("tunings")
    quiet = {"console": {"config": {"log_level": "CRITICAL"}}}
    return job.execute_in_process(
        instance=instance,
        partition_key="tunable",
        raise_on_error=False,
        run_config={"ops": {"tuning": {"config": config}}, "loggers": quiet},
    )


def test_each_experiment_with_a_search_is_a_partition(folder: Path):
    settings = load_settings(overrides={"research.experiments": str(folder / "experiments")})
    assert tunable_names(settings) == ["tunable"]


@pytest.mark.soak
def test_a_tuning_is_judged_and_stored_with_every_trial(folder: Path, instance: dg.DagsterInstance):
    done = run(folder, instance, seed=5)
    assert done.success
    found = {one.check_name: one.passed for one in done.get_asset_check_evaluations()}
    assert found == {"schema": True, "apart": True, "helped": False, "not_overfitted": found["not_overfitted"]}
    store = Warehouse(f"sqlite:///{folder}/warehouse.db")
    stored = store.load_stored("tuning", Tuning, TuningDetails, partition="tunable")
    store.close()
    assert stored is not None
    assert stored.run_id == done.run_id
    assert (stored.details.seed, stored.details.helped) == (5, False)
    band = "rebalancing.rebalance_threshold_pct"
    assert [json.loads(one) for one in stored.frame["setting"]] == [{}, {band: 5}, {band: 10}, {band: 40}]
    assert all(len(json.loads(one)) == len(stored.details.sessions) for one in stored.frame["returns"])
    shown = done.asset_materializations_for_node("tuning")[0].metadata
    assert "Tuning did not help" in str(shown["what came of it"].value)


def test_what_cannot_be_tuned_fails_with_its_sentence_and_stores_nothing(folder: Path, instance: dg.DagsterInstance):
    file = folder / "experiments/tunable.yaml"
    file.write_text(EXPERIMENT.replace("rebalancing.rebalance_threshold_pct: [5, 10, 40]", "fill: [close, next_close]"))
    done = run(folder, instance)
    assert not done.success
    (failure,) = [one for one in done.all_events if one.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    assert "a fill is an assumption about the market, and no choice" in str(error.cause or error)
    assert not done.asset_materializations_for_node("tuning")
