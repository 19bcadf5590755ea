"""Bad nights: each component is killed and each server stopped for a minute while the chart's platform works.

Code server, webserver and daemon are the chart's processes, each run the process of its Job. A person launches one job
after the other, and again what has failed; what that person saw, and when, stands in the soak's table.
"""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.helm.cluster import Cluster, running_cluster
from tokenomics_dagster_tests.helm.conftest import Render, containers, merged
from tokenomics_dagster_tests.helm.deployment import BIN, Deployment, databases, values
from tokenomics_dagster_tests.helm.test_processes import (
    LAUNCH,
    LOADED,
    WEEK,
    ask,
    grpc_serves,
    http_answers,
    probe_of,
    scraped,
    until,
)
from tokenomics_dagster_tests.production.conftest import PostgresServer, RedisServer, beside, running_redis
from tokenomics_dagster_tests.webhook import Webhook, running_webhook

AWAY_S = 60
PHASES = {  # job, an endpoint that is slowed down, and its calls after which the job is in its midst; 0: once launched
    "universe_refresh": ("GET /api/v1/stock/profile2", 20),
    "fundamentals_refresh": ("GET /api/v1/stock/metric", 20),
    "score": ("GET /v2/clock", 0),
    "rebalance": ("POST /v2/orders", 5),
}
RUN = """query ($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status tags { key value } } } }"""
AGAIN = """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { __typename
    ... on Runs { results { runId status jobName } } } }"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass
class Jobs:
    """The nodes of the cluster: each job is a process of this machine, in a group of its own."""

    cluster: Cluster
    here: Deployment
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def begin(self, name: str, job: Any) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        with (self.here.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(BIN / container["args"][0]), *container["args"][1:]],
                cwd=self.here.home,
                env=self.here.environment(container["env"]),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self.cluster.status[name] = {"active": 1}
        threading.Thread(target=self._see_the_end, args=(name, process), daemon=True).start()

    def _see_the_end(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        self.cluster.status[name] = {"failed": 1} if process.wait() else {"succeeded": 1}

    def end(self, name: str) -> None:
        if name in self.processes:
            self.processes[name].terminate()

    def kill(self, run: str) -> None:
        """As when its node is lost."""
        os.killpg(self.processes[f"dagster-run-{run}"].pid, signal.SIGKILL)


@dataclass
class Night:
    here: Deployment
    sandbox: SandboxHandle
    postgres: PostgresServer
    redis: RedisServer
    jobs: Jobs
    webhook: Webhook
    stack: ExitStack
    url: str = ""
    running: dict[str, "subprocess.Popen[Any]"] = field(default_factory=dict)

    def start(self, component: str) -> None:
        self.running[component] = self.stack.enter_context(self.here.started(component))

    def begin(self) -> None:
        for component in ("code-server", "webserver", "daemon", "metrics"):
            self.start(component)
        until(lambda: grpc_serves(probe_of(self.here, "code-server")), 120, "the code server serves")
        self.url = until(lambda: http_answers(probe_of(self.here, "webserver")), 120, "the webserver answers")
        until(lambda: ask(self.url, LOADED).get("nodes"), 60, "the webserver has loaded the definitions")

    def fail(self, what: str, run: str) -> None:
        """Returns when the component was started again, as the kubelet does at once, or the server is back."""
        if what == "a run":
            # The end of a pod whose run has not begun is only noticed after start_timeout_seconds.
            until(lambda: _status(self, run)[0] == "STARTED", 60, "the run begins")
            self.jobs.kill(run)
        elif what in ("PostgreSQL", "Redis"):
            server = self.postgres if what == "PostgreSQL" else self.redis
            server.stop()
            try:
                time.sleep(AWAY_S)
            finally:
                server.start()
        else:
            os.killpg(self.running[what].pid, signal.SIGKILL)
            self.running[what].wait(10)
            self.start(what)

    def launch(self, job: str) -> str | None:
        """The run; None where the answer is an error."""
        tags = [{"key": "dagster/partition", "value": WEEK.isoformat()}] if job == "rebalance" else []
        selector = {"repositoryLocationName": "tokenomics", "repositoryName": "__repository__", "pipelineName": job}
        answer = self.asked(
            LAUNCH, params={"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        )
        launched = answer and answer.get("launchRun")
        return str(launched["run"]["runId"]) if launched and "run" in launched else None

    def asked(self, query: str, **variables: Any) -> Any:
        """What the UI gets; None where it shows an error."""
        try:
            answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        except requests.RequestException:
            return None
        return answer.json()["data"] if answer.ok and "errors" not in answer.json() else None


@dataclass
class Seen:
    """By a person who looks at a run's page each half second."""

    outcomes: list[str] = field(default_factory=list)
    launched: int = 1  # by that person
    no_answer_s: float = 0.0  # of the UI, from its first error to its last
    done_s: float = 0.0  # from the failure until the job's work was done
    told: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        again = f", launched {self.launched} times" if self.launched > 1 else ""
        told = f"; told: {' / '.join(self.told)}" if self.told else ""
        return (
            f"{' then '.join(self.outcomes)}{again}; UI without an answer {self.no_answer_s:.0f} s; "
            f"done after {self.done_s:.0f} s{told}"
        )


@contextmanager
def night(render: Render, postgres_url: str, tmp_path: Path) -> Iterator[Night]:
    home, token, redis_folder = (tmp_path / name for name in ("home", "token", "redis"))
    for folder in (home, token, redis_folder):
        folder.mkdir()
    with (
        running_sandbox(listings=500, seed=7) as sandbox,
        running_redis(redis_folder) as redis,
        running_webhook() as webhook,
        running_cluster(token) as cluster,
        databases(postgres_url),
        ExitStack() as stack,
    ):
        given = values(home, sandbox, postgres_url, redis.url)
        changed = {
            "secrets": {"values": {"ALERT_WEBHOOK_URL": webhook.url}},
            "settings": {"schedules": {"sensors_every_s": 20}},
        }
        here = Deployment(render(merged(given, changed)), home)
        (migration,) = (job["spec"]["template"] for job in here.objects.of("Job"))
        here.mount(migration)
        for container in containers(migration):
            done = here.run(container)
            assert done.returncode == 0, done.stdout + done.stderr
        here.mount(here.objects.one("Deployment", "daemon")["spec"]["template"])
        _launch_by(cluster, home)
        jobs = Jobs(cluster, here)
        cluster.begin, cluster.end = jobs.begin, jobs.end
        yield Night(here, sandbox, PostgresServer(postgres_url), redis, jobs, webhook, stack)


def _launch_by(cluster: Cluster, home: Path) -> None:
    (home / "kubeconfig").write_text(cluster.kubeconfig())
    document = yaml.safe_load((home / "dagster.yaml").read_text())
    document["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(home / "kubeconfig"),
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(document))


def see(night: Night, job: str, what: str) -> Seen:
    """Launches the job, lets it happen in its midst, and launches again what has failed until it is done."""
    told, (endpoint, calls) = len(night.webhook.told), PHASES[job]
    seconds = 0.3 if calls else 2.0
    night.sandbox.admin("PUT", "/sandbox/faults", [{"kind": "slow", "endpoint": endpoint, "seconds": seconds}])
    run = until(lambda: night.launch(job), 30, f"{job} is launched")
    counted = partial(night.sandbox.admin, "GET", "/sandbox/calls")
    until(lambda: counted().get(endpoint, 0) >= calls, 120, f"{job} is under way")
    with beside(lambda: night.fail(what, run)) as failing:
        seen = follow(night, job, run, failing)
    night.sandbox.admin("PUT", "/sandbox/faults", [])
    seen.told = [one["text"].splitlines()[0].strip("*") for one in night.webhook.told[told:]]
    return seen


def follow(night: Night, job: str, run: str, failing: threading.Thread) -> Seen:
    seen, began = Seen(), time.monotonic()
    errors: list[float] = []
    while seen.outcomes[-1:] != ["SUCCESS"]:
        assert time.monotonic() - began < 600, f"{job} is not done after ten minutes: {seen}"
        time.sleep(0.5)
        status, again = _status(night, run)
        if status == "FAILURE" and not again:
            time.sleep(2)  # Dagster says a moment later that it runs it again
            status, again = _status(night, run)
        if status is None:
            errors.append(time.monotonic())
        elif status in ENDED:
            seen.outcomes.append(status)
            if status != "SUCCESS" and not again:
                failing.join()  # a person launches again when what has failed is back
                again = until(lambda: night.launch(job), 60, f"{job} is launched again")
                seen.launched += 1
            run = again or run
    seen.done_s = time.monotonic() - began
    seen.no_answer_s = errors[-1] - errors[0] if errors else 0.0
    return seen


def _status(night: Night, run: str) -> tuple[str | None, str | None]:
    """Of a run, None where the UI shows an error; and the run that Dagster itself has launched in its place."""
    answer = night.asked(RUN, id=run)
    if answer is None:
        return None, None
    found = answer["runOrError"]
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    if found["status"] != "FAILURE" or tags.get("dagster/will_retry") != "true":
        return found["status"], None
    child = tags.get("dagster/auto_retry_run_id")
    return ("FAILURE", child) if child else ("STARTED", None)


def check_whole(night: Night, url: str) -> None:
    """Nothing is doubled, lost or still under way."""
    with closing(Warehouse(url)) as store:
        financials = store.latest_facts("financials", Financials)
        assert len(financials) == financials["symbol"].nunique() == 60
        scores = store.load_snapshot("scores", Scores)
        assert scores is not None
        assert len(scores) == 60
        book = night.sandbox.admin("GET", "/sandbox/broker")["book"]
        sent = {order["client_order_id"] for order in book["orders"]}
        rows = store.orders_of_week(str(book["account_number"]), WEEK)
        assert sent <= {row.client_order_id for row in rows}
        assert {row.status for row in rows} <= {"filled", "abandoned"}
        filled = Counter(order["symbol"] for order in book["orders"] if Decimal(order["filled_qty"]))
        assert set(filled.values()) == {1}
        assert set(filled) == {row.symbol for row in rows if row.status == "filled"}
        assert store.verify_audit() is None
    under_way = ["NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING"]

    def nothing_left() -> bool:
        left = night.asked(AGAIN, filter={"statuses": under_way})
        return left is not None and left["runsOrError"]["results"] == []

    until(nothing_left, 180, "no run counts as under way")
    # The server of the metrics has lived through it and found both databases again.
    assert night.running["metrics"].poll() is None
    metrics = night.here.objects.one("Deployment", "metrics")["spec"]["template"]["spec"]["containers"][0]
    port = metrics["ports"][0]["containerPort"]
    both = {"tokenomics_up 1.0", "tokenomics_dagster_up 1.0"}
    until(lambda: both <= set((scraped(port) or "").splitlines()), 90, "the metrics have found both databases again")


@pytest.mark.soak
@pytest.mark.parametrize("what", ["webserver", "daemon", "code-server", "a run", "PostgreSQL", "Redis"])
def test_a_bad_night(
    what: str, render: Render, postgres_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with night(render, postgres_url, tmp_path) as here:
        here.begin()
        for job in PHASES:
            seen = see(here, job, what)
            record_property(job, f"{seen}\n")
            assert seen.no_answer_s <= AWAY_S + 10, f"the UI was away for longer than what failed: {seen}"
        env = here.here.objects.launcher()["run_k8s_config"]["container_config"]["env"]
        check_whole(here, here.here.environment(env)["TOKENOMICS_DATABASE_URL"])
