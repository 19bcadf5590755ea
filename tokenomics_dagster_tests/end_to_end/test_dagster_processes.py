"""Dagster as people run it, in processes of its own: `make ui` with its daemon, and the command line tools."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dagster as dg
import pytest
import requests

from tokenomics_dagster.sandbox.world import SandboxOptions
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.browser import browser
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.conftest import (
    Command,
    FinishedDemo,
    tokenomics,
    without_platform_variables,
)

T = TypeVar("T")
BIN = Path(sys.executable).parent
REPO = {"repositoryLocationName": "tokenomics", "repositoryName": "__repository__"}
FINANCIALS = {"path": ["financials"]}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass
class Ui:
    """A running `make ui`, asked as the pages in the browser ask it."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30).json()
        assert "errors" not in answer, answer["errors"]
        (value,) = answer["data"].values()
        assert value["__typename"] not in ("PythonError", "UnauthorizedError"), value
        return value

    def launch(self, job: str, run_config: dict[str, Any] | None = None) -> str:
        query = (
            "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename "
            "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
        )
        params = {"selector": {**REPO, "pipelineName": job}, "mode": "default", "runConfigData": run_config or {}}
        launched = self.ask(query, params=params)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def backfill(self, symbols: list[str]) -> str:
        query = (
            "mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename "
            "... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"
        )
        launched = self.ask(query, params={"assetSelection": [FINANCIALS], "partitionNames": symbols})
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def runs(self, **tags: str) -> list[str]:
        """Statuses of the runs with these tags, the newest first."""
        query = (
            "query ($filter: RunsFilter!) { runsOrError(filter: $filter) { __typename "
            "... on Runs { results { status } } ... on PythonError { message } } }"
        )
        wanted = [{"key": f"dagster/{key}", "value": value} for key, value in tags.items()]
        return [str(run["status"]) for run in self.ask(query, filter={"tags": wanted})["results"]]

    def listed(self, job: str) -> list[dict[str, str]]:
        """Where the runs belong that a job's page and its row in the timeline list."""
        query = (
            "query ($filter: RunsFilter!) { runsOrError(filter: $filter) { __typename ... on Runs { results { "
            "repositoryOrigin { repositoryLocationName repositoryName } } } ... on PythonError { message } } }"
        )
        tag = {"key": ".dagster/repository", "value": "__repository__@tokenomics"}
        found = self.ask(query, filter={"pipelineName": job, "tags": [tag]})["results"]
        return [run["repositoryOrigin"] for run in found]

    def all_finished(self, backfill: str) -> list[str] | None:
        """The statuses of all runs of a backfill, when they have ended; it starts all that it needs at once."""
        statuses = self.runs(backfill=backfill)
        return statuses if statuses and set(statuses) <= ENDED else None

    def finished(self, run: str) -> str | None:
        """The status of a run that has ended."""
        query = "query ($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"
        status = str(self.ask(query, id=run)["status"])
        return status if status in ENDED else None

    def dry_run(self, kind: str, name: str) -> Any:
        query = (
            f"mutation ($selector: {kind.title()}Selector!) {{ {kind}DryRun(selectorData: $selector"
            + (", timestamp: 1787580000" if kind == "schedule" else ", cursor: null")
            + ") { __typename ... on DryRunInstigationTick { evaluationResult { skipReason error { message } "
            "runRequests { runKey jobName tags { key value } } } } ... on PythonError { message } } }"
        )
        result = self.ask(query, selector={**REPO, f"{kind}Name": name})["evaluationResult"]
        assert result["error"] is None, result["error"]
        return result


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@pytest.fixture
def checkout(finished_demo: FinishedDemo, tmp_path: Path) -> FinishedDemo:
    """A checkout in which a demo has run; its .env is somebody's own."""
    if not shutil.which("make"):
        pytest.skip("make is not on PATH")
    for name in ("Makefile", "workspace.yaml", "dagster.yaml"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    (tmp_path / ".env").write_text(
        "ALPACA_TRADING_URL=http://127.0.0.1:1\nFINNHUB_BASE_URL=http://127.0.0.1:1/api/v1\n"
    )
    copied = replace(finished_demo, folder=tmp_path)
    shutil.copytree(finished_demo.home, copied.home)
    return copied


@contextmanager
def make_ui(checkout: FinishedDemo) -> Iterator[Ui]:
    """`make ui` until the block ends, then Ctrl-C."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = checkout.folder / "ui.log"
    with log.open("w") as output:
        # -o: the environment of this checkout is that of the tests, and not to be made
        process = subprocess.Popen(
            ["make", "-o", ".venv/ready", "ui", f"PORT={port}"],
            cwd=checkout.folder,
            env=without_platform_variables(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ui = Ui(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"{ui.url}/server_info", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        until(answers, 120, "the UI answers")
        yield ui
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(40)


def processes_of(checkout: FinishedDemo) -> list[str]:
    """Command lines of the processes that work on the demo's instance."""
    ours = f"DAGSTER_HOME={checkout.home}/dagster".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if ours in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # another user's, or gone meanwhile
            continue
    return found


@pytest.mark.soak
def test_what_a_person_does_in_the_ui_works_on_the_state_that_the_demo_left(
    checkout: FinishedDemo, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = checkout.result["universe"]
    scattered, repaired = [followed[2], followed[11]], [followed[5], followed[17]]
    state = checkout.home / "sandbox.json"
    with make_ui(checkout) as ui:
        locations = ui.ask(
            "{ workspaceOrError { __typename ... on Workspace { locationEntries { name loadStatus "
            "locationOrLoadError { __typename ... on PythonError { message } } } } } }"
        )
        assert locations["locationEntries"] == [
            {"name": "tokenomics", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
        ]
        for job in list(checkout.result["seconds"])[:-1]:
            assert ui.listed(job) == [REPO], "the demo's runs are on the pages of their jobs"
        assert f"ui_url: {ui.url}\n" in (checkout.home / "settings.yaml").read_text()
        some, everyone = ui.backfill(scattered), ui.backfill(followed)
        repair = ui.launch("fundamentals_refresh", {"ops": {"financials": {"config": {"symbols": repaired}}}})

        assert ui.dry_run("schedule", "rebalance")["skipReason"] == "the week of 2026-08-24 has been rebalanced"
        assert "has been scored" in ui.dry_run("sensor", "scores_when_complete")["skipReason"]

        in_use = f"another demo, sandbox or `make ui` uses {state}: end it first"
        monkeypatch.chdir(checkout.folder)
        assert command("demo", "--replay", checkout.market).refused() == in_use
        monkeypatch.chdir(checkout.home)
        assert command("sandbox", "--port", 0, "--state", "sandbox.json", "--", "true").refused() == in_use

        assert until(partial(ui.finished, repair), 120, "the run has ended") == "SUCCESS"
        # Dagster makes a run of each symbol that has no neighbour in the selection, and one of a whole range.
        for backfill, runs in ((some, 2), (everyone, 1)):
            assert until(partial(ui.all_finished, backfill), 180, "the backfill has ended") == ["SUCCESS"] * runs
        assert processes_of(checkout)
        saved_at = state.stat().st_mtime_ns

    until(lambda: not processes_of(checkout), 60, "every process has ended")
    assert state.stat().st_mtime_ns > saved_at
    monkeypatch.setenv("DAGSTER_HOME", str(checkout.home / "dagster"))
    with dg.DagsterInstance.get() as instance:
        assert materialized(instance, run_ids=[repair]) == sorted(repaired)
        assert materialized(instance, tags={"dagster/backfill": some}) == sorted(scattered)
        assert materialized(instance, tags={"dagster/backfill": everyone}) == sorted(followed)
    options = ["--replay", checkout.market, "--universe-size", 25, "--json", "again.json"]
    assert tokenomics("demo", *options, cwd=checkout.folder).code == 0
    again = json.loads((checkout.folder / "again.json").read_text())
    assert again["orders"] == checkout.result["orders"], "those of the week, and none more"
    assert again["cash"] == checkout.result["cash"]


RUNS = "{ runsOrError { __typename ... on Runs { results { runId } } ... on PythonError { message } } }"
LISTED = "[...document.querySelectorAll('a[href*=\"/jobs/\"]')].map(a => a.href.split('/').at(-1))"
PICTURED = "[...document.images].some(one => one.complete && one.naturalWidth > 400)"
OPENED = (
    "const all = document.evaluate('//*[text()=\"[Show Markdown]\"]', document, null, 9); all.singleNodeValue?.click()"
)
# What Apollo, by which Dagster's pages ask, tells of its own use there; warnings, with an address that nobody fetches.
OF_APOLLO = "An error occurred! For more details, see the full error text at https://go.apollo.dev/c/err#"


@pytest.mark.soak
def test_the_pages_of_the_ui_show_the_demos_runs_complain_of_nothing_and_ask_this_machine_alone(
    checkout: FinishedDemo, tmp_path: Path
) -> None:
    jobs = sorted(list(checkout.result["seconds"])[:-1])
    asked, complaints = set[str](), list[str]()
    with make_ui(checkout) as ui, browser(tmp_path / "profile") as tab:

        def shows(address: str, expression: str, seconds: float = 60) -> None:
            tab.open(ui.url + address, width=1440)
            until(lambda: tab.evaluate(expression), seconds, f"{address} shows {expression}")
            asked.update(f"{urlsplit(one).scheme}://{urlsplit(one).netloc}" for one in tab.asked)
            complaints.extend(one for one in tab.complaints if OF_APOLLO not in one)

        shows("", f"JSON.stringify({LISTED}.sort()) === '{json.dumps(jobs, separators=(',', ':'))}'")
        assert tab.evaluate("location.pathname") == "/overview/activity/timeline", "the first page"
        said = tab.evaluate("document.body.innerText")
        assert re.search(rf"\btokenomics\n{len(jobs)}\n", said), f"{said}: a bar for each run"
        runs = [run["runId"][:8] for run in ui.ask(RUNS)["results"]]
        assert len(runs) == len(jobs)
        shows("/runs", f"{json.dumps(runs)}.every(one => document.body.innerText.includes(one))")
        for job in jobs:
            shows(f"/locations/tokenomics/jobs/{job}/runs", "/Success/.test(document.body.innerText)")
        shows("/asset-groups", "document.body.innerText.includes('fundamentals')")
        shows("/assets/scores?view=events", "document.body.innerText.includes('[Show Markdown]')")
        tab.evaluate(OPENED)
        until(lambda: tab.evaluate(PICTURED), 30, "the picture of the scores is drawn")
        complaints.extend(one for one in tab.complaints if OF_APOLLO not in one)
    port = urlsplit(ui.url).port
    assert asked - {"data://", "blob://"} <= {f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"}
    assert complaints == []


def materialized(instance: dg.DagsterInstance, **which: Any) -> list[str]:
    """The symbols of whose financials these runs have logged a materialization, as often as they have.

    By them a backfill is judged: what a run of it has not logged counts as failed, though the run succeeded.
    """
    symbols: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(**which)):
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            event = entry.get_dagster_event()
            assert event.asset_key == dg.AssetKey("financials")
            symbols.append(str(event.partition))
    return sorted(symbols)


@pytest.mark.parametrize(
    "program",
    [["dagster", "definitions", "validate", "-w", "workspace.yaml"], ["dg", "check", "defs"]],
    ids=lambda program: program[0],
)
def test_the_tools_find_the_definitions_valid(program: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / program[0]), *program[1:]],
        cwd=REPOSITORY,
        env={**without_platform_variables(), "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_asset_is_materialized_from_the_command_line_against_the_sandbox(tmp_path: Path) -> None:
    materialize = [
        BIN / "dagster",
        "asset",
        "materialize",
        "--select",
        "listings",
        "-m",
        "tokenomics_dagster.definitions",
    ]
    done = tokenomics("sandbox", "--port", 0, "--listings", 2000, "--", *materialize, cwd=tmp_path)
    assert done.code == 0, done
    store = Warehouse(f"sqlite:///{tmp_path}/.tokenomics/warehouse.db")
    assert [snapshot.row_count for snapshot in store.history("listings")] == [2000]
    store.close()


def test_the_ui_empties_or_sets_every_variable_of_the_platform() -> None:
    recipe = subprocess.run(
        ["make", "-n", "-o", ".venv/ready", "ui"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    given = set(re.findall(r"\b([A-Z_]+)=", recipe)) | set(SandboxOptions().environment(1))
    # Port and password mean nothing without a host, and the age of backups is read by the server of the metrics alone.
    meaningless = {"REDIS_PORT", "REDIS_PASSWORD", "TOKENOMICS_BACKUP_MAX_AGE_HOURS"}
    assert {name.upper() for name in Environment.model_fields} - given == meaningless
    assert "DAGSTER_HOME" in given
