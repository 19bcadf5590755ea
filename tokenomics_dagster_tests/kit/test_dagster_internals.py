"""Names that Dagster does not promise to keep are used in one place, and are those of the version that is pinned."""

import ast
import importlib
import tomllib
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

from tokenomics_dagster.kit import dagster_internals
from tokenomics_dagster_tests.conftest import REPOSITORY

INTERNALS = REPOSITORY / "tokenomics_dagster/kit/dagster_internals.py"


def private_names(path: Path) -> list[tuple[str, str]]:
    """Module and name of each import of what Dagster does not publish."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("dagster._", "dagster_shared"))
        for alias in node.names
        if node.module
    ]


def test_only_one_module_knows_what_dagster_does_not_publish() -> None:
    package = REPOSITORY / "tokenomics_dagster"
    found = {path for path in package.rglob("*.py") if private_names(path)}
    assert found == {INTERNALS}


def test_the_version_is_pinned_whose_names_these_are() -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"dagster=={version('dagster')}" in dependencies


@pytest.mark.parametrize(("module", "name"), private_names(INTERNALS))
def test_every_private_name_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_runs_by_hand_have_the_name_that_dagster_gives_them() -> None:
    assert dagster_internals.BY_HAND == IMPLICIT_ASSET_JOB_NAME


def test_the_storage_of_an_instance_is_sql_and_has_the_columns_that_retention_asks_for(
    instance: dg.DagsterInstance,
) -> None:
    assert dagster_internals.sql_storages(instance) is not None
    tables = dagster_internals.tables()
    assert {"run_id", "pipeline_name", "status", "update_timestamp"} <= set(tables.runs.c.keys())
    assert {"run_id", "key", "value"} <= set(tables.run_tags.c.keys())
    assert {"run_id", "asset_key", "partition", "dagster_event_type", "timestamp"} <= set(tables.events.c.keys())
    assert {"run_id", "check_name", "evaluation_event_storage_id"} <= set(tables.checks.c.keys())
