"""The `tokenomics` command as a person meets it: texts, exit codes, what each command does."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import requests
import typer
import yaml

from tokenomics_dagster.interfaces.cli.main import app
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.conftest import (
    SYMBOLS,
    TOKENOMICS,
    WITHOUT_FUNDAMENTALS,
    Command,
    FinishedDemo,
    record_market,
    tokenomics,
    without_platform_variables,
)

COMMANDS = typer.main.get_group(app).commands
PARTS = ["settings", "Finnhub", "Alpaca trading", "Alpaca data", "Redis", "database", "alerts", "schedules", "Dagster"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_says_what_it_is_for(command: Command, name: str) -> None:
    shown = command(name, "--help")
    assert shown.code == 0
    assert str(COMMANDS[name].help).splitlines()[0] in shown.out
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"
        assert parameter.opts[0] in shown.out


def test_the_help_lists_every_command(command: Command) -> None:
    shown = command("--help")
    assert shown.code == 0
    assert {"demo", "sandbox", "check", "status"} <= set(COMMANDS)
    for name in COMMANDS:
        assert re.search(rf"│ {name} ", shown.out)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["nonsense"],
        ["demo", "--nonsense"],
        ["demo", "--universe-size", "0"],
        ["sandbox", "--port", "x"],
        ["check", "x"],
        ["purge", "--older-than", "nan"],
        ["purge", "--older-than", "inf"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_and_does_nothing(command: Command, tmp_path: Path, wrong: list[str]) -> None:
    outcome = command(*wrong)
    assert outcome.code == 2
    assert "Usage: tokenomics" in outcome.out + outcome.err
    assert list(tmp_path.iterdir()) == []


def test_the_demo_ends_with_filled_orders_and_writes_all_of_it_for_machines(finished_demo: FinishedDemo) -> None:
    result = finished_demo.result
    assert result["universe"] == SYMBOLS[:25]
    assert {*result["scores"], *result["unscored"]} == set(result["universe"])
    assert list(result["unscored"]) == [WITHOUT_FUNDAMENTALS]
    assert "missing" in result["unscored"][WITHOUT_FUNDAMENTALS]
    good = {symbol for symbol, score in result["scores"].items() if score >= 50}
    assert set(result["target_weights"]) == good
    assert sum(result["target_weights"].values()) + result["cash_weight"] == pytest.approx(1, abs=1e-12)
    assert max(result["target_weights"].values()) <= 0.05
    bought = {order["symbol"]: order for order in result["orders"]}
    assert len(bought) == len(result["orders"])
    assert {*bought, *result["skipped"]} >= good
    for symbol, order in bought.items():
        assert set(order) == {
            "client_order_id", "symbol", "side", "qty", "notional", "status", "filled_qty", "filled_avg_price",
        }  # fmt: skip
        assert order["client_order_id"] == f"tokenomics-fundamentals-{result['week']}-{symbol}-buy-1"
        assert (order["status"], order["side"]) == ("filled", "buy")
        assert (order["qty"] is None) != (order["notional"] is None)
        held = Decimal(order["filled_qty"]) * Decimal(order["filled_avg_price"]) / Decimal(result["equity"])
        assert float(held) == pytest.approx(result["target_weights"][symbol], rel=0.02)
    spent = sum(Decimal(o["filled_qty"]) * Decimal(o["filled_avg_price"]) for o in result["orders"])
    assert abs(100_000 - spent - Decimal(result["cash"])) < Decimal("0.01") * len(bought)
    calls = result["api_calls"]
    assert calls["POST /v2/orders"] == len(bought)
    assert calls["GET /api/v1/stock/metric"] == 25
    assert calls["GET /api/v1/stock/profile2"] == len(SYMBOLS)
    assert (result["parity"]["differences"], result["parity"]["absent"]) == ([], {})
    assert result["parity"]["compared"]["scores"] == 2 * 25, "score and reason of each of the universe"
    stages = ["universe_refresh", "fundamentals_refresh", "score", "rebalance"]
    assert list(result["seconds"]) == [*stages, "total"]
    assert all(result["seconds"][stage] > 0 for stage in stages)


def test_the_demo_tells_a_person_the_same(finished_demo: FinishedDemo) -> None:
    text, result = finished_demo.outcome.out, finished_demo.result
    assert finished_demo.outcome.err == ""
    assert re.search(rf"listings +{len(SYMBOLS)}\b", text)
    assert re.search(r"universe +25 +below the 25 largest by market cap 5\b", text)
    assert re.search(r"scored +24 +.*missing.* 1\b", text)
    assert re.search(rf"orders +{len(result['orders'])} +{len(result['orders'])} filled\s+skipped: none", text)
    assert re.search(rf"decided again +{sum(result['parity']['compared'].values())} +0 are not what was recorded", text)
    assert f"{Decimal(result['equity']):,.2f}" in text
    assert f"{Decimal(result['cash']):,.2f}" in text
    assert text.index("what became of the account") < text.index("how it came about") < text.index("GET /api/v1/")
    assert re.search(rf"equity +100,000\.00 +{Decimal(result['equity']):,.2f}", text)
    cost = 100_000 - Decimal(result["equity"])  # prices stand still
    assert abs(Decimal(result["cost_of_trading"]) - cost) <= Decimal("0.01") * len(result["orders"])
    assert f"{Decimal(result['cost_of_trading']):,.2f}, against the prices of the plan" in text
    assert re.search(rf"the 10 largest of {len(result['orders'])} holdings", text)
    holding = r"^([A-Z]{3}) +\1 Corp.* (\d+\.\d) +[\d,.]+ +[\d,.]+ +\d\.\d\d%"
    named = re.findall(holding, text, re.MULTILINE)
    assert len(named) == 10
    for symbol, score in named:
        assert score == f"{result['scores'][symbol]:.1f}"
    assert re.search(r"GET /api/v1/stock/metric +25\b", text)
    assert re.search(r"rebalance +\d+\.\d", text)
    assert "make ui" in text


def test_the_demo_ends_with_evidence_for_its_own_market_and_its_page(finished_demo: FinishedDemo) -> None:
    last = finished_demo.outcome.out.splitlines()[-1]
    assert last == finished_demo.result["evidence"]
    found = re.fullmatch(
        r"evidence: on 252 drawn sessions \(this market has no history\) the strategy made [+-][\d.]+ %, all names "
        r"with figures [+-][\d.]+ %; of 200 random portfolios [\d.]+ of 100 do as well: drawn prices hold no skill "
        r"to find; the page: (.+)",
        last,
    )
    assert found, last
    page = Path(found[1]).read_text()
    assert "The prices before 2026-08-24 were drawn at random" in page


@pytest.mark.soak
def test_a_second_demo_trades_nothing(finished_demo: FinishedDemo, tmp_path: Path, command: Command) -> None:
    shutil.copytree(finished_demo.home, tmp_path / ".tokenomics/demo")
    options = ["--universe-size", 25, "--settings", REPOSITORY / "config/settings.yaml"]
    again = command("demo", "--replay", finished_demo.market, *options, "--json", "out.json")
    assert again.code == 0, again
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["orders"] == finished_demo.result["orders"], "they are the week's, not the last run's"
    assert "POST /v2/orders" not in result["api_calls"]
    assert set(result["skipped"]) == set(result["target_weights"]) == set(finished_demo.result["target_weights"])
    assert result["cash"] == finished_demo.result["cash"]
    assert "none was needed" in again.out


@pytest.mark.soak
def test_a_demo_that_was_killed_while_it_traded_goes_on_and_trades_nothing_twice(tmp_path: Path) -> None:
    market = record_market(tmp_path)
    arguments = ["demo", "--replay", str(market), "--universe-size", "25", "--json", "out.json"]
    killed = subprocess.Popen(
        [TOKENOMICS, *arguments], cwd=tmp_path, env=without_platform_variables(), stdout=subprocess.DEVNULL
    )
    warehouse = tmp_path / ".tokenomics/demo/warehouse.db"
    try:
        sent = wait_for_order(warehouse, killed)
    finally:
        killed.kill()
        killed.wait()
    again = tokenomics(*arguments, cwd=tmp_path)
    assert again.code == 0, again
    result = json.loads((tmp_path / "out.json").read_text())
    assert sent < len(result["target_weights"])
    assert max(abs(drift) for drift in result["largest_drift"].values()) < 0.005
    with closing(sqlite3.connect(warehouse)) as database:
        rows = database.execute("select symbol, status, filled_qty from orders_ledger").fetchall()
        report = database.execute("select symbol, qty from portfolio_report order by snapshot_id").fetchall()
    held = dict(report)
    for symbol in result["target_weights"]:
        filled = sum(Decimal(qty) for name, status, qty in rows if name == symbol and status == "filled")
        assert float(filled) == pytest.approx(held[symbol])
    with closing(sqlite3.connect(tmp_path / ".tokenomics/demo/dagster/history/runs.db")) as database:
        states = [status for (status,) in database.execute("select status from runs")]
    assert sorted(set(states)) == ["FAILURE", "SUCCESS"]
    assert states.count("FAILURE") == 1


def test_the_weeks_of_a_demo_begin_with_its_own_so_that_the_ui_misses_none_before_it(
    finished_demo: FinishedDemo,
) -> None:
    settings = yaml.safe_load((finished_demo.home / "settings.yaml").read_text())
    assert str(settings["rebalancing"]["first_week"]) == finished_demo.result["week"]


def wait_for_order(warehouse: Path, process: "subprocess.Popen[bytes]") -> int:
    """The number of orders sent, as soon as there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        if warehouse.exists():
            with closing(sqlite3.connect(warehouse)) as database:
                try:
                    sent = database.execute("select count(*) from orders_ledger").fetchone()[0]
                except sqlite3.OperationalError:  # no such table yet
                    sent = 0
            if sent:
                return int(sent)
        time.sleep(0.005)
    raise AssertionError("no order was sent within 120 s")


def test_the_last_demos_market_survives_a_mistyped_one(
    finished_demo: FinishedDemo, tmp_path: Path, command: Command
) -> None:
    home = tmp_path / ".tokenomics/demo"
    shutil.copytree(finished_demo.home, home)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert "is not a directory" in command("demo", "--replay", tmp_path / "market-2026-08-22").refused()
    (tmp_path / "bad.yaml").write_text("universe: [")
    assert "not valid YAML" in command("demo", "--settings", "bad.yaml").refused()
    assert "nothing was run" in command("demo", "--json", "nowhere/out.json").refused()
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.soak
def test_a_demo_of_another_market_starts_anew(finished_demo: FinishedDemo, tmp_path: Path, command: Command) -> None:
    shutil.copytree(finished_demo.home, tmp_path / ".tokenomics/demo")
    other = record_market(tmp_path / "other")
    settings = REPOSITORY / "config/settings.yaml"
    outcome = command("demo", "--replay", other, "--universe-size", 25, "--settings", settings, "--json", "out.json")
    assert outcome.code == 0, outcome
    assert "starting anew" in outcome.out
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["orders"] == finished_demo.result["orders"]


def test_the_status_after_a_demo_shows_runs_ages_and_positions_against_targets(
    finished_demo: FinishedDemo, tmp_path: Path
) -> None:
    home = tmp_path / "demo"
    shutil.copytree(finished_demo.home, home)
    variables = {
        **finished_demo.variables,
        "TOKENOMICS_DATABASE_URL": f"sqlite:///{home}/warehouse.db",
        "DAGSTER_HOME": str(home / "dagster"),
    }
    arguments = ["sandbox", "--port", 0, "--state", home / "sandbox.json", "--", TOKENOMICS, "status"]
    shown = tokenomics(*arguments, cwd=tmp_path, **variables)
    assert (shown.code, shown.err) == (0, "")
    age = r"\d+ (?:second|minute|hour)s?"
    for job, does in (
        ("universe_refresh", "which stocks exist, which are followed"),
        ("fundamentals_refresh", "financials of the whole universe in one run"),
        ("score", "Scores from the last completed sweep"),
        ("rebalance", "target weights, trade plan, orders, report"),
    ):
        assert re.search(rf"{job} +done +{age} ago +{age} +[0-9a-f]{{8}} +{does}", shown.out), job
    result = finished_demo.result
    assert re.search(rf"universe +{age} +25 rows", shown.out)
    assert re.search(rf"financials +{age} +25 of 25 symbols fresh", shown.out)
    assert re.search(rf"orders +{age} +{len(result['orders'])} rows, week of {result['week']}", shown.out)
    assert f"cash {Decimal(result['cash']):,.2f} USD" in shown.out
    symbol, drift = next(iter(result["largest_drift"].items()))
    target = re.escape(f"{result['target_weights'][symbol]:.2%}")
    assert re.search(rf"{symbol} +[\d,.]+ +\d\.\d\d% +{target} +{re.escape(f'{drift:+.2%}')}", shown.out)


@pytest.fixture
def migrated(command: Command) -> None:
    """The database that status and check look at; they make none."""
    assert command("migrate").code == 0


@pytest.mark.usefixtures("migrated")
def test_the_status_of_a_platform_that_never_ran_says_so(sandbox: SandboxHandle, command: Command) -> None:
    shown = command("status", **sandbox.environment())
    assert (shown.code, shown.err) == (0, "")
    assert "DAGSTER_HOME is not set" in shown.out
    assert len(re.findall(r"\bnever\b", shown.out)) == 11


@pytest.mark.usefixtures("migrated")
def test_the_status_says_when_dagster_home_is_no_folder(sandbox: SandboxHandle, command: Command) -> None:
    shown = command("status", **sandbox.environment(), DAGSTER_HOME="/nonexistent/dagster")
    assert (shown.code, shown.err) == (0, "")
    assert "DAGSTER_HOME (/nonexistent/dagster) is no folder" in shown.out


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(listings=150) as running:
        yield running


@pytest.fixture
def impatient(tmp_path: Path) -> Path:
    """Settings under which a read is tried once."""
    document = yaml.safe_load((REPOSITORY / "config/settings.yaml").read_text())
    document["finnhub"]["max_attempts"] = document["alpaca"]["max_attempts"] = 1
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def findings(text: str) -> dict[str, tuple[str, str]]:
    rows = (re.match(rf"({'|'.join(PARTS)}) +(ok|FAILED|off) +(.*?) *$", line) for line in text.splitlines())
    return {row[1]: (row[2], row[3]) for row in rows if row}


@pytest.mark.usefixtures("migrated")
def test_the_check_of_a_platform_that_works_names_each_part(
    sandbox: SandboxHandle, command: Command, impatient: Path, redis_url: str, tmp_path: Path
) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    ours = {"TOKENOMICS_SETTINGS": str(impatient), "REDIS_URL": redis_url, "DAGSTER_HOME": str(tmp_path)}
    done = command("check", **sandbox.environment(), **ours, ALERT_WEBHOOK_URL=UNREACHABLE)
    assert (done.code, done.err) == (0, "")
    found = findings(done.out)
    assert list(found) == PARTS
    assert {state for state, _ in found.values()} == {"ok"}
    assert found["settings"][1] == (
        f"{impatient} (TOKENOMICS_SETTINGS is from the environment); 2 of 134 settings differ from their defaults"
    )
    assert re.search(
        r"paper account \S+ at 127\.0\.0\.1 \(.*\), 100,000\.00 USD; 2026-08-24 10:\d\d:\d\d New York, market open",
        found["Alpaca trading"][1],
    )


UNREACHABLE = "http://127.0.0.1:1"
# What is broken: variables that break it, and per part the words that must be in its line; all other parts stay well.
BROKEN = {
    "no finnhub key": ({"FINNHUB_API_KEY": ""}, {"Finnhub": "FINNHUB_API_KEY is not set: export it"}),
    "wrong finnhub key": ({"FINNHUB_API_KEY": "wrong"}, {"Finnhub": "Invalid API key: check FINNHUB_API_KEY"}),
    "finnhub unreachable": (
        {"FINNHUB_BASE_URL": UNREACHABLE},
        {"Finnhub": "the host cannot be reached: try again later"},
    ),
    "no alpaca key": (
        {"ALPACA_API_KEY": ""},
        {"Alpaca trading": "ALPACA_API_KEY is not set", "Alpaca data": "ALPACA_API_KEY is not set"},
    ),
    "wrong alpaca secret": (
        {"ALPACA_SECRET_KEY": "wrong"},
        {"Alpaca trading": "status 401", "Alpaca data": "check ALPACA_API_KEY and ALPACA_SECRET_KEY"},
    ),
    "trading unreachable": ({"ALPACA_TRADING_URL": UNREACHABLE}, {"Alpaca trading": "the host cannot be reached"}),
    "data unreachable": ({"ALPACA_DATA_URL": UNREACHABLE}, {"Alpaca data": "the host cannot be reached"}),
    "redis unreachable": ({"REDIS_URL": "redis://127.0.0.1:1"}, {"Redis": "check that the server runs"}),
    "database in no folder": ({"TOKENOMICS_DATABASE_URL": "sqlite:////proc/no/w.db"}, {"database": "there is no file"}),
}  # fmt: skip


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("case", BROKEN)
def test_the_check_fails_for_exactly_the_part_that_is_broken_and_says_what_to_do(
    sandbox: SandboxHandle, command: Command, impatient: Path, case: str
) -> None:
    variables, expected = BROKEN[case]
    done = command("check", **{**sandbox.environment(), "TOKENOMICS_SETTINGS": str(impatient), **variables})
    assert (done.code, done.err) == (1, "")
    found = findings(done.out)
    assert list(found) == PARTS
    assert {part for part, (state, _) in found.items() if state == "FAILED"} == set(expected)
    for part, words in expected.items():
        assert words in found[part][1]
    assert found["Redis"][0] == ("FAILED" if "Redis" in expected else "off")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TOKENOMICS_SETTINGS": "settings.yaml"}, "universe.size = 'many' is not allowed"),
        ({"REDIS_URL": "127.0.0.1"}, "REDIS_URL is not a Redis address"),
        ({"TOKENOMICS_DATABASE_URL": "warehouse.db"}, "TOKENOMICS_DATABASE_URL is not a database address"),
    ],
)
def test_the_check_fails_for_wrong_settings_before_anything_is_asked(
    sandbox: SandboxHandle, command: Command, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    (tmp_path / "settings.yaml").write_text("universe: {size: many}\n")
    done = command("check", **{**sandbox.environment(), **variables})
    assert done.code == 1
    assert words in " ".join(done.out.split())
    assert list(findings(done.out)) == ["settings"]


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("telemetry: {enabled: false}\n", "two runs could ask one API at once"),
        ("run_monitoring: {enabled: true}\n", "two runs could ask one API at once"),
    ],
)
def test_the_check_sees_an_instance_that_was_cut_off(
    sandbox: SandboxHandle, command: Command, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(content)
    done = command("check", **sandbox.environment(), DAGSTER_HOME=str(tmp_path))
    assert done.code == 1
    assert findings(done.out)["Dagster"][0] == "FAILED"
    assert words in " ".join(done.out.split())


def test_the_check_fails_where_what_a_rebalance_reads_cannot_be_read(
    sandbox: SandboxHandle, command: Command, impatient: Path
) -> None:
    sandbox.admin("PUT", "/sandbox/faults", [{"kind": "503", "endpoint": "GET /v2/account/activities"}])
    try:
        done = command("check", **sandbox.environment(), TOKENOMICS_SETTINGS=str(impatient))
    finally:
        sandbox.admin("DELETE", "/sandbox/faults")
    assert findings(done.out)["Alpaca trading"][0] == "FAILED"


def test_the_check_fails_for_an_account_that_may_not_trade(sandbox: SandboxHandle, command: Command) -> None:
    sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True})
    try:
        done = command("check", **sandbox.environment())
    finally:
        sandbox.admin("PUT", "/sandbox/account", {})
    assert done.code == 1
    state, text = findings(done.out)["Alpaca trading"]
    assert state == "FAILED"
    assert "trading_blocked" in text


def test_a_command_in_the_sandbox_gets_its_environment_and_its_exit_code_is_passed_on(command: Command) -> None:
    program = (
        "import os, sys, urllib.request\n"
        "print(urllib.request.urlopen(os.environ['ALPACA_TRADING_URL'] + '/sandbox/health').status)\n"
        "print(*(os.environ[name] for name in sorted(os.environ) if name.startswith(('FINNHUB_', 'ALPACA_'))))\n"
        "sys.exit(7)"
    )
    done = command("sandbox", "--port", 0, "--listings", 150, "--", sys.executable, "-c", program)
    assert (done.code, done.err) == (7, "")
    said = re.fullmatch(r"sandbox on (\S+)\n(\d+)\n(.*)\n", done.out)
    assert said
    url, status, values = said.groups()
    assert status == "200"
    assert values.split() == ["PKSANDBOX", url, "sandbox-secret", url, "sandbox", f"{url}/api/v1"]
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/sandbox/health", timeout=5)


def test_a_command_that_dies_by_a_signal_ends_as_in_a_shell(command: Command) -> None:
    suicide = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert command("sandbox", "--port", 0, "--listings", 150, "--", sys.executable, "-c", suicide).code == 137


def test_a_command_that_is_not_there_is_one_sentence(command: Command) -> None:
    done = command("sandbox", "--port", 0, "--listings", 150, "--", "no-such-program")
    assert done.refused() == "no-such-program: No such file or directory"


@pytest.mark.soak
@pytest.mark.usefixtures("migrated")
def test_a_sandbox_of_its_own_says_where_it_is_keeps_others_from_its_state_and_saves_it_at_the_end(
    command: Command, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    arguments = [TOKENOMICS, "sandbox", "--port", "0", "--listings", "150", "--state", str(state), "--cash", "5000"]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(7)]
        variables = dict(line.removeprefix("  export ").strip().split("=", 1) for line in lines[1:])
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", variables["ALPACA_TRADING_URL"])
        assert command("check", **variables).code == 0
        refused = command("sandbox", "--port", 0, "--state", state, "--", "true").refused()
        assert refused == f"another demo, sandbox or `make ui` uses {state}: end it first"
        requests.post(f"{variables['ALPACA_TRADING_URL']}/sandbox/cash", json={"amount": "11"}, timeout=5)
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()
    assert json.loads(state.read_text())["broker"]["cash"] == "5011.00"


@pytest.mark.parametrize(
    "line", ["FINNHUB_API_KEY=sesame", "alpaca_trading_url=https://api.alpaca.markets", "REDIS_URL="]
)
def test_nothing_is_started_in_the_sandbox_beside_a_file_that_would_override_it(
    command: Command, tmp_path: Path, line: str
) -> None:
    (tmp_path / ".env").write_text(f"# mine\nOTHER=1\n{line}\n")
    done = command("sandbox", "--port", 0, "--", "dagster", "dev")
    name, _, value = line.partition("=")
    text = done.refused()
    assert text.startswith(f"{tmp_path / '.env'} sets {name}: dagster and dg load it")
    assert "on the real account" in text
    assert not value or value not in text
    assert done.out == ""


def test_dg_reads_the_file_of_its_project_so_that_one_counts_too(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ALPACA_API_KEY=sesame\n")
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert f"{tmp_path / '.env'} sets ALPACA_API_KEY" in command("sandbox", "--port", 0, "--", "dg", "dev").refused()
    assert command("sandbox", "--port", 0, "--listings", 150, "--", "true").code == 0


def test_a_file_without_the_platforms_variables_is_no_obstacle(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTHER=1\n")
    assert command("sandbox", "--port", 0, "--listings", 150, "--", "true").code == 0
