"""`make soak`: what ran, how often, how long, what failed; as one table, and kept as .tokenomics/soak/<commit>.txt.

A pytest plugin (`-p tokenomics_dagster_tests.soak`). A test says how often it tried by `record_property("tried", n)`.
A record of a tree with uncommitted changes bears `-dirty` in its name: it vouches for no commit.
"""

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path(".tokenomics/soak")
_WIDTH = 160


class Record:
    """What became of each test, in the order in which they ended."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._rows: dict[str, tuple[str, str, float]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tried = ", ".join(
            f"{value}" if name == "tried" else f"{name} {value}" for name, value in report.user_properties
        )
        outcome, _, seconds = self._rows.get(report.nodeid, ("passed", "", 0.0))
        if report.outcome != "passed":
            outcome = report.outcome if report.when == "call" or report.skipped else f"error in {report.when}"
        self._rows[report.nodeid] = outcome, tried, seconds + report.duration

    @property
    def failed(self) -> int:
        return sum(outcome not in ("passed", "skipped") for outcome, _, _ in self._rows.values())

    def table(self, commit: str) -> Table:
        title = (
            f"soak of {commit}: {len(self._rows)} tests, {self.failed} failed, {time.monotonic() - self._begun:.0f} s"
        )
        table = Table("what ran", "how often", "s", "", title=title, box=None, pad_edge=False, title_justify="left")
        for test, (outcome, tried, seconds) in sorted(self._rows.items()):
            table.add_row(escape(test.removeprefix("tokenomics_dagster_tests/")), tried, f"{seconds:.0f}", outcome)
        return table


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def _commit() -> str:
    return _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain") else "")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(), "soak-record")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    record = config.pluginmanager.get_plugin("soak-record")
    if record is None:
        return
    commit = _commit()
    table = record.table(commit)
    text = io.StringIO()
    Console(file=text, width=_WIDTH).print(table)
    path = REPOSITORY / FOLDER / f"{commit}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text.getvalue()}exit status {int(exitstatus)}, Python {sys.version.split()[0]}\n")
    terminalreporter.write_line(text.getvalue())
    terminalreporter.write_line(f"kept as {path.relative_to(REPOSITORY)}")
