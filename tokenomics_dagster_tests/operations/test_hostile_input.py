"""Names from outside (partition keys, run config, arguments, the providers' symbols) are data: they are refused or kept
as text, and never become a path, SQL or a command."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._cli import cli as dagster_cli
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.interfaces.demo import dagster_home, environment
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import WEEK

HOSTILE = {
    "path": "../../etc/passwd",
    "absolute path": "/tmp/tokenomics-was-here",
    "SQL": "'; DROP TABLE financials; --",
    "SQL in double quotes": '" OR "1"="1',
    "shell": "$(touch tokenomics-was-here)",
    "backticks": "`touch tokenomics-was-here`; touch tokenomics-was-here",
    "format": "%s{0}{settings}",
    "query": "AAPL&token=x#y?z=1",
    "long": "A" * 10_000,
    "other script": "\uff21\uff21PL\u202e",
}
CONTROL = {"new line": "AAPL\nMSFT", "NUL": "AAPL\0", "carriage return": "AAPL\r\nX-Header: 1"}
METRIC = "GET /api/v1/stock/metric"


@pytest.fixture
def copied(week: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A copy of the week that may be written, in the folder of the test."""
    folder = tmp_path / "copy"
    shutil.copytree(week.folder, folder)
    for name, value in environment(folder, week.sandbox.environment(), folder / "settings.yaml").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.from_config(str(dagster_home(folder))) as instance:
        made = replace(week, instance=instance, folder=folder, settings_file=folder / "settings.yaml")
        yield made
        if "store" in vars(made):
            made.store.close()


def tables(platform: Platform) -> dict[str, int]:
    """Number of rows of each table of the warehouse."""
    with closing(sqlite3.connect(platform.folder / "warehouse.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def files(folder: Path) -> set[Path]:
    """What lies in the folder, Dagster's own records of runs and databases' journals aside."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if "dagster" not in path.parts and not re.search(r"\.db-|\.lock$", path.name)}


def test_symbols_that_are_not_followed_are_refused_by_name_and_nothing_is_asked_or_stored(copied: Platform) -> None:
    symbols = [*HOSTILE.values(), *CONTROL.values()]
    before, there, calls = tables(copied), files(copied.folder.parent), copied.calls(METRIC)
    run = copied.run("fundamentals_refresh", run_config={"ops": {"financials": {"config": {"symbols": symbols}}}})
    assert not run.success
    assert "symbols that are not followed" in failure_of(run)
    assert (tables(copied), files(copied.folder.parent), copied.calls(METRIC)) == (before, there, calls)


def test_partitions_that_somebody_added_with_such_names_are_neither_asked_for_nor_stored(copied: Platform) -> None:
    """Whoever reaches the UI can add any key to the dynamic partitions: it gets as far as a symbol can."""
    symbols = list(HOSTILE.values())
    copied.instance.add_dynamic_partitions("symbols", symbols)
    check_that_nothing_comes_of(symbols, copied)


def check_that_nothing_comes_of(symbols: list[str], platform: Platform) -> None:
    before, there, calls = tables(platform), files(platform.folder.parent), platform.calls(METRIC)
    run = platform.run("fundamentals_refresh", run_config={"ops": {"financials": {"config": {"symbols": symbols}}}})
    assert not run.success
    # A sweep of which nothing can be asked for ends early.
    assert re.search(r"could not be fetched|is no ticker, and was not asked for", failure_of(run))
    assert (tables(platform), files(platform.folder.parent), platform.calls(METRIC)) == (before, there, calls)
    assert not Path("/tmp/tokenomics-was-here").exists()


# Dagster's own warnings of what it will drop: as errors they would refuse every request before it was looked at.
as_dagster_runs = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::dagster._utils.warnings.SupersessionWarning"
)


@as_dagster_runs
def test_the_command_line_of_dagster_takes_no_partition_that_is_none(copied: Platform) -> None:
    before, there = tables(copied), files(copied.folder.parent)
    for asset in ("financials", "orders"):
        for case in ("path", "SQL", "shell", "long"):
            options = ["--select", asset, "--partition", HOSTILE[case], "-m", "tokenomics_dagster.definitions"]
            done = CliRunner().invoke(dagster_cli, ["asset", "materialize", *options])
            assert done.exit_code != 0, (asset, case)
            assert f"containing the passed partition key `{HOSTILE[case]}`" in str(done.exception), (asset, case)
    assert (tables(copied), files(copied.folder.parent)) == (before, there)


def test_a_week_that_is_none_starts_nothing(copied: Platform) -> None:
    before = tables(copied)
    rebalance = build_defs(load_settings()).resolve_job_def("rebalance")
    for week in (*HOSTILE.values(), *CONTROL.values()):
        with pytest.raises((dg.DagsterInvariantViolationError, dg.DagsterUnknownPartitionError)):
            rebalance.execute_in_process(instance=copied.instance, partition_key=week)
    assert tables(copied) == before


@as_dagster_runs
@pytest.mark.soak  # a code server of its own: 5 s of CPU
def test_graphql_takes_no_partition_run_config_or_job_that_is_none(copied: Platform) -> None:
    before, there = tables(copied), files(copied.folder.parent)
    symbols = [*HOSTILE.values(), *CONTROL.values()]
    backfill = (
        "mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename } }"
    )
    launch = "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename } }"
    add = (
        "mutation ($key: String!, $selector: RepositorySelector!) { addDynamicPartition(partitionKey: $key, "
        'partitionsDefName: "symbols", repositorySelector: $selector) { __typename } }'
    )
    target = ModuleTarget("tokenomics_dagster.definitions", None, None, "tokenomics")
    with WorkspaceProcessContext(copied.instance, target) as process, process.create_request_context() as context:
        repository = {"repositoryLocationName": "tokenomics", "repositoryName": "__repository__"}

        def answer(query: str, **variables: Any) -> str:
            found = execute_dagster_graphql(context, query, variables=variables)
            return "error" if found.errors else str(next(iter(found.data.values()))["__typename"])

        def materialize(asset: str, partition: str) -> str:
            return answer(backfill, params={"assetSelection": [{"path": [asset]}], "partitionNames": [partition]})

        for symbol in symbols:
            assert materialize("financials", symbol) == "PartitionKeysNotFoundError"
            assert materialize("orders", symbol) == "PythonError"  # no date
            job = {"selector": {**repository, "pipelineName": symbol}, "mode": "default", "runConfigData": {}}
            assert answer(launch, params=job) == "PipelineNotFoundError"
        wrong = {"ops": {"financials": {"config": {"symbols": symbols, "command": "touch x"}}}}
        job = {"selector": {**repository, "pipelineName": "fundamentals_refresh"}, "mode": "default"}
        assert answer(launch, params={**job, "runConfigData": wrong}) == "RunConfigValidationInvalid"
        assert (tables(copied), files(copied.folder.parent)) == (before, there)
        # The same requests with names that exist are taken, so that it was the names.
        followed = copied.instance.get_dynamic_partitions("symbols")[0]
        assert materialize("financials", followed) == materialize("orders", WEEK) == "LaunchBackfillSuccess"
        # Dagster itself takes control characters here, though not from Python.
        for symbol in CONTROL.values():
            assert answer(add, key=symbol, selector=repository) == "AddDynamicPartitionSuccess"
    check_that_nothing_comes_of(list(CONTROL.values()), copied)


@pytest.mark.parametrize("case", [*HOSTILE, *CONTROL])
@pytest.mark.parametrize("arguments", [["approve"], ["audit", "show"]])
def test_arguments_that_are_no_plan_and_no_date_are_wrong_usage(
    command: Command, tmp_path: Path, arguments: list[str], case: str
) -> None:
    done = command(*arguments, "--", {**HOSTILE, **CONTROL}[case])
    assert done.code == 2, done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", ["path", "SQL", "shell", "format"])
def test_a_reason_is_kept_as_it_was_said(command: Command, tmp_path: Path, case: str) -> None:
    Warehouse("sqlite:///.tokenomics/warehouse.db").close()  # a halt makes none
    assert command("halt", HOSTILE[case]).code == 0
    with closing(Warehouse("sqlite:///.tokenomics/warehouse.db")) as store:
        halt = store.halted()
        assert halt is not None
        assert halt.reason == HOSTILE[case]
        assert store.verify_audit() is None
    assert {path.name for path in tmp_path.iterdir()} == {".tokenomics"}


@pytest.mark.parametrize("name", ["../x", "x'; DROP TABLE locks; --", "a/b\0c", "n" * 200])
def test_the_name_of_a_lock_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    """The account's number, as the broker tells it, is part of the lock's name."""
    folder = tmp_path / "inner"
    folder.mkdir()
    with closing(Warehouse(f"sqlite:///{folder}/warehouse.db")) as store, store.exclusive(name):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"inner"}


def test_a_symbol_of_the_provider_that_is_no_ticker_is_dropped(
    copied: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"symbol": symbol, "type": "Common Stock", "mic": "XNYS", "currency": "USD"}
        for symbol in [*HOSTILE.values(), *CONTROL.values(), "..", "-X", "BRK.B", "ABR-D", "AAPL"]
    ]
    body = json.dumps(rows)
    script = (
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = sys.argv[1].encode()\n"
        "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), H)\n"
        "sys.stdout.write(f'{server.server_port}\\n'); sys.stdout.flush(); server.handle_request()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, body], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        finnhub = FinnhubResource.from_settings(load_settings())
        asked = finnhub.model_copy(update={"base_url": f"http://127.0.0.1:{port}/api/v1"})
        with asked:
            listed = asked.listings()
    found = [listing.symbol for listing in listed.listings]
    assert found == ["BRK.B", "ABR-D", "AAPL"]
    assert "symbols are no tickers, dropped: " in caplog.text
    assert all(text.isascii() and text.isprintable() for row in listed.dropped.items() for text in row)
