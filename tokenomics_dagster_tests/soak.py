"""`make soak`: what ran, how often, how long, what failed; as one table, and kept as .tokenomics/soak/<commit>.txt.

A pytest plugin (`-p tokenomics_dagster_tests.soak`). A test says how often it tried by `record_property("tried", n)`.
A soak that was killed goes on where it was: what has passed on a commit is kept beside its table, and not run again
until that file is removed. A record of a tree with uncommitted changes bears `-dirty` in its name: it vouches for no
commit, and nothing is kept of it.
"""

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path(".tokenomics/soak")
_WIDTH = 160
_DIRTY = "-dirty"


Row = tuple[str, str, float]
"""Outcome, how often it tried, seconds."""


class Record:
    """What became of each test of a commit, in this run and in those before that were killed."""

    def __init__(self, commit: str) -> None:
        self.commit = commit
        self._begun = time.monotonic()
        self._file = None if commit.endswith(_DIRTY) else REPOSITORY / FOLDER / f"{commit}.jsonl"
        self.before: dict[str, Row] = {}
        if self._file is not None and self._file.exists():
            whole, _, cut = self._file.read_text().rpartition("\n")
            if cut:  # by a kill; what is appended to it would be no line
                self._file.write_text(f"{whole}\n" if whole else "")
            rows = [json.loads(line) for line in whole.splitlines()]
            self.before = {test: ("passed before", tried, seconds) for test, tried, seconds in rows}
        self._rows: dict[str, Row] = dict(self.before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tried = ", ".join(
            f"{value}" if name == "tried" else f"{name} {value}" for name, value in report.user_properties
        )
        outcome, _, seconds = self._rows.get(report.nodeid, ("passed", "", 0.0))
        if report.outcome != "passed":
            outcome = report.outcome if report.when == "call" or report.skipped else f"error in {report.when}"
        self._rows[report.nodeid] = row = outcome, tried, seconds + report.duration
        if report.when == "teardown" and outcome == "passed" and self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(json.dumps([report.nodeid, *row[1:]]) + "\n")

    @property
    def failed(self) -> int:
        return sum(outcome not in ("passed", "passed before", "skipped") for outcome, _, _ in self._rows.values())

    def print(self, console: Console) -> None:
        took_s = time.monotonic() - self._begun
        console.print(f"soak of {self.commit}: {len(self._rows)} tests, {self.failed} failed, {took_s:.0f} s")
        table = Table("what ran", "how often", "s", "", box=None, pad_edge=False)
        for test, (outcome, tried, seconds) in sorted(self._rows.items()):
            table.add_row(escape(test.removeprefix("tokenomics_dagster_tests/")), tried, f"{seconds:.0f}", outcome)
        console.print(table)


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def _commit() -> str:
    return _git("rev-parse", "HEAD") + (_DIRTY if _git("status", "--porcelain") else "")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(_commit()), "soak-record")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """All of xdist's processes must collect the same tests, one that is started anew too."""
    node.workerinput["soak_before"] = sorted(node.config.pluginmanager.get_plugin("soak-record").before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    record = config.pluginmanager.get_plugin("soak-record")
    before = set(record.before if record is not None else config.workerinput["soak_before"])  # type: ignore[attr-defined]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in before])
    # The longest begins first: else one process works on it alone at the end.
    items[:] = sorted(
        (item for item in items if item.nodeid not in before), key=lambda item: "/years/" not in item.nodeid
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where all has passed before there is nothing to run, which is no failure."""
    record = session.config.pluginmanager.get_plugin("soak-record")
    if record is not None and record.before and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    record = config.pluginmanager.get_plugin("soak-record")
    if record is None:
        return
    if record.commit != _commit():
        terminalreporter.write_line("the tree was changed while the soak ran: no record of it is kept")
        return
    text = io.StringIO()
    record.print(Console(file=text, width=_WIDTH))
    path = REPOSITORY / FOLDER / f"{record.commit}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text.getvalue()}exit status {int(exitstatus)}, Python {sys.version.split()[0]}\n")
    terminalreporter.write_line(text.getvalue())
    terminalreporter.write_line(f"kept as {path.relative_to(REPOSITORY)}")
