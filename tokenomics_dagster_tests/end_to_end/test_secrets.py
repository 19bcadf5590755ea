"""Whatever fails, no key or password gets out: not to a terminal, a log, an event, an exception, a file."""

import logging
import secrets
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage import publishing
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command, record_market

JOBS = ("universe_refresh", "fundamentals_refresh", "score", "rebalance")
ENDS = (JOBS[0], JOBS[-1])  # the jobs at both ends of the way: both APIs, the warehouse and orders
UNREACHABLE = "http://127.0.0.1:1"
# One of each variable that is secret, as if it stood in the environment; recognisable, and not to be guessed.
SECRETS = {
    name: f"{name.lower().replace('_', '')}{secrets.token_hex(12)}"
    for name in (
        "FINNHUB_API_KEY",
        "ALPACA_API_KEY",
        "ALPACA_SECRET_KEY",
        "REDIS_PASSWORD",
        "WEBHOOK",
        "CHANNEL",
        "SWITCH",
        "DATABASE",
    )
}
# Settings refuse addresses of apprise where it is not installed.
CHANNELS = {"ALERT_URLS": f"json://127.0.0.1:1/{SECRETS['CHANNEL']}"} if find_spec("apprise") else {}
WRONG = f"wrongkey{secrets.token_hex(12)}"
POSTGRES = f"postgresql+psycopg2://somebody:{SECRETS['DATABASE']}@127.0.0.1:1/none"
REDIS = f"redis://:{SECRETS['REDIS_PASSWORD']}@127.0.0.1:1/0"
METRICS = "GET /api/v1/stock/metric"
# How the platform is made to fail: variables, settings, faults of the sandbox; and which jobs fail by it.
FAILURES: dict[str, tuple[dict[str, str], dict[str, Any], list[dict[str, Any]], tuple[str, ...]]] = {
    "wrong Finnhub key": ({"FINNHUB_API_KEY": WRONG}, {}, [], ("universe_refresh", "fundamentals_refresh")),
    "Finnhub key with a line break": (
        {"FINNHUB_API_KEY": f"{WRONG}\n"},
        {},
        [],
        ("universe_refresh",),
    ),
    "wrong Alpaca key": ({"ALPACA_API_KEY": WRONG}, {}, [], ENDS),
    "wrong Alpaca secret": ({"ALPACA_SECRET_KEY": WRONG}, {}, [], JOBS),
    "no Alpaca secret": ({"ALPACA_SECRET_KEY": ""}, {}, [], ENDS),
    "Finnhub unreachable": ({"FINNHUB_BASE_URL": UNREACHABLE}, {}, [], ("universe_refresh", "fundamentals_refresh")),
    "Alpaca unreachable": ({"ALPACA_TRADING_URL": UNREACHABLE, "ALPACA_DATA_URL": UNREACHABLE}, {}, [], ENDS),
    "an unexpected answer": ({}, {}, [{"endpoint": "GET /*", "kind": "502_html"}], ENDS),
    "an answer that breaks off": ({}, {}, [{"endpoint": "GET /*", "kind": "truncated"}], ENDS),
    "many symbols failing": ({}, {}, [{"endpoint": METRICS, "every": 3, "kind": "500"}], ("fundamentals_refresh",)),
    "orders without an answer": (
        {},
        {},
        [{"endpoint": "POST /v2/orders", "kind": "504"}, {"endpoint": "GET /v2/orders*", "kind": "504"}],
        ("rebalance",),
    ),
    "empty universe": ({}, {"universe__security_types": ["NVDR"]}, [], ("universe_refresh",)),
    "Redis unreachable": ({"REDIS_URL": REDIS}, {}, [], ("universe_refresh",)),
    "Redis address with a slip": ({"REDIS_URL": REDIS.replace("redis:", "rediz:")}, {}, [], ("universe_refresh",)),
    "database unreachable": ({"TOKENOMICS_DATABASE_URL": POSTGRES}, {}, [], ENDS),
    "database address with a slip": ({"TOKENOMICS_DATABASE_URL": POSTGRES.replace("://", ":/")}, {}, [], ENDS),
    "database driver that is not there": (
        {"TOKENOMICS_DATABASE_URL": POSTGRES.replace("psycopg2", "asyncpg")},
        {},
        [],
        ENDS,
    ),
}


@pytest.fixture
def sandbox_options(tmp_path: Path) -> dict[str, Any]:
    return {
        "listings": 500,
        "seed": 7,
        "state": tmp_path / "sandbox.json",
        "finnhub_key": SECRETS["FINNHUB_API_KEY"],
        "alpaca_key": SECRETS["ALPACA_API_KEY"],
        "alpaca_secret": SECRETS["ALPACA_SECRET_KEY"],
    }


def found_in(text: str) -> list[str]:
    """Which of the secrets stand in a text, the user names of addresses and short words aside."""
    return [name for name, value in {**SECRETS, "the wrong key": WRONG}.items() if value in text]


def everything_logged(records: list[logging.LogRecord]) -> str:
    shown = logging.Formatter("%(name)s %(message)s")
    return "\n".join(f"{shown.format(record)} {record.args!r} {record.__dict__!r}" for record in records)


def all_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Everything that Dagster keeps about a run: itself with its tags and configuration, and each of its events."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    logs = instance.all_logs(run_id)
    assert logs
    return "\n".join([serialize_value(run), str(run), *(serialize_value(entry) + str(entry) for entry in logs)])


def files_in(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes().decode("latin-1")


def test_no_failure_leaves_a_secret_anywhere(
    platform: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(publishing, "_PATIENCE_S", 0)
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"{UNREACHABLE}/{SECRETS['WEBHOOK']}")
    for variable, value in CHANNELS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("HEALTHCHECK_URL", f"{UNREACHABLE}/{SECRETS['SWITCH']}")
    monkeypatch.setenv("REDIS_PASSWORD", SECRETS["REDIS_PASSWORD"])
    platform.run_all()
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh", "score")
    platform.configure(
        fundamentals__refresh_days=0,
        universe__profile_max_age_days=0,
        finnhub__max_attempts=1,
        alpaca__max_attempts=1,
        trading__lookup_grace_s=0,
    )
    settings = platform.settings_file.read_text()
    for name, (variables, changes, faults, jobs) in FAILURES.items():
        with monkeypatch.context() as wrong:
            for variable, value in variables.items():
                wrong.setenv(variable, value)
            platform.configure(**changes)
            platform.sandbox.admin("PUT", "/sandbox/faults", faults)
            for job in jobs:
                left = traces_of(platform, job)
                assert found_in(left) == [], f"{name}, {job}"
        platform.settings_file.write_text(settings)
        platform.sandbox.admin("DELETE", "/sandbox/faults")
        assert found_in(everything_logged(caplog.records)) == [], name
        caplog.clear()
        assert found_in("".join(capfd.readouterr())) == [], name
    platform.sandbox.admin("POST", "/sandbox/save")
    assert found_in(platform.sandbox.log()) == []
    kept = {path.relative_to(tmp_path).parts[0] for path, _ in files_in(tmp_path)}
    assert {"warehouse.db", "sandbox.json", "settings.yaml"} <= kept
    assert {path: names for path, text in files_in(tmp_path) if (names := found_in(text))} == {}


def traces_of(platform: Platform, job: str) -> str:
    """Runs a job that has to fail; what it leaves in Dagster, and its exception as Python prints and represents it.

    Settings that cannot be used let no run begin.
    """
    before = platform.instance.get_runs_count()
    with pytest.raises(Exception) as raised:  # which one is the business of other tests
        build_defs(load_settings()).resolve_job_def(job).execute_in_process(
            instance=platform.instance, partition_key="2026-08-31" if job == "rebalance" else None
        )
    texts = ["".join(traceback.format_exception(raised.value))]
    if not isinstance(raised.value, SettingsError):
        newest = platform.instance.get_runs(limit=1)[0]
        assert (newest.job_name, newest.status) == (job, dg.DagsterRunStatus.FAILURE)
        assert platform.instance.get_runs_count() == before + 1
        texts.append(all_of(platform.instance, newest.run_id))
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [raised.value]
    while todo:
        error = todo.pop()
        if error is None or any(error is one for one in seen):
            continue  # an error may be its own context
        seen.append(error)
        texts += [str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", []))]
        todo += [error.__cause__, error.__context__]
    return "\n".join(texts)


def test_the_search_finds_a_secret_that_is_there(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_bytes(b"\x00" + SECRETS["ALPACA_SECRET_KEY"].encode() + b"\x00")
    assert {path.name: found_in(text) for path, text in files_in(tmp_path / "deep")} == {"file": ["ALPACA_SECRET_KEY"]}
    run = platform.run("universe_refresh", tags={"somebody": SECRETS["FINNHUB_API_KEY"]})
    assert found_in(all_of(platform.instance, run.run_id)) == ["FINNHUB_API_KEY"]


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["status"], ["demo", "--settings", "wrong.yaml"], ["demo", "--replay", "nowhere"]],
    ids=" ".join,
)
def test_no_command_that_fails_shows_a_secret(
    command: Command, caplog: pytest.LogCaptureFixture, tmp_path: Path, arguments: list[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    quick = (REPOSITORY / "config/settings.yaml").read_text().replace("max_attempts: 5", "max_attempts: 1")
    (tmp_path / "quick.yaml").write_text(quick)
    (tmp_path / "wrong.yaml").write_text("universe: {size: many}")
    keys = {name: SECRETS[name] for name in ("FINNHUB_API_KEY", "ALPACA_API_KEY", "ALPACA_SECRET_KEY")}
    addresses = {"FINNHUB_BASE_URL": UNREACHABLE, "ALPACA_TRADING_URL": UNREACHABLE, "ALPACA_DATA_URL": UNREACHABLE}
    done = command(
        *arguments,
        **keys,
        **addresses,
        REDIS_URL=REDIS,
        TOKENOMICS_DATABASE_URL=POSTGRES,
        TOKENOMICS_SETTINGS="quick.yaml",
        ALERT_WEBHOOK_URL=f"{UNREACHABLE}/{SECRETS['WEBHOOK']}",
        HEALTHCHECK_URL=f"{UNREACHABLE}/{SECRETS['SWITCH']}",
        **CHANNELS,
    )
    assert done.code == 1
    assert found_in(done.out + done.err + everything_logged(caplog.records)) == []


@pytest.mark.soak
def test_a_demo_beside_a_file_with_secrets_leaves_none_of_them_in_its_folder(command: Command, tmp_path: Path) -> None:
    lines = [
        f"{name}={value}" for name, value in SECRETS.items() if name not in ("WEBHOOK", "CHANNEL", "SWITCH", "DATABASE")
    ]
    addresses = [
        f"REDIS_URL={REDIS}",
        f"TOKENOMICS_DATABASE_URL={POSTGRES}",
        f"ALERT_WEBHOOK_URL=http://{SECRETS['WEBHOOK']}",
        f"HEALTHCHECK_URL=http://{SECRETS['SWITCH']}",
    ]
    (tmp_path / ".env").write_text("\n".join([*lines, *addresses]))
    market = record_market(tmp_path, fundamentals=False)
    done = command("demo", "--replay", market, "--universe-size", 25)
    assert "score failed in scores: present: roe_ttm_pct is missing" in done.refused()
    assert found_in(done.out + done.err) == []
    kept = dict(files_in(tmp_path / ".tokenomics/demo"))
    assert {"settings.yaml", "sandbox.json", "warehouse.db", "runs.db"} <= {path.name for path in kept}
    assert {path: names for path, text in kept.items() if (names := found_in(text))} == {}
