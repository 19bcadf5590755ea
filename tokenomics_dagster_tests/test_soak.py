"""The soak goes on where it was killed, on the same commit only, and its record says what ran when."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (
    "import sys, pathlib, pytest; from tokenomics_dagster_tests import soak; soak.REPOSITORY = pathlib.Path.cwd();"
    "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]], plugins=[soak]))"
)
TESTS = """
from pathlib import Path

def ran(number):
    with Path("ran").open("a") as file:
        file.write(number)

def test_one():
    ran("1")

def test_two():
    ran("2")
    assert Path("mended").exists()
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def soak(folder: Path) -> str:
    """Its exit status and all that ran so far."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": ""},  # what was added to this run is not meant for that one
        capture_output=True,
        text=True,
        check=False,
    )
    assert "INTERNALERROR" not in done.stdout + done.stderr, done.stdout
    return f"{done.returncode} {(folder / 'ran').read_text()}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text("ran\nmended\n.tokenomics\n__pycache__\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


@pytest.mark.soak
def test_what_has_passed_on_a_commit_is_not_run_again_on_it(checkout: Path) -> None:
    assert soak(checkout) == "1 12"
    (checkout / "mended").touch()
    assert soak(checkout) == "0 122"
    commit = git(checkout, "rev-parse", "HEAD")
    kept = (checkout / f".tokenomics/soak/{commit}.txt").read_text()
    assert f"soak of {commit}: 2 tests, 0 failed" in kept
    assert "passed before" in kept
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert soak(checkout) == "0 12212", "another commit has all of it to show"


@pytest.mark.soak
def test_a_record_that_a_kill_cut_off_costs_the_last_test_alone(checkout: Path) -> None:
    (checkout / "mended").touch()
    assert soak(checkout) == "0 12"
    (kept,) = (checkout / ".tokenomics/soak").glob("*.jsonl")
    kept.write_text(kept.read_text()[:-5])
    assert soak(checkout) == "0 122"
    assert soak(checkout) == "0 122", "all has passed before, and the record is whole again"


def test_of_a_tree_with_changes_nothing_is_kept(checkout: Path) -> None:
    (checkout / "mended").touch()
    (checkout / "new").touch()
    assert soak(checkout) == "0 12"
    assert soak(checkout) == "0 1212"
    assert list((checkout / ".tokenomics/soak").glob("*.jsonl")) == []
