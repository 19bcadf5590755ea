"""A release: one version everywhere, and a chart that names the image which the same workflow has pushed.

The steps of the workflow are run as they stand there, on a copy of the chart; what GitHub fills in is given.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm import program
from tokenomics_dagster_tests.helm.conftest import CHART, Objects, Render, Run, containers

JOBS = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yaml").read_text())["jobs"]
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
DIGEST = f"sha256:{'5' * 64}"
GIVEN = {
    "github.repository": "Acme/Stocks",  # names of images are in small letters whatever the repository's is
    "github.repository_owner": "Acme",
    "needs.image.outputs.digest": DIGEST,
}


def test_the_version_of_pyproject_is_that_of_chart_changelog_and_examples() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION), "set both in helm/tokenomics/Chart.yaml"
    changes = re.findall(r"^## (\d\S*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == VERSION, "the changes of a version stand under its heading"
    examples = re.findall(r"(?:tokenomics|NAME):(\d\S*)|--version (\d\S*)", (REPOSITORY / "helm/README.md").read_text())
    assert len(examples) >= 3
    assert {tag or flag for tag, flag in examples} == {VERSION}
    assert f"Helm {program.VERSION.removeprefix('v')}." in (REPOSITORY / "helm/README.md").read_text()
    told = subprocess.check_output([Path(sys.executable).with_name("tokenomics"), "--version"], text=True)
    assert told == f"tokenomics {VERSION}\n"


def test_a_tag_that_is_not_the_version_publishes_nothing() -> None:
    (check,) = (step["run"] for step in JOBS["image"]["steps"] if step.get("if") == "github.ref_type == 'tag'")

    def refused(tag: str) -> int:
        given = {**os.environ, "GITHUB_REF_NAME": tag}
        return subprocess.run(["bash", "-e", "-c", check], cwd=REPOSITORY, env=given, capture_output=True).returncode

    assert refused(f"v{VERSION}") == 0
    assert refused(f"v{VERSION}1") != 0
    assert JOBS["chart"]["needs"] == "image"


def test_the_chart_of_a_checkout_says_that_its_image_is_to_be_built(run_helm: Run) -> None:
    def notes(*values: str) -> str:
        done = run_helm("install", "weekly", CHART, "--dry-run=client", *(f"--set={value}" for value in values))
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("\nNOTES:\n")[2]

    said = f"The image tokenomics:{VERSION} is in no registry"
    assert said in notes()
    assert "in no registry" not in notes("image.repository=ghcr.io/acme/stocks")
    assert "in no registry" not in notes("global.imageRegistry=mirror.example.com")


class Workflow:
    """The steps of one job, run one after the other on a copy of what they read."""

    def __init__(self, job: str, folder: Path, helm: str) -> None:
        self.folder, self.outputs = folder, dict[str, str]()
        self._steps = {step["id"]: step for step in JOBS[job]["steps"] if "id" in step}
        self._shell = JOBS[job]["defaults"]["run"]["shell"]
        for name in ("helm", "dagster.yaml", "tokenomics_dagster_tests/__init__.py", "tokenomics_dagster_tests/helm"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy: Any = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copyfile
            copy(REPOSITORY / name, folder / name, **({"symlinks": True} if copy is shutil.copytree else {}))
        (folder / f"helm-{program.VERSION}").symlink_to(helm)  # so that nothing is fetched

    def run(self, name: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        assert self._shell == "bash"
        step, output = self._steps[name], self.folder / f"{name}.output"
        output.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "RUNNER_TEMP": str(self.folder),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_REF_NAME": f"v{VERSION}",
                **{key: self._filled(value) for key, value in step["env"].items()},
                **changed,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            self.outputs[f"steps.{name}.outputs.{key}"] = value
        return done

    def _filled(self, value: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: {**GIVEN, **self.outputs}[found[1]], value)


@pytest.fixture
def workflow(tmp_path: Path, helm: str) -> Workflow:
    return Workflow("chart", tmp_path, helm)


def test_the_packaged_chart_names_the_image_that_was_pushed_and_is_the_chart_that_was_tested(
    workflow: Workflow, run_helm: Run, render: Render
) -> None:
    done = workflow.run("package")
    assert done.returncode == 0, done.stderr
    rendered = run_helm("template", "weekly", workflow.outputs["steps.package.outputs.chart"], "-n", "trading")
    assert rendered.returncode == 0, rendered.stderr
    packaged = Objects(tuple(filter(None, yaml.safe_load_all(rendered.stdout))))
    (pushed,) = (step["with"]["images"] for step in JOBS["image"]["steps"] if step.get("id") == "meta")
    name = pushed.replace("${{ github.repository }}", GIVEN["github.repository"]).lower()

    def images(objects: Objects) -> set[str]:
        found = {container["image"] for pod in objects.pods().values() for container in containers(pod)}
        return found | {objects.launcher()["job_image"]}

    checkout = f"tokenomics:{VERSION}"
    assert checkout in images(render())
    assert images(packaged) == images(render()) - {checkout} | {f"{name}@{DIGEST}"}
    assert [thing["kind"] for thing in packaged.all] == [thing["kind"] for thing in render().all]
    assert workflow.outputs["steps.package.outputs.helm"] == str(workflow.folder / f"helm-{program.VERSION}")


@pytest.mark.parametrize("changed", [{"DIGEST": ""}, {"GITHUB_REF_NAME": "v99.0.0"}])
def test_without_a_digest_or_for_another_version_no_chart_is_packaged(
    workflow: Workflow, changed: dict[str, str]
) -> None:
    assert workflow.run("package", **changed).returncode != 0
    assert "steps.package.outputs.chart" not in workflow.outputs


def test_a_helm_that_is_not_the_pinned_one_packages_nothing(workflow: Workflow) -> None:
    found = workflow.folder / f"helm-{program.VERSION}"
    found.unlink()
    found.write_text("#!/bin/sh\ntouch ran\n")
    found.chmod(0o755)
    done = workflow.run("package")
    assert done.returncode != 0
    assert f"not that of {program.VERSION}" in done.stderr
    assert not (workflow.folder / "ran").exists()


@contextmanager
def registry() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Address of a registry that takes everything, and what it has taken, by path."""
    taken: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(404, {})

        def do_GET(self) -> None:
            kind = "application/vnd.oci.image.manifest.v1+json"  # nothing else is asked for
            self._answer(200, {"Content-Type": kind}, taken[self.path])

        def do_POST(self) -> None:
            self._answer(202, {"Location": f"{self.path}upload"})

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken[self.path] = body
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self._answer(201, {"Location": self.path, "Docker-Content-Digest": digest})

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", taken
        finally:
            server.shutdown()
            thread.join()


def test_what_is_signed_is_the_digest_under_which_the_registry_has_the_chart(workflow: Workflow, helm: str) -> None:
    assert workflow.run("package").returncode == 0
    plainly = workflow.folder / "plainly"
    plainly.write_text(f'#!/bin/sh\nexec {helm} "$@" --plain-http\n')
    plainly.chmod(0o755)
    with registry() as (address, taken):
        done = workflow.run("push", HELM=str(plainly), CHARTS=f"{address}/Acme/charts")
    assert done.returncode == 0, done.stdout
    manifest = taken[f"/v2/acme/charts/tokenomics/manifests/{VERSION}"]
    assert workflow.outputs["steps.push.outputs.digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def test_a_push_that_fails_ends_the_release(workflow: Workflow) -> None:
    assert workflow.run("package").returncode == 0
    assert workflow.run("push", CHARTS="127.0.0.1:1/charts").returncode != 0
