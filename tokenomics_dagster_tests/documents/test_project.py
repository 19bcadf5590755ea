"""The files that a repository has for whoever comes to it: licence, forms, what pyproject says of it."""

import hashlib
import re
import tomllib

import pytest
import yaml

from tokenomics_dagster.storage.migrations import LATEST, STEPS
from tokenomics_dagster_tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
FORMS = sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml"))
# As the foundation has published it, without a word changed.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
TYPES = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def test_the_licence_is_apaches_word_for_word_and_pyproject_says_so() -> None:
    assert hashlib.sha256((REPOSITORY / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_pyproject_tells_every_python_that_is_tested_and_no_address_that_is_none() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yaml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    of_python = "Programming Language :: Python :: "
    told = [one.removeprefix(of_python) for one in PROJECT["classifiers"] if one.startswith(f"{of_python}3.")]
    assert told == tested
    assert "urls" not in PROJECT


def test_the_readme_begins_with_what_it_is_not() -> None:
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    top = " ".join(line.lstrip("> ") for line in lines[:12])
    assert "no investment advice" in top
    assert "real money" in top


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_github_asks_of_one(form) -> None:
    said = yaml.safe_load(form.read_text())
    if form.name == "config.yml":
        assert said == {"blank_issues_enabled": False}
        return
    assert said.keys() == {"name", "description", "labels", "body"}
    ids = [field["id"] for field in said["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids) > 0
    for field in said["body"]:
        assert field["type"] in TYPES
        assert field["attributes"].get("value" if field["type"] == "markdown" else "label")


def test_who_is_asked_to_look_is_asked_of_folders_that_there_are() -> None:
    lines = (REPOSITORY / ".github/CODEOWNERS").read_text().splitlines()
    paths = [line.lstrip("# ").split()[0] for line in lines if line.lstrip("# ").startswith("/")]
    assert len(paths) > 8
    for path in paths:
        assert list(REPOSITORY.glob(path.strip("/"))), path


def test_the_page_on_upgrading_has_every_version_of_the_database() -> None:
    page = (REPOSITORY / "docs/upgrading.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert [int(version) for version, _ in rows] == [*range(1, LATEST + 1)]
    assert [what for _, what in rows[1:]] == [step.what for step in STEPS]
    assert f"database goes to version {LATEST}" in (REPOSITORY / "CHANGELOG.md").read_text()
