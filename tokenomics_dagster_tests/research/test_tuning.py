"""Tuning on records of known truth: what is there is found, what is not is not, and nothing of later is seen."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research.evaluations import evaluating
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.folds import cut
from tokenomics_dagster.research.search import space_of
from tokenomics_dagster.research.tuning import tune
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.planted import WIDE, Planted, answer, experiment, tuned


def test_a_setting_with_a_true_effect_is_found_by_every_fold(tmp_path: Path):
    found = tuned(Planted(effects={7: 6.0}), tmp_path)
    assert [dict(choice.setting) for choice in (*found.choices, found.now)] == [{"parameters.x": 7}] * 5
    assert found.tuned.sum() > found.untuned.sum()


def test_every_setting_of_a_small_space_is_tried_once_and_the_settings_as_they_are_first(tmp_path: Path):
    found = tuned(Planted(), tmp_path)
    assert [dict(trial.setting) for trial in found.trials] == [{}, *({"parameters.x": x} for x in range(20))]
    assert all(choice.tried == 20 for choice in found.choices)


def test_a_large_space_is_searched_where_it_is_good(tmp_path: Path):
    """Optuna's sampler: after its first ten guesses it looks around the best ones, here above 900."""
    market = Planted(effects=dict.fromkeys(range(900, 1001), 8.0))
    found = tuned(market, tmp_path, trials=60, **WIDE)
    tried = [trial.setting["parameters.x"] for trial in found.trials[1:]]
    assert float(found.now.setting["parameters.x"]) >= 900
    assert np.mean([float(x) >= 900 for x in tried]) > 0.2  # 0.1 by chance


def test_the_settings_as_they_are_stay_where_no_other_is_better(tmp_path: Path):
    found = tuned(Planted(effects={0: 9.0}), tmp_path)
    assert [dict(choice.setting) for choice in found.choices] == [{}] * 4
    assert found.tuned.tobytes() == found.untuned.tobytes()


def test_the_judged_account_goes_by_what_each_fold_chose_before_it(tmp_path: Path):
    market = Planted()
    found = tuned(market, tmp_path)
    for choice in found.choices:
        (own,) = [trial.returns for trial in found.trials if trial.setting == choice.setting]
        rows = slice(choice.fold.test.start - found.judged.start, choice.fold.test.stop - found.judged.start)
        assert found.tuned[rows].tobytes() == own[choice.fold.test].tobytes()
        best = max(found.trials, key=lambda trial: _sharpe(trial.returns[choice.fold.train]))
        assert best.setting == choice.setting
    assert len({str(choice.setting) for choice in found.choices}) > 1  # otherwise nothing of this was seen


def _sharpe(returns: np.ndarray) -> float:
    return float(returns.mean() / returns.std(ddof=1))


def test_no_fold_chooses_by_a_label_that_reaches_into_what_it_is_judged_by(tmp_path: Path):
    """Of one setting the sessions that are purged before each test make a fortune: no fold may have seen them."""
    market = Planted()
    folds = cut(market.decided, space_of(experiment()).walk_forward, ["weekly"], "next_open")
    leaks = [(11, fold.train.stop, fold.test.start - 1, 0.2) for fold in folds[:-1]]
    for number, fold in enumerate(folds[:-1]):
        leak = replace(market, shifts=[leaks[number], (11, fold.test.start, market.sessions - 1, 0.2)])
        plain, leaking = tuned(market, tmp_path / f"{number}a"), tuned(leak, tmp_path / f"{number}b")
        assert leaking.choices[number] == plain.choices[number]
        assert leaking.now.setting == {"parameters.x": 11}  # which has seen them
    seen = replace(market, shifts=[(11, folds[0].train.stop - 11, folds[0].train.stop - 1, 0.2)])
    assert tuned(seen, tmp_path / "seen").choices[0].setting == {"parameters.x": 11}


@pytest.mark.soak
def test_the_same_seed_gives_the_same_answer_whatever_the_number_of_processes(tmp_path: Path):
    market = Planted(effects={500: 3.0})
    one = tuned(market, tmp_path / "one", trials=24, **WIDE)
    two = tuned(market, tmp_path / "two", trials=24, processes=2, **WIDE)
    assert answer(one) == answer(two)
    assert answer(one) != answer(tuned(market, tmp_path / "other", trials=24, seed=4, **WIDE))


def test_what_was_evaluated_is_not_evaluated_again(tmp_path: Path):
    (counted := tmp_path / "counted").mkdir()
    market = Planted(counted=counted)
    first = tuned(market, tmp_path, trials=24, **WIDE)
    made = len(list(counted.iterdir()))
    assert made == len(first.trials) + len(first.choices)
    again = tuned(market, tmp_path, trials=24, **WIDE)
    assert answer(again) == answer(first)
    # Only the account that follows the choices is made anew.
    assert len(list(counted.iterdir())) - made == len(first.choices)


def test_other_data_or_rules_use_nothing_that_was_kept(tmp_path: Path):
    one, other = Planted(seed=1), Planted(seed=2)
    tuned(one, tmp_path)
    assert answer(tuned(other, tmp_path)) == answer(tuned(other, tmp_path / "fresh"))


def test_a_file_that_was_torn_is_made_again(tmp_path: Path):
    first = tuned(Planted(), tmp_path)
    for n, file in enumerate(sorted(tmp_path.rglob("*.npy"))):
        file.write_bytes(file.read_bytes()[: n * 97])
    assert answer(tuned(Planted(), tmp_path)) == answer(first)


def test_data_that_changes_under_the_workers_is_refused_and_nothing_of_it_is_kept(tmp_path: Path):
    with (
        pytest.raises(ExperimentError, match="the data or the rules changed since this began"),
        evaluating(_another_in_a_worker, tmp_path, 2) as evaluations,
    ):
        tune(space_of(experiment()), evaluations, trials=20, seed=3)
    assert list(tmp_path.rglob("*.npy")) == []


def _another_in_a_worker() -> Planted:
    return Planted(seed=1 if parent_process() is None else 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_returns_that_are_no_numbers_are_refused(tmp_path: Path, processes: int):
    broken = Planted(shifts=[(4, 100, 100, float("nan"))])
    with pytest.raises(ExperimentError, match="planted has returns that are no numbers"):
        tuned(broken, tmp_path, processes=processes)


def test_a_setting_whose_returns_do_not_vary_is_never_chosen(tmp_path: Path):
    still = Planted(shifts=[(x, 0, 1_299, 0.001) for x in range(20) if x != 5])
    assert all(choice.setting == {"parameters.x": 5} for choice in tuned(still, tmp_path).choices)


KILLED = """
import sys
from pathlib import Path
from tokenomics_dagster_tests.research.planted import WIDE, Planted, answer, tuned
if __name__ == "__main__":
    folder, processes = Path(sys.argv[1]), int(sys.argv[2])
    market = Planted(effects={500: 3.0}, counted=folder / "counted", pause_s=float(sys.argv[3]))
    (folder / "answer").write_text(answer(tuned(market, folder / "kept", trials=24, processes=processes, **WIDE)))
"""


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_what_was_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, processes: int):
    script, counted = tmp_path / "killed.py", tmp_path / "counted"
    script.write_text(KILLED)
    counted.mkdir()
    command = [sys.executable, str(script), str(tmp_path), str(processes)]
    there = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen([*command, "0.05"], env=there, start_new_session=True)
    _wait_for(lambda: len(list(tmp_path.glob("kept/*/*.npy"))) >= 20)
    children = _children(running.pid)
    running.send_signal(signal.SIGKILL)
    running.wait()
    _wait_for(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))
    kept = {file.stem for file in tmp_path.glob("kept/*/*.npy")}
    begun = len(list(counted.iterdir()))
    assert not (tmp_path / "answer").exists()
    assert begun - len(kept) <= 4 * processes  # what a kill loses: the task of each process
    subprocess.run([*command, "0"], env=there, check=True, timeout=120)
    uninterrupted = tuned(Planted(effects={500: 3.0}), tmp_path / "alone", trials=24, **WIDE)
    assert (tmp_path / "answer").read_text() == answer(uninterrupted)
    afterwards = len(list(counted.iterdir())) - begun
    assert afterwards == len(uninterrupted.trials) + len(uninterrupted.choices) - len(kept)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def _wait_for(done) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
