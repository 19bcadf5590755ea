"""What the tests of the command share: a small recorded market, the command in this process or in its own, a demo."""

import csv
import fcntl
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tokenomics_dagster.interfaces.cli.main import main
from tokenomics_dagster.interfaces.cli.terminal import out
from tokenomics_dagster.interfaces.demo import environment
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster_tests.conftest import REPOSITORY

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
    """30 stocks of both exchanges, the largest and best first; one has no fundamentals, or all have none."""
    market = folder / "market-2026-08-21"
    market.mkdir(parents=True)
    listed = [
        [s, f"{s} Corp Common Stock", "US", "T", "Software", 1999, mic, "Common Stock", 20.5 + i, 10**6, 90_000 - i]
        for i, (s, mic) in enumerate(zip(SYMBOLS, cycle(("XNYS", "XNAS")), strict=False))
    ]
    known = [
        [s, *([20 - i / 3, 0.5 + i / 100, 9 - i / 4, 12 + i / 8, 3] if fundamentals else [""] * 5), "USD"]
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


def tokenomics(*arguments: Any, cwd: Path, **variables: str) -> Outcome:
    """The command as a process of its own."""
    return run_program(TOKENOMICS, *arguments, cwd=cwd, **variables)


def run_program(*arguments: Any, cwd: Path, **variables: str) -> Outcome:
    """A program and how it ended."""
    done = subprocess.run(
        list(map(str, arguments)),
        cwd=cwd,
        env={**without_platform_variables(), **variables},
        capture_output=True,
        text=True,
        timeout=600,
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
    monkeypatch.setattr(out, "width", 200)

    def run(*arguments: Any, **variables: str) -> Outcome:
        os.environ.update(variables)
        monkeypatch.setattr(sys, "argv", ["tokenomics", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
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


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> FinishedDemo:
    """To be read only: tests share it, those of the other test process too."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished-demo"
    folder.mkdir(exist_ok=True)
    market, outcome = folder / "market-2026-08-21", folder / "outcome.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome.exists():
            record_market(folder)
            options = ["--universe-size", 25, "--settings", REPOSITORY / "config/settings.yaml", "--json", "out.json"]
            done = tokenomics("demo", "--replay", market, *options, cwd=folder)
            assert done.code == 0, done
            outcome.write_text(json.dumps(asdict(done)))
    result = json.loads((folder / "out.json").read_text())
    return FinishedDemo(folder, market, Outcome(**json.loads(outcome.read_text())), result)
