"""What was tried is kept, whole or not at all, and counted by whoever tries something else on the same prices."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research.backtest import backtest
from tokenomics_dagster.research.experiment import read_experiment
from tokenomics_dagster.research.kept_trials import LIMIT, Trial, keep, kept, tally
from tokenomics_dagster.research.record import tune_on_record
from tokenomics_dagster.research.result import Refused, Result
from tokenomics_dagster.research.screen import screen
from tokenomics_dagster.research.tear_sheet import page
from tokenomics_dagster.research.trials import Deflated
from tokenomics_dagster.research.tuning_snapshot import document
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.research import ResearchSettings
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.making import sessions
from tokenomics_dagster_tests.research.tunable import EXPERIMENT, written

PRICES, OTHER = "a" * 64, "b" * 64
DAYS = sessions(300)


def trial(seed: int = 1, first: int = 0, last: int = 300, strategy: str = "mine", by: str = "study") -> Trial:
    active = np.random.default_rng(seed).normal(0, 0.01, 300)[first:last]
    return Trial(strategy, by, f"rules {strategy}", DAYS[first:last], active)  # type: ignore[arg-type]


def own(*seeds: int) -> np.ndarray:
    """Of a study and of what it tried at once."""
    return np.column_stack([trial(seed).active for seed in seeds or (100, 101)])


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


def test_what_is_kept_is_read_again_bit_by_bit(tmp_path: Path) -> None:
    assert keep(tmp_path, PRICES, [trial()]) == ()
    (found,) = kept(tmp_path, PRICES).trials
    assert (found.strategy, found.by, found.rules_hash) == ("mine", "study", "rules mine")
    assert found.active.tobytes() == trial().active.tobytes()
    assert (found.dates == DAYS).all()


def test_the_same_study_again_is_the_same_trial_and_another_outcome_is_another(tmp_path: Path) -> None:
    for _ in range(2):
        keep(tmp_path, PRICES, [trial()])
    assert len(files(tmp_path)) == 1
    keep(tmp_path, PRICES, [trial(2)])  # the same strategy under the same rules: its code called something else
    assert len(files(tmp_path)) == 2
    made = tally(kept(tmp_path, PRICES), DAYS, own(1))
    assert (made.counted.trials, made.counted.studies) == (2, 1)  # itself is no other study


def test_trials_on_other_prices_or_without_a_common_session_do_not_count(tmp_path: Path) -> None:
    keep(tmp_path, OTHER, [trial(1)])
    keep(tmp_path, PRICES, [trial(2, last=100)])
    made = tally(kept(tmp_path, PRICES), DAYS[100:], own()[100:])
    assert (made.counted.trials, made.counted.studies, made.counted.unknown) == (2, 0, 0)
    assert made.warnings == ()


def test_a_longer_trial_counts_with_its_returns_of_the_same_days(tmp_path: Path) -> None:
    keep(tmp_path, PRICES, [trial(7)])
    made = tally(kept(tmp_path, PRICES), DAYS[50:200], own()[50:200])
    assert made.returns.shape == (150, 3)
    assert made.returns[:, 2].tobytes() == trial(7).active[50:200].tobytes()


def test_what_cannot_be_set_beside_the_study_is_named_and_counts(tmp_path: Path) -> None:
    still = Trial("cash", "study", "rules", DAYS, np.zeros(300))
    keep(tmp_path, PRICES, [trial(1, first=250, strategy="late"), still])
    made = tally(kept(tmp_path, PRICES), DAYS, own())
    assert made.returns.shape == (300, 2)
    assert (made.counted.trials, made.counted.studies, made.counted.unknown) == (4, 2, 2)
    (warning,) = made.warnings
    assert warning.startswith("2 trials of before cannot be set beside this one")
    assert f"late, {DAYS[250]} to {DAYS[-1]}" in warning
    assert "cash, " in warning


def test_it_is_said_how_many_were_made_and_by_whom(tmp_path: Path) -> None:
    keep(tmp_path, PRICES, [trial(1), trial(2), trial(3, by="tuning"), trial(4, first=1)])
    counted = tally(kept(tmp_path, PRICES), DAYS, own()).counted
    assert counted.sentence == (
        "6 trials, 1 of them without returns over these sessions: this one, 3 other studies and 1 setting of tunings "
        f"kept in {tmp_path / PRICES[:16]}, and 1 shipped strategy."
    )


@pytest.mark.parametrize("damage", ["cut", "a bit", "another's name", "no archive", "nothing"])
def test_a_damaged_file_is_named_and_counts_as_a_trial_of_unknown_returns(tmp_path: Path, damage: str) -> None:
    keep(tmp_path, PRICES, [trial(1), trial(2)])
    path, other = files(tmp_path)
    content = path.read_bytes()
    if damage == "another's name":
        content = other.read_bytes()
    elif damage == "a bit":
        at = content.index(kept(tmp_path, PRICES).trials[0].active.tobytes()) + 100
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    else:
        content = {"cut": content[: len(content) // 2], "no archive": b"text", "nothing": b""}[damage]
    path.write_bytes(content)
    before = kept(tmp_path, PRICES)
    assert before.damaged == (path.name,)
    made = tally(before, DAYS, own())
    assert (made.counted.trials, made.counted.unknown) == (4, 1)
    assert path.name in made.warnings[0]
    assert "returns are unknown" in made.warnings[0]


def test_where_nothing_can_be_written_the_study_is_told_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file, and no folder")
    (warning,) = keep(tmp_path / "folder", PRICES, [trial()])
    assert "no later study will count it" in warning
    assert str(tmp_path / "folder") in warning
    assert "research.studies" in warning


def test_what_cannot_be_listed_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / PRICES[:16]).write_text("a file, and no folder")
    before = kept(tmp_path / "folder", PRICES)
    assert "cannot be read" in before.refused
    assert kept(tmp_path / "none yet", PRICES).refused == ""


def test_more_trials_than_can_be_believed_are_refused_with_the_reason(tmp_path: Path) -> None:
    own = tmp_path / PRICES[:16]
    own.mkdir()
    for number in range(LIMIT + 1):
        (own / f"{number}.npz").touch()
    before = kept(tmp_path, PRICES)
    assert before.refused.startswith("5,001 trials on these prices")
    assert "is luck" in before.refused


WRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from tokenomics_dagster.research.kept_trials import Trial, keep
    days = np.datetime64("2024-01-01") + np.arange(2000)
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        active = np.random.default_rng(seed).normal(0, 0.01, 2000)
        assert keep(Path(sys.argv[1]), "a" * 64, [Trial("mine", "study", "rules", days, active)]) == ()
"""


def test_two_writers_at_once_and_a_kill_leave_whole_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    killed = subprocess.Popen([*command, "0", "100000"], cwd=REPOSITORY)
    ending = subprocess.Popen([*command, "0", "50"], cwd=REPOSITORY)  # what the other one writes, too
    deadline = time.monotonic() + 60
    while len(files(tmp_path)) < 60 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert ending.wait(60) == 0
    before = kept(tmp_path, PRICES)
    assert len(before.trials) >= 60
    assert before.damaged == ()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    research = ResearchSettings(studies=str(tmp_path / "studies"), trials=str(tmp_path / "trials"))
    return Settings(environment=Environment.model_construct(), research=research)


def studied(folder: Path, settings: Settings, **changes: object) -> Result:
    lines = [line for line in EXPERIMENT.partition("search:")[0].splitlines() if line.split(":")[0] not in changes]
    (folder / "one.yaml").write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in changes.items())]))
    return backtest(read_experiment(folder / "one.yaml"), settings, portfolios=0)


@pytest.mark.soak
@pytest.mark.usefixtures("as_python")
def test_a_study_counts_the_studies_before_it_and_is_counted_by_the_next(tmp_path: Path, settings: Settings) -> None:
    written(tmp_path, sessions=400)
    first = studied(tmp_path, settings)
    again = studied(tmp_path, settings)
    assert first.sure.counted.studies == again.sure.counted.studies == 0
    assert again.sure.deflated == first.sure.deflated
    for number, top in enumerate((1, 2, 3), start=1):
        made = studied(tmp_path, settings, top_n=top)
        assert made.sure.counted.studies == number
        assert made.sure.counted.trials == first.sure.counted.trials + number
        assert isinstance(made.sure.deflated, Deflated)
        assert made.sure.deflated.trials == made.sure.counted.trials
    sentence = made.sure.counted.sentence
    assert made.document()["sure"]["counted"]["sentence"] == sentence
    assert "3 other studies kept in" in sentence
    assert sentence in page(made)
    assert any("3 kept before" in cell for row in screen(made)["how sure"].rows for cell in row)
    assert any(f"one of {made.sure.counted.trials} experiments" in doubt for doubt in made.doubts)


@pytest.mark.usefixtures("as_python")
def test_what_is_unknown_or_refused_makes_nothing_more_sure(tmp_path: Path, settings: Settings) -> None:
    written(tmp_path, sessions=400)
    studied(tmp_path, settings, top_n=2)
    (damaged,) = files(tmp_path / "studies")
    damaged.write_bytes(b"")
    one = studied(tmp_path, settings)
    assert isinstance(one.sure.deflated, Refused)  # twelve names are one idea: how far ideas differ is not known
    assert "of 1 more trials the returns are unknown" in one.sure.deflated.why
    assert one.sure.counted.unknown == 1
    assert any(damaged.name in warning for warning in one.warnings)
    for path in files(tmp_path / "studies"):
        path.unlink()
    (folder,) = (tmp_path / "studies").iterdir()
    folder.rmdir()
    folder.write_text("a file, and no folder")
    last = studied(tmp_path, settings)
    assert isinstance(last.sure.deflated, Refused)
    assert "cannot be read" in last.sure.deflated.why
    assert any("no later study will count it" in warning for warning in last.warnings)


@pytest.mark.soak
@pytest.mark.usefixtures("as_python")
def test_a_tuning_counts_what_was_tried_before_and_never_its_own_settings_twice(
    tmp_path: Path, settings: Settings
) -> None:
    experiment = read_experiment(written(tmp_path))

    def tuned() -> tuple[str, Deflated]:
        made, verdict = tune_on_record(experiment, settings, trials=5, seed=1, processes=1)
        assert isinstance(verdict.deflated, Deflated)
        assert len(made.trials) == 4
        return json.dumps(document(made, verdict)), verdict.deflated

    first, alone = tuned()
    for killed in files(tmp_path / "studies")[:2]:  # as after a kill while they were kept
        killed.unlink()
    studied(tmp_path, settings)  # the settings as they are: a trial of the tuning
    assert tuned()[0] == first
    for top in (1, 2):
        studied(tmp_path, settings, top_n=top)
    later, deflated = tuned()
    assert deflated.trials == alone.trials + 2
    assert deflated.sharpe == pytest.approx(alone.sharpe, rel=1e-3)
    assert deflated.probability < alone.probability
    assert "settings and 2 that were tried before on these prices" in later


@pytest.mark.soak
@pytest.mark.usefixtures("as_python")
def test_each_setting_of_a_tuning_counts(tmp_path: Path, settings: Settings) -> None:
    experiment = read_experiment(written(tmp_path))
    tuned, _ = tune_on_record(experiment, settings, trials=5, seed=1, processes=1)
    assert len(files(tmp_path / "studies")) == len(tuned.trials)
    # The experiment as it is was a setting of the tuning: as a study of its own it is no other one.
    counted = studied(tmp_path, settings).sure.counted
    assert (counted.studies, counted.settings) == (0, len(tuned.trials) - 1)
    assert f"{len(tuned.trials) - 1} settings of tunings" in counted.sentence
