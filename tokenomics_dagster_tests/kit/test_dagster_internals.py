"""Names that Dagster does not promise to keep are used in one place, and are those of the version that is pinned."""

import importlib
import re
import tomllib
from importlib.metadata import version

import dagster as dg
import pytest

from tokenomics_dagster.kit import dagster_internals
from tokenomics_dagster_tests.conftest import REPOSITORY

PRIVATE = re.compile(r"^\s*(?:from|import) +((?:dagster\._|dagster_shared)[\w.]*)(?: import ([\w, ]+))?", re.MULTILINE)
INTERNALS = REPOSITORY / "tokenomics_dagster/kit/dagster_internals.py"


def test_only_one_module_knows_what_dagster_does_not_publish() -> None:
    package = REPOSITORY / "tokenomics_dagster"
    found = {path for path in package.rglob("*.py") if PRIVATE.search(path.read_text())}
    assert found == {INTERNALS}


def test_the_version_is_pinned_whose_names_these_are() -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"dagster=={version('dagster')}" in dependencies


@pytest.mark.parametrize(("module", "names"), PRIVATE.findall(INTERNALS.read_text()))
def test_every_private_name_is_there(module: str, names: str) -> None:
    found = importlib.import_module(module)
    for name in names.split(","):
        assert hasattr(found, name.split(" as ")[0].strip()), f"{module} has no {name}"


def test_the_storage_of_an_instance_is_sql_and_has_the_columns_that_retention_asks_for(
    instance: dg.DagsterInstance,
) -> None:
    assert dagster_internals.sql_storages(instance) is not None
    tables = dagster_internals.tables()
    assert {"run_id", "pipeline_name", "status", "update_timestamp"} <= set(tables.runs.c.keys())
    assert {"run_id", "key", "value"} <= set(tables.run_tags.c.keys())
    assert {"run_id", "asset_key", "partition", "dagster_event_type", "timestamp"} <= set(tables.events.c.keys())
    assert {"run_id", "check_name", "evaluation_event_storage_id"} <= set(tables.checks.c.keys())
