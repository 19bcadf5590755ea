"""Whatever is wrong outside: one clear error, exit code 1, nothing half-written, what was there before stays."""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tokenomics_dagster.operations.common import failure_of
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage import publishing
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import (
    TOKENOMICS,
    Command,
    FinishedDemo,
    Outcome,
    record_market,
    run_program,
)

WEEK = "2026-08-24"
SETTINGS = (REPOSITORY / "config/settings.yaml").read_text()
CORRUPT = {
    "not yaml": ("[NYSE, NASDAQ]", "[NYSE, NASDAQ", r"settings\.yaml: not valid YAML at line \d+"),
    "a list": (SETTINGS, "- 1\n- 2\n", r"settings\.yaml: must hold sections \(alerts, .*universe\)"),
    "empty": (SETTINGS, "", r"settings\.yaml: must hold sections"),
    "a key twice": ("  size: 1500", "  size: 1500\n  size: 9", r"size stands twice"),
    "unknown key": ("  size:", "  sise: 9\n  size:", r"universe\.sise = 9 is not a known key; did you mean size\?"),
    "unknown exchange": (
        "[NYSE, NASDAQ]",
        "[NYSE, LSE]",
        r"universe\.exchanges.* = 'LSE' .* must be 'NYSE', 'NASDAQ' or",
    ),
    "unknown type": ("[Common Stock]", "[Stonk]", r"universe\.security_types.* = 'Stonk' is not allowed"),
    "impossible value": (
        "max_position_pct: 5.0",
        "max_position_pct: 500",
        r"rebalancing\.max_position_pct = 500(\.0)? is not allowed: must be less than or equal to 100",
    ),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_wrong_settings_stop_the_demo_before_anything_is_written(command: Command, tmp_path: Path, case: str) -> None:
    right, wrong, expected = CORRUPT[case]
    assert right in SETTINGS
    (tmp_path / "settings.yaml").write_text(SETTINGS.replace(right, wrong))
    said = command("demo", "--settings", "settings.yaml").refused()
    assert re.search(expected, said), said
    assert [path.name for path in tmp_path.iterdir()] == ["settings.yaml"]


def test_settings_that_are_no_text_are_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(b"\xff\xfe\x00")
    assert "settings.yaml: cannot be read" in command("demo", "--settings", "settings.yaml").refused()


def test_settings_that_are_not_there_are_one_sentence(command: Command, tmp_path: Path) -> None:
    assert "nowhere.yaml: cannot be read" in command("demo", "--settings", "nowhere.yaml").refused()
    assert list(tmp_path.iterdir()) == []


def test_a_recorded_market_that_is_damaged_is_one_sentence(command: Command, tmp_path: Path) -> None:
    market = record_market(tmp_path)
    listings = market / "listings.csv.gz"
    listings.write_bytes(listings.read_bytes()[:100])
    said = command("demo", "--replay", market).refused()
    assert "listings.csv.gz: cannot be read as gzipped CSV" in said
    assert not (tmp_path / ".tokenomics").exists()


def test_a_state_file_that_is_damaged_is_one_sentence(command: Command, tmp_path: Path) -> None:
    state = tmp_path / ".tokenomics/demo/sandbox.json"
    state.parent.mkdir(parents=True)
    state.write_text("{")
    assert f"state file {state}: " in command("demo", "--replay", record_market(tmp_path)).refused()
    assert state.read_text() == "{"


def test_a_folder_that_cannot_hold_the_demo_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".tokenomics").write_text("a file in the way")
    assert "run the demo in a folder that can be written" in command("demo").refused()


def test_a_storage_of_dagster_that_cannot_be_used_is_one_sentence(command: Command, tmp_path: Path) -> None:
    home = tmp_path / ".tokenomics/demo/dagster"
    (home / "history/runs.db").mkdir(parents=True)
    said = command("demo", "--replay", record_market(tmp_path)).refused(after_dagsters_own=True)
    assert said == (
        f"Dagster's storage in {home}: unable to open database file; make room, or run the demo in a folder that can "
        "be written"
    )


@pytest.mark.soak
def test_a_demo_on_an_empty_universe_names_the_settings_to_look_at(command: Command, tmp_path: Path) -> None:
    market = record_market(tmp_path)
    (tmp_path / "settings.yaml").write_text(SETTINGS.replace("[NYSE, NASDAQ]", "[AMEX]"))
    said = command("demo", "--replay", market, "--settings", "settings.yaml", "--json", "out.json").refused()
    assert said == (
        "universe_refresh failed in listings: exchanges: none of the 30 listings is a Common Stock on AMEX: check "
        "universe.exchanges and universe.security_types: nothing is stored, the last listings stay"
    )
    assert snapshots(tmp_path / ".tokenomics/demo/warehouse.db") == {}
    assert not (tmp_path / "out.json").exists()


@pytest.mark.soak
def test_a_demo_without_any_metric_keeps_no_scores_and_trades_nothing(command: Command, tmp_path: Path) -> None:
    market = record_market(tmp_path, fundamentals=False)
    said = command("demo", "--replay", market, "--universe-size", 25).refused()
    assert re.fullmatch(r"score failed in scores: present: roe_ttm_pct is missing for 100\.0 %; .*", said), said
    assert snapshots(tmp_path / ".tokenomics/demo/warehouse.db") == {"listings": 30, "universe": 25}


def snapshots(warehouse: Path) -> dict[str, int]:
    """Rows of each asset; every snapshot must be whole."""
    with closing(sqlite3.connect(warehouse)) as database:
        stored = database.execute("select id, asset, row_count from snapshots").fetchall()
        for number, asset, rows in stored:
            found = database.execute(f"select count(*) from {asset} where snapshot_id = ?", [number]).fetchone()
            assert found == (rows,), asset
    return {asset: rows for _, asset, rows in stored}


IMPATIENT: dict[str, Any] = {"finnhub__max_attempts": 1, "alpaca__max_attempts": 1}
UNREACHABLE = "http://127.0.0.1:1"
JOBS = ("universe_refresh", "fundamentals_refresh", "score", "rebalance")
# What is wrong: variables and settings; per job that it concerns, words of its one error.
WRONG: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, str]]] = {
    "Redis unreachable": (
        {"REDIS_URL": "redis://127.0.0.1:1"},
        {},
        dict.fromkeys(("universe_refresh", "score"), "Redis at 127.0.0.1:1: "),
    ),
    "no Finnhub key": (
        {"FINNHUB_API_KEY": ""},
        {},
        dict.fromkeys(("universe_refresh", "fundamentals_refresh"), "FINNHUB_API_KEY is not set: export it"),
    ),
    "wrong Finnhub key": (
        {"FINNHUB_API_KEY": "wrong"},
        {},
        {
            "universe_refresh": "status 401, Invalid API key: check FINNHUB_API_KEY",
            "fundamentals_refresh": "status 401, Invalid API key: check FINNHUB_API_KEY",
        },
    ),
    "Finnhub unreachable": (
        {"FINNHUB_BASE_URL": UNREACHABLE},
        IMPATIENT,
        {
            "universe_refresh": "GET /stock/symbol: no answer, the host cannot be reached",
            "fundamentals_refresh": "symbols in a row failed and the sweep was stopped, the host cannot be reached",
        },
    ),
    "no Alpaca keys": (
        {"ALPACA_API_KEY": "", "ALPACA_SECRET_KEY": ""},
        {},
        dict.fromkeys(
            JOBS, "ALPACA_API_KEY is not set: export it"
        ),
    ),
    "wrong Alpaca secret": (
        {"ALPACA_SECRET_KEY": "wrong"},
        {},
        dict.fromkeys(
            JOBS,
            "status 401, request is not authorized: check ALPACA_API_KEY and ALPACA_SECRET_KEY",
        ),
    ),
    "Alpaca unreachable": (
        {"ALPACA_TRADING_URL": UNREACHABLE},
        IMPATIENT,
        dict.fromkeys(
            JOBS, "the host cannot be reached"
        ),
    ),
    "Alpaca data unreachable": (
        {"ALPACA_DATA_URL": UNREACHABLE},
        IMPATIENT,
        dict.fromkeys(("universe_refresh", "rebalance"), "/v2/stocks/snapshots: no answer, the host cannot be reached"),
    ),
    "empty universe": (
        {},
        {"universe__security_types": ["NVDR"]},
        {"universe_refresh": "is a NVDR on NYSE or NASDAQ: check universe.exchanges and universe.security_types"},
    ),
    "a database that is no address": (
        {"TOKENOMICS_DATABASE_URL": "warehouse.db"},
        {},
        dict.fromkeys(
            JOBS, "TOKENOMICS_DATABASE_URL is not a database address"
        ),
    ),
}  # fmt: skip


@pytest.mark.soak
def test_each_wrong_thing_fails_its_jobs_with_one_sentence_and_leaves_what_was_stored(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_PATIENCE_S", 0)
    platform.run_all()
    # A week later everything is to be asked for and decided again.
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh")
    platform.configure(fundamentals__refresh_days=0)
    settings = platform.settings_file.read_text()
    before = contents(platform)
    for name, (variables, changes, jobs) in WRONG.items():
        with monkeypatch.context() as wrong:
            for variable, value in variables.items():
                wrong.setenv(variable, value)
            platform.configure(**changes)
            for job, words in jobs.items():
                said = reason_of_failure(platform, job)
                assert words in said, f"{name}, {job}: {said}"
        platform.settings_file.write_text(settings)
        after = contents(platform)
        stored = {table for table in before if after[table] != before[table]}
        # Only whole assets of steps that came before the one that failed (what is published is stored before).
        whole = {"listings", "target_weights", *({"profiles", "universe", "scores"} if "Redis" in name else ())}
        assert stored <= {"snapshots", "audit", "audit_head", *whole}, name
        snapshots(platform.folder / "warehouse.db")
        assert all(set(before[table]) <= set(after[table]) for table in stored - {"audit_head"}), name
        assert {kind for _, _, kind, *_ in set(after["audit"]) - set(before["audit"])} <= {"snapshot"}, name
        before = after
    assert platform.calls("POST /v2/orders") == 20


def reason_of_failure(platform: Platform, job: str) -> str:
    """What a person reads: exactly one step failed, and its reason is one line, as the demo would print it; or settings
    that cannot be used let no run begin."""
    try:
        run = platform.run(job, week="2026-08-31" if job == "rebalance" else None)
    except SettingsError as error:
        said = str(error)
    else:
        assert not run.success
        failed = [event.step_key for event in run.all_events if event.is_step_failure]
        assert len(failed) <= 1, failed
        said = failure_of(run)
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def contents(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but the log of sweeps, which says that one began."""
    with closing(sqlite3.connect(platform.folder / "warehouse.db")) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {
            name: database.execute(f"select * from {name} order by 1, 2").fetchall()
            for name in names
            if name != "sweeps"
        }


@pytest.fixture
def full(platform: Platform) -> Iterator[None]:
    """Every connection to the warehouse that is opened finds no free page beyond those that are used."""

    def limit(connection: Any, _record: Any) -> None:
        if connection.execute("pragma database_list").fetchone()[2].endswith("/warehouse.db"):
            connection.execute("pragma max_page_count = 1")  # SQLite makes it the number of pages that there are

    sa.event.listen(sa.Engine, "connect", limit)
    yield
    sa.event.remove(sa.Engine, "connect", limit)


@pytest.mark.soak
@pytest.mark.parametrize("condition", ["read-only", "full"])
def test_a_database_that_takes_nothing_keeps_what_it_has_and_nothing_is_ordered(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, condition: str
) -> None:
    platform.run_all()
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    for symbol in platform.broker().positions():
        platform.sandbox.admin("PUT", "/sandbox/prices", {symbol: "77.00"})
    platform.must_run("fundamentals_refresh", "score")
    platform.configure(fundamentals__refresh_days=0)
    before, sent = contents(platform), platform.calls("POST /v2/orders")
    if condition == "full":
        request.getfixturevalue("full")
        words = "database or disk is full"
    else:
        address = load_environment().tokenomics_database_url.get_secret_value().removeprefix("sqlite:///")
        monkeypatch.chdir(platform.folder)
        monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///file:{address}?mode=ro&uri=true")
        words = "attempt to write a readonly database"
    for job in ("score", "rebalance", "universe_refresh", "fundamentals_refresh"):
        said = reason_of_failure(platform, job)
        assert words in said, job
        assert (
            "check that TOKENOMICS_DATABASE_URL is right, the server runs, there is room, and it can be written" in said
        )
    after = contents(platform)
    # What little found room is whole: symbols of a sweep that did not finish, and an asset before the one that failed.
    # The audit grows by what is refused; its one-row head changes with it.
    grows = {"audit", "audit_head", "equity_marks", "financials", "snapshots", "listings", "target_weights"}
    room = {"full": grows, "read-only": set()}[condition]
    assert {table for table in before if after[table] != before[table]} <= room
    assert all(set(before[table]) <= set(after[table]) for table in room - {"audit_head"})
    snapshots(platform.folder / "warehouse.db")
    assert platform.calls("POST /v2/orders") == sent


def test_the_check_says_when_the_database_cannot_be_written(
    finished_demo: FinishedDemo, tmp_path: Path, command: Command
) -> None:
    shutil.copy(finished_demo.home / "warehouse.db", tmp_path / "copy.db")
    url = f"sqlite:///file:{tmp_path}/copy.db?mode=ro&uri=true"
    done = command("check", TOKENOMICS_DATABASE_URL=url)
    assert done.code == 1
    assert re.search(r"database +FAILED +warehouse .*: attempt to write a readonly database; check", done.out)


def in_own_mounts(script: str, *arguments: Any, cwd: Path) -> Outcome:
    """Runs a shell script that may mount file systems, seen by it alone."""
    isolated = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount file systems")
    return run_program(*isolated, "sh", "-ec", script, "sh", *arguments, cwd=cwd)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
# A file system that holds what the folder holds, and 8 KB.
FULL = (
    'mkdir small; mount -t tmpfs -o size=$(($(du -sk --apparent-size "$1" | cut -f1) + $2))k tmpfs small; '
    'cp -r "$1/." small; mount --bind small "$1"'
)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("what", "mounting", "words"),
    [
        pytest.param("warehouse.db", READ_ONLY, "attempt to write a readonly database", marks=pytest.mark.soak),
        pytest.param(".", READ_ONLY, "Read-only file system; the state needs a folder", marks=pytest.mark.soak),
        (".", FULL, "; make room, or run the demo in a folder that can be written"),
    ],
    ids=["read-only warehouse", "read-only folder", "full disk"],
)
def test_a_demo_whose_folder_takes_nothing_is_one_sentence_and_keeps_the_last_one(
    finished_demo: FinishedDemo, tmp_path: Path, what: str, mounting: str, words: str
) -> None:
    home = tmp_path / ".tokenomics/demo"
    shutil.copytree(finished_demo.home, home)
    before = snapshots(home / "warehouse.db")
    demo_again = [TOKENOMICS, "demo", "--replay", finished_demo.market, "--universe-size", 25]
    done = in_own_mounts(f'{mounting}\nshift 2; exec "$@"', home / what, 200, *demo_again, cwd=tmp_path)
    assert words in done.refused(after_dagsters_own=what == ".")
    assert snapshots(home / "warehouse.db") == before
