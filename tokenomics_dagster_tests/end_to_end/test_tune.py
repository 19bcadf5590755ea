"""`tokenomics tune`: what a person sees, what is kept, and how it refuses."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY, SHARED
from tokenomics_dagster_tests.research.conftest import as_python  # noqa: F401
from tokenomics_dagster_tests.research.tunable import EXPERIMENT, written

BAND = "rebalancing.rebalance_threshold_pct"
pytestmark = pytest.mark.usefixtures("as_python")


@pytest.mark.soak
def test_what_came_of_it_is_said_and_all_trials_are_kept(command: Callable[..., Any], tmp_path: Path):
    file, result = written(tmp_path), tmp_path / "out.json"
    done = command("tune", file, "--processes", 1, "--json", result)
    assert done.code == 0, done.err
    document = json.loads(result.read_text(), parse_constant=pytest.fail)
    assert document["helped"] is False
    assert document["sentences"][0].startswith("Tuning did not help")
    for sentence in document["sentences"]:
        assert sentence in done.out
    assert len(document["folds"]) == 2
    assert document["folds"][0]["purged_sessions"] == 11
    assert [one["setting"] for one in document["tried"]] == [{}, *({BAND: float(n)} for n in (5, 10, 40))]
    assert {len(one["returns"]) for one in document["tried"]} == {len(document["sessions"])}
    assert "all 4 settings that were tried are kept as snapshot 1 in " in done.out

    again = command("tune", file, "--processes", 1, "--json", tmp_path / "again.json")
    assert again.code == 0
    assert (tmp_path / "again.json").read_bytes() == result.read_bytes()
    with sqlite3.connect(tmp_path / ".tokenomics/warehouse.db") as database:
        snapshots = database.execute("select asset, partition, row_count from snapshots").fetchall()
        rows = database.execute(
            "select setting, returns from tuning where snapshot_id = 1 order by position"
        ).fetchall()
    assert snapshots == [("tuning", "tunable", 4)] * 2
    assert [json.loads(setting) for setting, _ in rows] == [one["setting"] for one in document["tried"]]
    assert [json.loads(returns) for _, returns in rows] == [one["returns"] for one in document["tried"]]


def test_a_record_that_is_too_short_is_refused_with_the_number_needed(command: Callable[..., Any], tmp_path: Path):
    done = command("tune", written(tmp_path, sessions=500), "--processes", 1)
    assert done.code == 1
    assert "are too few to tune by: 105 are needed at this cadence" in done.err
    assert not (tmp_path / ".tokenomics").exists()


def test_the_recorded_fundamentals_are_refused_for_their_14_decisions(command: Callable[..., Any], tmp_path: Path):
    if not (SHARED / "data/history-2021-2026").is_dir():
        pytest.skip("the recorded history is not beside this repository")
    shipped = REPOSITORY / "config/experiments/fundamentals_point_in_time.yaml"
    document = yaml.safe_load(shipped.read_text())
    for kind, path in document["data"].items():
        document["data"][kind] = str((shipped.parent / path).resolve())
    (tmp_path / "one.yaml").write_text(
        yaml.safe_dump(document | {"search": {"top_n": [20, 200]}}, default_flow_style=False)
    )
    done = command("tune", tmp_path / "one.yaml", "--processes", 1)
    assert done.code == 1
    assert "14 decisions are too few to tune by: 104 are needed" in done.err


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ("", "it names nothing to be tuned"),
        ("search: {costs.half_spread_bps: [0, 5]}\n", "what trading costs is a fact, and no choice"),
        ("search: {top: [1, 2]}\n", "top cannot be tuned. Known here: strategy, universe_size"),
    ],
)
def test_a_search_that_cannot_be_used_is_one_sentence(
    command: Callable[..., Any], tmp_path: Path, search: str, told: str
):
    file = tmp_path / "one.yaml"
    file.write_text(EXPERIMENT.partition("search:")[0] + search)
    done = command("tune", file)
    assert (done.code, done.out) == (1, "")
    assert told in done.err


WRONG = ((), ("one.yaml", "--trials", 1), ("one.yaml", "--seed", -1), ("one.yaml", "--processes", 0))


@pytest.mark.parametrize("options", WRONG)
def test_wrong_usage_is_told_from_failure(command: Callable[..., Any], options: tuple[Any, ...]):
    assert command("tune", *options).code == 2


def test_a_result_that_cannot_be_written_is_not_computed(command: Callable[..., Any], tmp_path: Path):
    done = command("tune", written(tmp_path), "--json", tmp_path / "nowhere/out.json")
    assert done.code == 1
    assert "nothing was run" in done.err
