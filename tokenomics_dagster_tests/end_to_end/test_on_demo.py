"""`tokenomics --demo`: any command on what the last demo left, whatever the environment and a .env say."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tokenomics_dagster.interfaces.demo import STATE
from tokenomics_dagster.interfaces.on_demo import CHANGING, OTHER_WORLDS, WITHOUT_BROKER
from tokenomics_dagster_tests.end_to_end.conftest import (
    TOKENOMICS,
    Command,
    FinishedDemo,
    run_program,
    tokenomics,
    without_platform_variables,
)


@pytest.fixture
def home(finished_demo: FinishedDemo, tmp_path: Path) -> Path:
    """The demo's folder as a demo in this folder would have left it."""
    home = tmp_path / ".tokenomics/demo"
    shutil.copytree(finished_demo.home, home)
    return home


def contents(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def real_host() -> Iterator[socket.socket]:
    """Somebody's broker; whoever connects would wait in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        yield listener


def real_keys(host: socket.socket) -> dict[str, str]:
    url = f"http://127.0.0.1:{host.getsockname()[1]}"
    return {
        "ALPACA_API_KEY": "AKREAL",
        "ALPACA_SECRET_KEY": "sesame",
        "ALPACA_TRADING_URL": url,
        "ALPACA_DATA_URL": url,
        "FINNHUB_API_KEY": "sesame",
        "FINNHUB_BASE_URL": url,
        "TOKENOMICS_DATABASE_URL": "sqlite:///real.db",
        "TOKENOMICS_LIVE_ACCOUNT": "123",
    }


def test_a_look_at_the_demo_touches_neither_the_real_account_nor_the_demo_s_state(
    home: Path, finished_demo: FinishedDemo, real_host: socket.socket, tmp_path: Path
) -> None:
    before = contents(home)
    keys = real_keys(real_host)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in keys.items()))
    shown = tokenomics("--demo", "status", cwd=tmp_path, **{**keys, "TOKENOMICS_LOGS": str(tmp_path / "logs")})
    assert (shown.code, shown.err) == (0, "")
    assert "paper account PA0SANDBOX01 at 127.0.0.1" in shown.out
    assert f"cash {Decimal(finished_demo.result['cash']):,.2f} USD" in shown.out
    with pytest.raises(TimeoutError):
        real_host.accept()
    assert not (tmp_path / "logs").exists(), "the real platform's logs do not tell of it either"
    assert contents(home) == before
    assert {path.name for path in tmp_path.iterdir()} == {".tokenomics", ".env"}


def test_each_command_that_asks_nobody_needs_no_sandbox_and_files_are_those_of_the_users_folder(
    home: Path, finished_demo: FinishedDemo, command: Command, tmp_path: Path
) -> None:
    before = contents(home)
    (home / STATE).write_text("not read")
    known = command("--demo", "known", "2030-01-01", "--what", "universe", "--json", "known.json")
    assert (known.code, known.err) == (0, "")
    assert len(json.loads((tmp_path / "known.json").read_text())["universe"]["rows"]) == 25
    assert command("--demo", "audit", "verify").code == 0
    diff = command("--demo", "settings", "--diff")
    assert re.search(r"universe\.size +25 +1500", diff.out), diff
    (home / STATE).write_bytes(before[home / STATE])
    assert contents(home) == before


@pytest.mark.soak
def test_what_a_person_decides_is_kept_in_the_demo(home: Path, command: Command) -> None:
    state = (home / STATE).read_bytes()
    halted = command("--demo", "halt", "enough")
    assert halted.code == 0, halted
    assert f"recorded in {home}/warehouse.db" in halted.out
    assert (home / STATE).read_bytes() != state, "the broker's clock goes on from there"
    assert "enough" in command("--demo", "status").out
    assert command("--demo", "resume", "go on").code == 0
    assert "trading is halted" not in command("--demo", "status").out


@pytest.mark.soak
def test_a_sandbox_that_runs_on_the_demo_s_state_is_asked(home: Path, command: Command, tmp_path: Path) -> None:
    arguments = [TOKENOMICS, "sandbox", "--port", "0", "--state", str(home / STATE), "--", "sleep", "60"]
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env=without_platform_variables(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("sandbox on http://127.0.0.1:")
        for arguments in (["status"], ["halt", "enough"], ["known", "2030-01-01"]):
            said = command("--demo", *arguments)
            assert (said.code, said.err) == (0, ""), said
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
    assert command("--demo", "resume", "go on").code == 0, "and none is asked that runs no more"


@pytest.mark.soak
def test_where_the_shell_closed_its_output_no_socket_takes_its_place(home: Path, tmp_path: Path) -> None:
    ended = run_program("sh", "-c", f'"{TOKENOMICS}" --demo holdings --json out.json >&-', cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["held"]


def test_without_a_demo_one_sentence_says_how_to_make_one(command: Command, tmp_path: Path) -> None:
    assert command("--demo", "status").refused() == (
        f"there is no demo in {tmp_path}/.tokenomics/demo: `tokenomics demo` makes one, in some minutes and without any"
        " key"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(OTHER_WORLDS - {"init"}))
def test_what_makes_a_world_of_its_own_looks_at_no_demo(command: Command, home: Path, name: str) -> None:
    said = command("--demo", name)
    assert said.code == 2
    assert "leave --demo out" in said.err
    assert not CHANGING & WITHOUT_BROKER
