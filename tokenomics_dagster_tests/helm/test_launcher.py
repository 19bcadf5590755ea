"""The rendered dagster.yaml in a real Dagster instance, and its K8sRunLauncher against an API server that records."""

import json
import logging
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._daemon.monitoring import run_monitoring
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage
from kubernetes.config import incluster_config

from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm.cluster import Cluster, running_cluster
from tokenomics_dagster_tests.helm.conftest import NAMESPACE, Objects, Render, Values, containers
from tokenomics_dagster_tests.helm.deployment import BIN, Deployment, databases, values
from tokenomics_dagster_tests.helm.test_pods import COMMON

OURS = {"storage", "run_launcher", "compute_logs"}
# The image says where its own commit can be read.
OF_THE_IMAGE = {"TOKENOMICS_CODE_URL"}
OF_THE_METRICS = {"TOKENOMICS_BACKUP_MAX_AGE_HOURS"}
OF_REDIS = {"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"}


@pytest.mark.parametrize("production", [False, True], ids=["default", "production"])
def test_dagster_yaml_is_the_repositorys_own_and_storage_launcher_and_logs(production: bool, render: Render) -> None:
    rendered = render(production=production).instance()
    own = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    # A node that must be made first, and an image that must be pulled, take longer than a process.
    own["run_monitoring"]["start_timeout_seconds"] = 600
    assert {key: value for key, value in rendered.items() if key not in OURS} == own
    assert set(rendered) - set(own) == OURS


def test_what_is_said_of_the_instance_is_laid_over_it_and_dagster_takes_it(render: Render, tmp_path: Path) -> None:
    more: Values = {
        "concurrency": {"runs": {"max_concurrent_runs": 9}},
        "run_monitoring": {"max_runtime_seconds": 1_000_000},
        "sensors": {"use_threads": True, "num_workers": 4},
        "retention": {"sensor": {"purge_after_days": {"skipped": 1}}},
    }
    logs = {"type": "LocalComputeLogManager", "config": {"base_dir": str(tmp_path / "logs")}}
    plain, changed = (
        render(values).instance() for values in ({}, {"additionalInstanceConfig": more, "computeLogManager": logs})
    )
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(changed))
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["run_monitoring"] == {**plain["run_monitoring"], "max_runtime_seconds": 1_000_000}
    assert config["concurrency"] == {"pools": {"default_limit": 1, "granularity": "op"}, **more["concurrency"]}
    assert config["retention"]["sensor"]["purge_after_days"] == {
        "skipped": 1,
        "failure": 30,
        "success": 90,
        "started": 30,
    }
    assert config["sensors"] == more["sensors"]
    found = changed["compute_logs"]
    kept = ConfigurableClassData(found["module"], found["class"], yaml.safe_dump(found["config"]))
    assert isinstance(kept.rehydrate(as_type=LocalComputeLogManager), LocalComputeLogManager)


@pytest.mark.parametrize(
    ("manager", "config", "module"),
    [
        ("S3ComputeLogManager", {"bucket": "b"}, "dagster_aws.s3.compute_log_manager"),
        ("GCSComputeLogManager", {"bucket": "b"}, "dagster_gcp.gcs.compute_log_manager"),
        (
            "AzureBlobComputeLogManager",
            {"storage_account": "a", "container": "c", "access_key_or_sas_token": {"env": "KEY"}},
            "dagster_azure.blob.compute_log_manager",
        ),
    ],
)
def test_logs_of_runs_go_to_an_object_store_which_who_reads_and_writes_them_reaches(
    manager: str, config: dict[str, Any], module: str, render: Render
) -> None:
    objects = render({"computeLogManager": {"type": manager, "config": config}})
    assert objects.instance()["compute_logs"] == {"module": module, "class": manager, "config": config}
    # The daemon writes the logs of backfills.
    for component in ("webserver", "daemon"):
        before, after = (
            {p["ipBlock"]["cidr"] for r in o.one("NetworkPolicy", component)["spec"]["egress"] for p in r["to"]
             if "except" in p.get("ipBlock", {})}
            for o in (render(), objects)
        )  # fmt: skip
        assert (before, after) == (set(), {"0.0.0.0/0", "::/0"})


@pytest.mark.parametrize("production", [False, True], ids=["default", "production"])
def test_every_variable_that_the_code_reads_is_set_in_the_code_server_and_in_runs(
    production: bool, render: Render
) -> None:
    objects = render(production=production)
    read = {name.upper() for name in Environment.model_fields} | {"DAGSTER_HOME", "PGPASSWORD"}
    (server,) = containers(objects.one("Deployment", "code-server")["spec"]["template"])
    launcher = objects.launcher()
    run = launcher["run_k8s_config"]["container_config"]["env"]
    assert server["env"][0] == {"name": "DAGSTER_HOME", "value": launcher["dagster_home"]}
    assert server["env"][1:] == run
    of_libpq = {"PGSSLROOTCERT"} if production else set()
    assert {entry["name"] for entry in server["env"]} == (read - OF_THE_IMAGE - OF_THE_METRICS) | of_libpq


def test_without_redis_nothing_of_it_is_set(render: Render) -> None:
    run = render({"redis": {"enabled": False}}).launcher()["run_k8s_config"]["container_config"]["env"]
    assert not OF_REDIS & {entry["name"] for entry in run}


@dataclass
class Launching:
    instance: dg.DagsterInstance
    launcher: K8sRunLauncher
    cluster: Cluster
    objects: Objects
    deployment: Deployment

    def launch(self, job: str = "universe_refresh", **tags: str) -> dg.DagsterRun:
        """A run as the daemon hands it to the launcher."""
        from tokenomics_dagster.definitions import build_defs

        definition = build_defs(load_settings(REPOSITORY / "config/settings.yaml")).resolve_job_def(job)
        module = ReconstructableRepository.for_module("tokenomics_dagster.definitions", "defs")
        run = self.instance.create_run_for_job(
            definition, job_code_origin=ReconstructableJob(module, job).get_python_origin(), tags=tags
        )
        self.launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run

    def health(self, run: dg.DagsterRun) -> WorkerStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found
        return self.launcher.check_run_worker_health(found).status

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found
        return found.status

    def begin(self, run: dg.DagsterRun) -> None:
        """The run worker tells the instance that it has started."""
        event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
        self.instance.report_dagster_event(event, run.run_id)

    def report(self, run: dg.DagsterRun, **status: int) -> None:
        self.cluster.status[f"dagster-run-{run.run_id}"] = status


@pytest.fixture(scope="module")
def daemon(
    render: Render, postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launching]:
    """The instance of the daemon's pod: rendered dagster.yaml, storage on PostgreSQL, the token where it is mounted."""
    home, secrets = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("serviceaccount")
    with (
        pytest.MonkeyPatch.context() as patch,
        running_sandbox(listings=500, seed=7) as sandbox,
        databases(postgres_url),
        running_cluster(secrets) as cluster,
    ):
        given = values(home, sandbox, postgres_url, redis_url)
        objects = render({**given, "imagePullSecrets": [{"name": "registry"}], "pods": COMMON})
        deployment = Deployment(objects, home)
        pod = objects.one("Deployment", "daemon")["spec"]["template"]
        deployment.mount(pod)
        for name, value in deployment.environment(pod["spec"]["containers"][0]["env"]).items():
            patch.setenv(name, value)
        patch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        patch.setenv("KUBERNETES_SERVICE_PORT", str(cluster.port))
        patch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(secrets / "token"))
        patch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(secrets / "ca.crt"))
        with dg.DagsterInstance.get() as instance:
            assert isinstance(instance.run_launcher, K8sRunLauncher)
            yield Launching(instance, instance.run_launcher, cluster, objects, deployment)


@pytest.fixture
def launching(daemon: Launching) -> Launching:
    for recorded in (daemon.cluster.jobs, daemon.cluster.status, daemon.cluster.calls):
        recorded.clear()
    return daemon


@pytest.mark.soak
def test_runs_and_events_are_stored_in_postgresql(daemon: Launching) -> None:
    assert isinstance(daemon.instance.run_storage, PostgresRunStorage)
    assert isinstance(daemon.instance.event_log_storage, PostgresEventLogStorage)


def test_a_launched_run_is_exactly_one_job_with_what_the_code_server_has(launching: Launching) -> None:
    cluster, objects = launching.cluster, launching.objects
    run = launching.launch()
    assert cluster.calls == [("POST", "jobs", NAMESPACE)]
    ((name, job),) = cluster.jobs.items()
    assert name == f"dagster-run-{run.run_id}"
    kubernetes_validate.validate(job, "1.37", strict=True)
    spec = job["spec"]
    assert (spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (86_400, 86_400, 0)
    pod = spec["template"]["spec"]
    beside = objects.one("Deployment", "code-server")["spec"]["template"]["spec"]
    (container,), (server,) = pod["containers"], beside["containers"]
    assert container["image"] == server["image"] == "tokenomics:0.1.0"
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert json.loads(container["args"][3])["set_exit_code_on_failure"] is True
    for key in ("securityContext", "volumeMounts", "imagePullPolicy", "envFrom"):
        assert container[key] == server[key], key
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    by_name = {entry["name"]: entry for entry in container["env"]}
    assert [by_name[entry["name"]] for entry in server["env"]] == server["env"]
    assert len(by_name) == len(container["env"])
    apart = {"containers", "restartPolicy", "terminationGracePeriodSeconds"}
    assert {key: value for key, value in pod.items() if key not in apart} == {
        key: value for key, value in beside.items() if key not in apart
    }
    assert pod["automountServiceAccountToken"] is False
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 60)
    labels = spec["template"]["metadata"]["labels"]
    assert COMMON["labels"].items() <= labels.items() & job["metadata"]["labels"].items()
    # Argo CD, as it was set up before 3.0, takes what has this label of a release for its own, and prunes it.
    assert (labels["app.kubernetes.io/instance"], job["metadata"]["labels"]["app.kubernetes.io/instance"]) == (
        "weekly",
        "weekly-runs",
    )
    annotations = spec["template"]["metadata"]["annotations"]
    assert {**COMMON["annotations"], "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"} == annotations
    assert objects.one("NetworkPolicy", "run")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert (labels["dagster/run-id"], labels["dagster/job"]) == (run.run_id, "universe_refresh")


def test_a_job_holds_no_secret_but_the_names_of_secrets(launching: Launching) -> None:
    launching.launch()
    text = json.dumps(launching.cluster.jobs)
    made = {value for secret in launching.objects.of("Secret") for value in secret["stringData"].values() if value}
    assert len(made) >= 5
    assert [value for value in made if value in text] == []


def test_the_status_of_a_run_is_that_of_its_job(launching: Launching) -> None:
    run = launching.launch()
    for status, expected in (
        ({}, WorkerStatus.RUNNING),
        ({"active": 1}, WorkerStatus.RUNNING),
        ({"failed": 1}, WorkerStatus.FAILED),
        ({"succeeded": 1}, WorkerStatus.SUCCESS),
    ):
        launching.report(run, **status)
        assert launching.health(run) is expected, status
    launching.begin(run)
    assert launching.health(run) is WorkerStatus.FAILED, "the pod has ended, the run has not"
    launching.cluster.jobs.clear()
    assert launching.health(run) is WorkerStatus.UNKNOWN


def test_a_run_whose_pod_finds_no_node_has_failed_after_ten_minutes_and_its_job_is_ended_by_its_own_deadline(
    launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = launching.launch()
    starting = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_STARTING.value, job_name=run.job_name)
    launching.instance.report_dagster_event(starting, run.run_id)
    began = time.time()
    for waited_s, status in ((590, dg.DagsterRunStatus.STARTING), (610, dg.DagsterRunStatus.FAILURE)):
        monkeypatch.setattr(run_monitoring, "get_current_timestamp", lambda now=began + waited_s: now)
        record = launching.instance.get_run_record_by_id(run.run_id)
        assert record
        run_monitoring.monitor_starting_run(launching.instance, record, logging.getLogger())
        assert launching.status(run) is status
    # Dagster leaves it behind: it has not ended, so that its time to live has not begun.
    ((_, job),) = launching.cluster.jobs.items()
    assert job["spec"]["activeDeadlineSeconds"] > launching.instance.run_monitoring_start_timeout_seconds


def test_terminating_a_run_deletes_its_job_and_its_pod(launching: Launching) -> None:
    run = launching.launch()
    launching.begin(run)
    assert launching.launcher.terminate(run.run_id)
    assert launching.cluster.jobs == {}
    assert {("DELETE", "jobs", NAMESPACE), ("DELETE", "pods", NAMESPACE)} <= set(launching.cluster.calls)
    assert launching.status(run) is dg.DagsterRunStatus.CANCELING


@pytest.mark.parametrize("account", ["daemon", "webserver"])
def test_the_account_may_do_all_that_the_launcher_asks_for(account: str, launching: Launching) -> None:
    run = launching.launch()
    launching.begin(run)
    if account == "webserver":  # it ends runs, and starts none
        launching.cluster.calls.clear()
    else:
        launching.health(run)
    launching.launcher.terminate(run.run_id)
    verbs = {("POST", "jobs"): "create", ("GET", "jobs/status"): "get", ("GET", "pods"): "list"}
    used = {(resource, verbs.get((method, resource), "delete")) for method, resource, _ in launching.cluster.calls}
    rules = launching.objects.one("Role", account)["rules"]
    assert used <= {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_an_answer_that_was_lost_is_not_a_second_job(launching: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_k8s.client.time.sleep", lambda seconds: None)
    launching.cluster.lost.append("POST")
    run = launching.launch()
    assert launching.cluster.calls == [("POST", "jobs", NAMESPACE)] * 2
    assert list(launching.cluster.jobs) == [f"dagster-run-{run.run_id}"]


@pytest.mark.soak
def test_a_tag_may_say_how_much_a_run_needs_and_nothing_else_of_its_pod(launching: Launching) -> None:
    more = {"container_config": {"resources": {"limits": {"memory": "4Gi"}}}}
    launching.launch(**{"dagster-k8s/config": json.dumps(more)})
    (job,) = launching.cluster.jobs.values()
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "4Gi"
    for evil in (
        {"container_config": {"image": "evil"}},
        {"container_config": {"env": [{"name": "ALPACA_TRADING_URL", "value": "http://evil"}]}},
        {"pod_spec_config": {"service_account_name": "weekly-tokenomics-daemon"}},
        {"pod_spec_config": {"volumes": [{"name": "x", "host_path": {"path": "/"}}]}},
    ):
        with pytest.raises(Exception, match="violated the allowed list"):
            launching.launch(**{"dagster-k8s/config": json.dumps(evil)})
    assert len(launching.cluster.jobs) == 1


@pytest.mark.soak
def test_what_the_job_says_runs_without_a_token(launching: Launching) -> None:
    run = launching.launch()
    (job,) = launching.cluster.jobs.values()
    template = job["spec"]["template"]
    launching.deployment.mount(template)
    (container,) = template["spec"]["containers"]
    variables = launching.deployment.environment(container["env"])
    assert "KUBERNETES_SERVICE_HOST" not in variables
    command = [str(BIN / container["args"][0]), *container["args"][1:]]
    done = subprocess.run(command, cwd=launching.deployment.home, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert launching.status(run) is dg.DagsterRunStatus.SUCCESS


@pytest.mark.soak
def test_the_metrics_read_both_databases_without_a_token(launching: Launching) -> None:
    migration = launching.objects.of("Job")[0]["spec"]["template"]
    migrated = launching.deployment.run(migration["spec"]["containers"][0])
    assert migrated.returncode == 0, migrated.stderr
    template = launching.objects.one("Deployment", "metrics")["spec"]["template"]
    launching.deployment.mount(template)
    assert "K8sRunLauncher" in (launching.deployment.home / "dagster.yaml").read_text()
    (container,) = template["spec"]["containers"]
    found = launching.deployment.run({**container, "command": [*container["command"][:2], "--once"]})
    assert found.returncode == 0, found.stderr
    assert "\ntokenomics_up 1.0\n" in found.stdout
    assert "\ntokenomics_dagster_up 1.0\n" in found.stdout
