"""What the tests of the command share: a small recorded market, the command in this process or in its own, a demo."""

import csv
import gzip
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tokenomics_dagster.demo import environment
from tokenomics_dagster.settings import Environment
from tokenomics_dagster_tests.conftest import REPOSITORY

with warnings.catch_warnings():
    # typer 0.25 imports what click 8.4 deprecates
    warnings.filterwarnings("ignore", message="'click.utils")
    from tokenomics_dagster import cli

TOKENOMICS = str(Path(sys.executable).with_name("tokenomics"))
SYMBOLS = [f"A{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(30)]
WITHOUT_FUNDAMENTALS = SYMBOLS[7]
LISTINGS = [
    "symbol", "name", "country", "sector", "industry", "ipo_year", "mic", "type", "last_price", "volume",
    "market_cap_musd",
]  # fmt: skip
FUNDAMENTALS = [
    "symbol", "roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "eps_growth_yoy_pct", "price_to_book",
    "currency",
]  # fmt: skip

Command = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def refused(self, *, after_dagsters_own: bool = False) -> str:
        """The one sentence that a command that failed leaves on the terminal; Dagster may have written before it."""
        assert self.code == 1, self
        assert "Traceback" not in self.out + self.err
        before, found, sentence = self.err.rpartition("error: ")
        assert found, self
        assert sentence.count("\n") == 1, self.err
        assert after_dagsters_own or not before, self.err
        return sentence.strip()


def record_market(folder: Path, *, fundamentals: bool = True) -> Path:
    """30 stocks, the largest first; one has no fundamentals, or all have none."""
    market = folder / "market-2026-08-21"
    market.mkdir(parents=True)
    listed = [
        [s, f"{s} Corp Common Stock", "US", "T", "Software", 1999, "XNYS", "Common Stock", 20.5 + i, 10**6, 90_000 - i]
        for i, s in enumerate(SYMBOLS)
    ]
    known = [
        [s, *([20 - i / 3, 0.5, 9 - i / 4, 12, 3] if fundamentals else [""] * 5), "USD"]
        for i, s in enumerate(SYMBOLS)
        if s != WITHOUT_FUNDAMENTALS
    ]
    for name, columns, rows in (("listings", LISTINGS, listed), ("fundamentals", FUNDAMENTALS, known)):
        with gzip.open(market / f"{name}.csv.gz", "wt", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
    return market


def without_platform_variables() -> dict[str, str]:
    """This process's environment without what the platform reads: a developer's real keys stay out of the tests."""
    ours = {*Environment.model_fields, "dagster_home"}
    return {**{k: v for k, v in os.environ.items() if k.lower() not in ours}, "COLUMNS": "200"}


def tokenomics(*arguments: Any, cwd: Path, timeout: float = 60, **variables: str) -> Outcome:
    """The command as a process of its own."""
    done = subprocess.run(
        [TOKENOMICS, *map(str, arguments)],
        cwd=cwd,
        env={**without_platform_variables(), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command's entry point in this process, in an empty folder, without any variable of the platform."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_platform_variables())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.out, "width", 200)

    def run(*arguments: Any, **variables: str) -> Outcome:
        os.environ.update(variables)
        monkeypatch.setattr(sys, "argv", ["tokenomics", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Outcome(int(ended.value.code or 0), *capfd.readouterr())

    yield run
    os.environ.clear()
    os.environ.update(before)


@dataclass(frozen=True)
class FinishedDemo:
    """A demo of the small market that went through; `home` holds what it left."""

    folder: Path
    market: Path
    outcome: Outcome
    result: dict[str, Any]

    @property
    def home(self) -> Path:
        return self.folder / ".tokenomics/demo"

    @property
    def variables(self) -> dict[str, str]:
        """What `make ui` adds to the environment, beside the sandbox's addresses and keys."""
        return environment(self.home, {}, self.home / "settings.yaml")


def run_demo(folder: Path, *options: Any) -> FinishedDemo:
    market = record_market(folder)
    settings = REPOSITORY / "config/settings.yaml"
    arguments = ["--replay", market, "--universe-size", 25, "--settings", settings, "--json", "out.json", *options]
    outcome = tokenomics("demo", *arguments, cwd=folder)
    assert outcome.code == 0, outcome
    return FinishedDemo(folder, market, outcome, json.loads((folder / "out.json").read_text()))


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> FinishedDemo:
    """To be read only: tests share it."""
    return run_demo(tmp_path_factory.mktemp("demo"))
