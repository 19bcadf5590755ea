"""JSON logs: one line for each record, on the right stream, with its ids, once, and never with a secret."""

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit import logs
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import without_platform_variables
from tokenomics_dagster_tests.operations.conftest import WEEK, ledger, telling

NOON = datetime(2026, 8, 24, 16, 0, tzinfo=UTC)
PASSWORD = "pass w/rd%1"
SECRETS = {
    "FINNHUB_API_KEY": "finnhubkey0123456789",
    "ALPACA_API_KEY": 'key"with\\quotes\n',
    "ALPACA_SECRET_KEY": "s",
    "REDIS_URL": "redis://:pass%20w%2Frd%251@127.0.0.1:1/0",
    "TOKENOMICS_DATABASE_URL": "postgresql+psycopg2://me:dbpassword@127.0.0.1/x",
    "ALERT_WEBHOOK_URL": "https://hooks.example/T0/B0/abcdef",
    "HEALTHCHECK_URL": "https://hc.example/0a1b2c3d",
}


def lines(folder: Path, stream: str) -> list[dict[str, Any]]:
    file = folder / f"{stream}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of the logs, while everything is told."""
    monkeypatch.setenv("TOKENOMICS_LOGS", str(tmp_path / "logs"))
    with telling():
        yield tmp_path / "logs"


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    yield warehouse
    warehouse.close()


def test_every_order_is_followed_to_its_end_with_its_ids_in_the_stream_of_trades(at_week: Platform) -> None:
    told = lines(at_week.folder / "logs", "trades")
    rows = ledger(at_week)
    assert {line["stream"] for line in told} == {"trades"}
    (head,) = (line for line in told if "order_id" not in line)
    assert at_week.store.record_with(head["hash"]) == head["audit"], "the audit's end is noted beside the trades"
    told.remove(head)
    [run] = {(line["run_id"], line["job"], line["asset"], line["partition"], line["plan_id"]) for line in told}
    assert at_week.instance.get_run_by_id(run[0]) is not None
    assert run[1:] == ("rebalance", "orders", WEEK, rows[0].plan_id)
    last = {line["order_id"]: line for line in told}
    assert {order: (line["symbol"], line["side"], line["status"]) for order, line in last.items()} == {
        row.client_order_id: (row.symbol, row.side, row.status) for row in rows
    }
    assert all(f"filled, {row.filled_qty} filled at" in last[row.client_order_id]["message"] for row in rows)


def test_plan_and_books_are_in_the_stream_of_decisions(at_week: Platform) -> None:
    told = lines(at_week.folder / "logs", "decisions")
    kinds = Counter(line["kind"] for line in told if "kind" in line)
    assert kinds == {"plan": 1, "fulfilment": 1, "reconciliation": 1}
    assert len({line["plan_id"] for line in told}) == 1
    assert all(line["run_id"] and line["week"] == WEEK for line in told if "kind" in line)


def test_the_application_stream_tells_of_each_run_its_steps_and_its_end(at_week: Platform) -> None:
    told = lines(at_week.folder / "logs", "application")
    ended = {line["job"] for line in told if line.get("event") == "PIPELINE_SUCCESS"}
    assert ended == {"universe_refresh", "fundamentals_refresh", "score", "rebalance"}
    steps = {line["asset"] for line in told if line.get("event") == "STEP_SUCCESS"}
    assert {"listings", "universe", "financials", "scores", "orders", "portfolio_report"} <= steps


def test_a_record_is_told_once_though_dagster_and_the_root_logger_both_hand_it_over(at_week: Platform) -> None:
    for stream in logs.STREAMS:
        told = [
            (line["message"], line.get("run_id"), line.get("audit")) for line in lines(at_week.folder / "logs", stream)
        ]
        assert told
        repeated = [what for what, count in Counter(told).items() if count > 1 and what[2] is not None]
        assert repeated == []
    phases = [
        line["message"] for line in lines(at_week.folder / "logs", "application") if "reconcile" in line["message"]
    ]
    assert phases == [f"rebalance of {WEEK}: reconcile"]


def test_what_a_person_decides_outside_of_a_run_is_a_decision(folder: Path, small_store: Warehouse) -> None:
    small_store.halt("the feed is wrong", by="ann", at=NOON)
    small_store.approve("2026-08-24-0123456789ab", 64 * "0", by="bob", at=NOON)
    small_store.audit("stopped", {"plan_id": "p", "reason": "guards.max_turnover_pct"}, at=NOON)
    small_store.resume("it is right again", by="ann", at=NOON)
    told = lines(folder, "decisions")
    assert [line["kind"] for line in told] == ["halt", "approval", "stopped", "resume"]
    assert told[0]["reason"] == "the feed is wrong"
    assert told[0]["by"] == "ann"
    assert told[1]["plan_id"] == "2026-08-24-0123456789ab"
    assert [line["audit"] for line in told] == [1, 2, 3, 4]
    assert "run_id" not in told[0]


def test_nothing_is_told_of_what_was_not_committed(folder: Path, small_store: Warehouse) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        small_store.halt("too early", by="ann", at=NOON.replace(tzinfo=None))
    assert lines(folder, "decisions") == []


def test_a_run_that_failed_is_told_with_its_error_and_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENOMICS_LOGS", str(tmp_path / "logs"))

    @dg.asset
    def broken() -> None:
        raise dg.Failure("nothing fits: look at the feed", allow_retries=False)

    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as instance:
        run = dg.materialize([broken], instance=instance, raise_on_error=False)
    failed = [line for line in lines(tmp_path / "logs", "application") if line.get("event") == "STEP_FAILURE"]
    assert [(line["run_id"], line["asset"], line["level"]) for line in failed] == [(run.run_id, "broken", "ERROR")]
    assert "nothing fits" in json.dumps(lines(tmp_path / "logs", "application"))


def formatted(environment: Environment, *arguments: Any, exception: bool = False, **extra: Any) -> str:
    record = logging.LogRecord("tokenomics.x", logging.INFO, "f", 1, arguments[0], tuple(arguments[1:]), None)
    record.__dict__.update(extra)
    if exception:
        try:
            raise ValueError(*map(str, extra.values()))
        except ValueError:
            record.exc_info = sys.exc_info()
    return logs.JsonFormatter(environment).format(record)


@pytest.fixture
def secret_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return Environment()


@pytest.mark.parametrize("secret", [*SECRETS.values(), "dbpassword", PASSWORD])
def test_no_secret_gets_through_wherever_it_stands(secret_environment: Environment, secret: str) -> None:
    line = formatted(secret_environment, "call of %s failed", secret, url=f"<{secret}>", deep={secret: {"x": secret}})
    told = json.loads(line)
    assert secret not in f"{told['url']}{told['deep']}" or secret in logs.REDACTED
    assert told["url"] == f"<{logs.REDACTED}>"
    assert logs.REDACTED in told["message"]
    if len(secret) > 1:
        assert secret not in line
        assert json.dumps(secret)[1:-1] not in line
        assert secret not in formatted(secret_environment, "x", exception=True, url=secret)


@given(st.text(min_size=6).filter(str.strip), st.text(), st.text())
def test_any_secret_is_redacted_in_any_text(secret: str, before: str, after: str) -> None:
    environment = Environment.model_construct(
        finnhub_api_key=Environment.model_validate({"finnhub_api_key": secret}).finnhub_api_key
    )
    told = json.loads(formatted(environment, "%s", before + secret + after))
    assert secret not in told["message"].replace(logs.REDACTED, "")


def test_the_tokens_inside_of_an_address_of_apprise_are_redacted_and_words_are_not() -> None:
    urls = (
        "slack://T0KEN1234/B0KEN5678/x9%2FKEN90/#tokenomics mailtos://me:long_passw0rd@mail.example.com discord://1/2"
    )
    environment = Environment.model_construct(alert_urls=SecretStr(urls))
    for secret in ("T0KEN1234", "B0KEN5678", "x9%2FKEN90", "x9/KEN90", "long_passw0rd", *urls.split()):
        told = json.loads(formatted(environment, "call of %s failed", secret))
        assert told["message"] == f"call of {logs.REDACTED} failed"
    assert json.loads(formatted(environment, "tokenomics at mail.example.com"))["message"].startswith("tokenomics at m")


def test_the_address_of_the_embedded_database_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENOMICS_DATABASE_URL", raising=False)
    assert logs.secrets_of(Environment()) == ()


def test_a_partition_is_a_symbol_where_the_house_says_so(secret_environment: Environment) -> None:
    build_defs(Settings(environment=secret_environment))

    def told(asset: str, partition: str) -> dict[str, Any]:
        meta = {"step_key": asset, "job_tags": {"dagster/partition": partition}}
        line: dict[str, Any] = json.loads(formatted(secret_environment, "x", dagster_meta=meta))
        return line

    assert told("financials", "AAPL")["symbol"] == "AAPL"
    assert "symbol" not in told("orders", WEEK)
    assert told("orders", WEEK)["partition"] == WEEK


def test_a_value_is_bounded_and_says_what_was_cut() -> None:
    told = json.loads(formatted(Environment.model_construct(), "y" * 5_000))
    assert told["message"].endswith("... (2000 more characters)")
    assert len(told["message"]) < 3_100


def test_figures_that_json_does_not_know_are_text(secret_environment: Environment) -> None:
    told = json.loads(
        formatted(secret_environment, "x", share=float("nan"), limit=float("inf"), count=3, day=NOON.date())
    )
    assert (told["share"], told["limit"], told["count"], told["day"]) == ("nan", "inf", 3, "2026-08-24")


@pytest.mark.parametrize(
    ("logger", "stream"),
    [
        ("tokenomics.trades", "trades"),
        ("tokenomics.decisions", "decisions"),
        ("tokenomics.execution", "application"),
        ("tokenomics.application", "application"),
        ("tokenomics", "application"),
        ("trades", "application"),
        ("dagster", "application"),
    ],
)
def test_the_logger_decides_the_stream(logger: str, stream: str) -> None:
    assert logs.stream_of(logger) == stream


def test_without_a_place_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENOMICS_LOGS", "")
    before = list(logging.getLogger().handlers)
    logs.start()
    assert logging.getLogger().handlers == before
    assert type(logs.handler()) is logging.NullHandler


def test_a_folder_that_cannot_be_written_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOKENOMICS_LOGS", str(tmp_path / "file" / "logs"))
    with pytest.raises(SettingsError, match=r"TOKENOMICS_LOGS = .* cannot be written .*name a folder"):
        logs.start()


def test_a_line_that_cannot_be_written_is_lost_and_said_and_stops_nothing(
    folder: Path, small_store: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "application.jsonl").unlink()
    folder.rmdir()
    small_store.halt("x", by="ann", at=NOON)
    assert small_store.halted() is not None
    assert "a log line was lost" in capsys.readouterr().err


def test_a_file_may_be_rotated_at_any_time(folder: Path) -> None:
    log = logging.getLogger("tokenomics.trades")
    log.info("before")
    (folder / "trades.jsonl").rename(folder / "trades.jsonl.1")
    log.info("after")
    assert [line["message"] for line in lines(folder, "trades")] == ["after"]


def test_processes_that_log_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    script = (
        "import logging, sys; from tokenomics_dagster.kit import logs; logs.start()\n"
        "for i in range(300): logging.getLogger('tokenomics.trades').info('%s', sys.argv[1] * 2000, extra={'i': i})"
    )
    variables = {**without_platform_variables(), "TOKENOMICS_LOGS": str(tmp_path / "logs")}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, letter], cwd=tmp_path, env=variables) for letter in "ab"
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    told = lines(tmp_path / "logs", "trades")
    assert Counter(line["message"] for line in told) == {"a" * 2000: 300, "b" * 2000: 300}


def test_in_a_container_lines_go_to_standard_output(tmp_path: Path) -> None:
    script = (
        "import logging; from tokenomics_dagster.kit import logs; logs.start(); logging.getLogger('x').warning('hi')"
    )
    variables = {**without_platform_variables(), "TOKENOMICS_LOGS": "-"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    [told] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told["level"], told["stream"], told["logger"], told["message"]) == ("WARNING", "application", "x", "hi")
    assert datetime.fromisoformat(told["at"]).tzinfo is not None


def test_a_command_keeps_its_standard_output_for_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENOMICS_LOGS", "-")
    before = list(logging.getLogger().handlers)
    logs.start_for_command()
    assert logging.getLogger().handlers == before
