"""`tokenomics init` and `start`: keys are tried before anything is written, and nothing is overwritten in silence."""

import os
import pty
import select
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tokenomics_dagster.interfaces.cli.ending import SAVED
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails
from tokenomics_dagster.sandbox.server import SandboxHandle
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.conftest import TOKENOMICS, Command, Outcome, without_platform_variables

KEYS = ("FINNHUB_API_KEY", "ALPACA_API_KEY", "ALPACA_SECRET_KEY")
SECRETS = {"finnhub_key": "fh0key0of0tests", "alpaca_key": "PK0KEY0OF0TESTS", "alpaca_secret": "secret0of0tests"}
WRONG = "wrongkey0123456789"
Init = Callable[..., Outcome]


@pytest.fixture
def sandbox(shared_sandboxes: Callable[..., SandboxHandle]) -> SandboxHandle:
    return shared_sandboxes(listings=250, seed=7, **SECRETS)


@pytest.fixture
def keys(sandbox: SandboxHandle) -> dict[str, str]:
    return {**sandbox.environment(), "DAGSTER_HOME": ""}


@pytest.fixture
def init(command: Command, keys: dict[str, str], tmp_path: Path) -> Init:
    """The command without input, in an empty folder with the project's dagster.yaml, and no secret in what it says."""
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)

    def run(*options: str, **changes: str) -> Outcome:
        done = command("init", "--no-input", *options, **{**keys, **changes})
        for secret in (WRONG, *SECRETS.values()):
            assert secret not in done.out + done.err
        return done

    return run


def written(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} - {"dagster.yaml", "config"}


def env_of(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines() if "=" in line)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_that_work_make_all_that_the_platform_needs_for_their_owner_alone(
    init: Init, command: Command, tmp_path: Path, keys: dict[str, str]
) -> None:
    done = init()
    assert (done.code, done.err) == (0, "")
    assert "paper account PA0SANDBOX01 at 127.0.0.1, 100,000.00 USD" in done.out
    home = tmp_path / ".tokenomics/dagster"
    assert f"export DAGSTER_HOME={home}" in done.out
    assert "start        # the first portfolio" in done.out
    assert (mode(tmp_path / ".env"), mode(home), mode(tmp_path / ".tokenomics/warehouse.db")) == (0o600, 0o700, 0o600)
    assert (home / "dagster.yaml").read_text() == (REPOSITORY / "dagster.yaml").read_text()
    found = env_of(tmp_path)
    assert {name: found[name] for name in KEYS} == {name: keys[name] for name in KEYS}
    shown = command("settings", "--diff")
    assert "universe.starter_size" in shown.out
    checked = command("check", DAGSTER_HOME=str(home))
    assert checked.code == 0, checked


def test_a_wrong_key_is_named_in_a_sentence_and_nothing_is_written(init: Init, tmp_path: Path) -> None:
    for name, said in (
        ("FINNHUB_API_KEY", "FINNHUB_API_KEY is refused by 127.0.0.1: copy it from https://finnhub.io/dashboard"),
        ("ALPACA_SECRET_KEY", "ALPACA_API_KEY and ALPACA_SECRET_KEY are refused by 127.0.0.1: the secret belongs to"),
        ("ALPACA_API_KEY", "it is a key of a live account, with real money"),
    ):
        refused = init(**{name: WRONG}).refused()
        assert said in refused
        assert refused.endswith("Nothing was written")
        assert written(tmp_path) == set()


def test_what_is_no_key_or_is_lacking_is_told_without_it(init: Init, tmp_path: Path) -> None:
    assert "FINNHUB_API_KEY is no key: it has spaces" in init(FINNHUB_API_KEY="a key\nB=1").refused()
    assert "ALPACA_API_KEY is not set: export it" in init(ALPACA_API_KEY="").refused()
    assert "could not be tried" in init(FINNHUB_BASE_URL="http://127.0.0.1:1/api/v1").refused()
    assert written(tmp_path) == set()


def test_another_value_in_the_file_is_never_replaced_in_silence_and_what_else_stands_there_stays(
    init: Init, tmp_path: Path
) -> None:
    text = f"# mine\nREDIS_PORT=6380\nexport FINNHUB_API_KEY={WRONG}\n"
    (tmp_path / ".env").write_text(text)
    refused = init().refused()
    assert "FINNHUB_API_KEY: .env holds another than the environment" in refused
    assert (tmp_path / ".env").read_text() == text
    assert init("--force").code == 0
    assert (tmp_path / ".env").read_text().startswith("# mine\nREDIS_PORT=6380\nFINNHUB_API_KEY=")
    assert WRONG not in (tmp_path / ".env").read_text()
    again = init()
    assert again.code == 0
    assert "a Dagster instance already, and stays as it is" in again.out


def test_settings_of_one_s_own_are_left_as_they_are(init: Init, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("guards: {max_exits: 7}\n")
    done = init("--starter", "40", TOKENOMICS_SETTINGS=str(own))
    assert f"{own} has settings of your own, and was left as it is" in done.out
    assert "starter_size: 40" in done.out
    assert own.read_text() == "guards: {max_exits: 7}\n"
    assert "TOKENOMICS_SETTINGS" not in env_of(tmp_path)


WEEK = "2026-08-24"  # the sandbox's


def first_week(folder: Path) -> str:
    document = yaml.safe_load((folder / ".tokenomics/settings.yaml").read_text())
    return str(document["rebalancing"]["first_week"])


def test_the_weeks_begin_with_the_running_one_so_that_none_before_the_account_is_missing(
    init: Init, tmp_path: Path
) -> None:
    assert init("--starter", "0").code == 0
    assert yaml.safe_load((tmp_path / ".tokenomics/settings.yaml").read_text()).keys() == {"rebalancing"}
    assert first_week(tmp_path) == WEEK
    assert init("--starter", "7").code == 2


def test_a_week_with_a_decision_never_vanishes_from_the_ui(init: Init, command: Command, tmp_path: Path) -> None:
    assert init().code == 0
    (tmp_path / ".tokenomics/settings.yaml").unlink()
    env = (tmp_path / ".env").read_text()
    (tmp_path / ".env").write_text("\n".join(line for line in env.splitlines() if "SETTINGS" not in line))
    row = {"symbol": "A", "weight": 0.05, "score": 60.0, "market_cap_musd": 9.0, "rank": 1}
    frame = pd.DataFrame([row], columns=list(TargetWeights.to_schema().columns))
    now = datetime(2026, 8, 4, 15, tzinfo=UTC)
    with closing(Warehouse(f"sqlite:///{tmp_path}/.tokenomics/warehouse.db")) as store:
        made = Made(frame, now, TargetWeightsDetails(cash_weight=0.95, scores_as_of=now))
        store.save_snapshot("target_weights", TargetWeights, made, run_id="earlier", partition="2026-08-03")
    assert init("--starter", "0").code == 0
    assert first_week(tmp_path) == "2026-08-03"
    # Nor unseen where a person has written a later one.
    assert command("check").code == 0
    (tmp_path / ".tokenomics/settings.yaml").write_text("rebalancing: {first_week: 2026-08-24}\n")
    told = command("check")
    assert told.code == 1
    assert "set rebalancing.first_week to 2026-08-03" in " ".join(told.out.split())


class Terminal:
    """The command on a terminal of its own, as a person sees it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**without_platform_variables(), "NO_COLOR": "1", **variables}
        self.process = subprocess.Popen(
            [TOKENOMICS, "init"], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.seen, self._looked = "", 0

    def until(self, text: str) -> None:
        """Reads on until the text comes, after those that were waited for before."""
        deadline = time.monotonic() + 300
        while text not in self.seen[self._looked :]:
            assert time.monotonic() < deadline, self.seen
            self._read()
        self._looked = self.seen.index(text, self._looked) + len(text)

    def _read(self) -> bool:
        if select.select([self._master], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self._master, 4096).decode()
            except OSError:  # it has ended
                return False
        return True

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        while self._read() and self.process.poll() is None:
            pass
        code = self.process.wait(120)
        while self._read():
            pass
        os.close(self._master)
        return code


def test_typed_keys_are_not_shown_and_enter_keeps_those_of_the_file(tmp_path: Path, keys: dict[str, str]) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    addresses = {name: value for name, value in keys.items() if name not in KEYS}
    (tmp_path / ".env").write_text(f"ALPACA_API_KEY={keys['ALPACA_API_KEY']}\n")
    terminal = Terminal(tmp_path, **addresses)
    for name in KEYS:
        terminal.until(f"{name} (")
        terminal.until("not shown: ")
        terminal.type("\n" if name == "ALPACA_API_KEY" else f"{keys[name]}\n")
    assert terminal.end() == 0, terminal.seen
    assert not [secret for secret in SECRETS.values() if secret in terminal.seen]
    assert {name: env_of(tmp_path)[name] for name in KEYS} == {name: keys[name] for name in KEYS}


def test_ctrl_c_is_one_line_and_leaves_nothing(tmp_path: Path, keys: dict[str, str]) -> None:
    terminal = Terminal(tmp_path, **{name: value for name, value in keys.items() if name not in KEYS})
    terminal.until("not shown: ")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert f"interrupted: {SAVED['init']}" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert written(tmp_path) == set()


def test_start_refuses_an_account_with_real_money(init: Init, command: Command, tmp_path: Path) -> None:
    assert init("--starter", "0").code == 0
    (tmp_path / ".tokenomics/settings.yaml").write_text("trading: {paper: false}\n...\n")
    said = command("start", "--yes").refused()
    assert "start is for paper accounts" in said
