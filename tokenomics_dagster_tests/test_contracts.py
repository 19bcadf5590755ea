"""The floors of the house: that they hold, and that each of their contracts can fail."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tokenomics_dagster_tests.conftest import REPOSITORY

PACKAGE = "tokenomics_dagster"
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# Of each contract: a module, and what it must not import.
BREACHES = {
    "floors": ("universe/selection.py", "import tokenomics_dagster.portfolio.weights"),
    "storage": ("storage/facts.py", "import tokenomics_dagster.storage.ledger"),
    "circles": ("fundamentals/scoring.py", "import tokenomics_dagster.fundamentals.doubts"),
    "sandbox": ("execution/states.py", "import tokenomics_dagster.sandbox.clock"),
    "sandbox_alone": ("sandbox/clock.py", "import tokenomics_dagster.settings"),
    "faces": ("interfaces/cli/known.py", "import tokenomics_dagster.storage.warehouse"),
    "rules": ("portfolio/weights.py", "import dagster"),
    "pure": ("portfolio/quotes.py", "import tokenomics_dagster.providers.alpaca.resource"),
    "asking": ("fundamentals/scoring.py", "import tokenomics_dagster.providers.errors"),
    "sql": ("execution/week.py", "import sqlalchemy"),
    "http": ("operations/known.py", "import requests"),
    "terminal": ("operations/known.py", "import rich"),
    "settings": ("portfolio/shown.py", "import tokenomics_dagster.settings.loading"),
    "heavy": ("fundamentals/scoring.py", "import torch"),
}

# What rules may not read or wait by, one of each kind.
MACHINE_CLOCKS = """
import time
from time import sleep
from datetime import UTC, date, datetime
import pandas as pd
print(datetime.now(UTC), date.today(), pd.Timestamp.now())
"""


def broken(root: Path) -> set[str]:
    """The ids of the contracts that the package in `root` breaks."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = dict(re.findall(r"^(.+?) (KEPT|BROKEN)", done.stdout, re.MULTILINE))
    assert set(said) == {contract["name"] for contract in CONTRACTS}, done.stdout + done.stderr
    assert done.returncode == ("BROKEN" in said.values())
    return {contract["id"] for contract in CONTRACTS if said[contract["name"]] == "BROKEN"}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_keeps_its_contracts(house: Path) -> None:
    assert broken(house) == set()


def test_each_contract_fails_where_it_is_broken(house: Path) -> None:
    assert set(BREACHES) == {contract["id"] for contract in CONTRACTS}
    for file, line in BREACHES.values():
        with (house / PACKAGE / file).open("a") as module:
            module.write(f"\n{line}\n")
    assert broken(house) == set(BREACHES)


@pytest.mark.parametrize(("file", "contract"), [("attic.py", "floors"), ("storage/attic.py", "storage")])
def test_a_module_without_a_floor_is_refused(house: Path, file: str, contract: str) -> None:
    (house / PACKAGE / file).touch()
    assert broken(house) == {contract}


@pytest.mark.parametrize("name", ["audit", "records", "telling"])
def test_what_rules_may_know_of_the_warehouse_and_what_is_told_of_it_is_without_sql(house: Path, name: str) -> None:
    with (house / PACKAGE / "storage" / f"{name}.py").open("a") as module:
        module.write("\nimport sqlalchemy\n")
    assert "pure" in broken(house)


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("interfaces/demo.py", "import tokenomics_dagster.storage.records", "faces"),
        ("interfaces/cli/orders.py", "import tokenomics_dagster.execution.checks", "faces"),
        ("automation/problems.py", "import sqlalchemy", "sql"),
        ("kit/alive.py", "import sqlalchemy.exc", "sql"),
    ],
)
def test_faces_have_no_database_and_only_retention_speaks_sql_to_that_of_dagster(
    house: Path, file: str, line: str, contract: str
) -> None:
    with (house / PACKAGE / file).open("a") as module:
        module.write(f"\n{line}\n")
    assert broken(house) == {contract}


def test_the_sandbox_may_import_nothing_but_itself() -> None:
    [contract] = [one for one in CONTRACTS if one["id"] == "sandbox_alone"]
    package = REPOSITORY / PACKAGE
    modules = {path.parent.name for path in package.glob("*/__init__.py")} | {
        path.stem for path in package.glob("*.py")
    }
    forbidden = {module.removeprefix(f"{PACKAGE}.") for module in contract["forbidden_modules"]}
    assert forbidden == modules - {"__init__", "sandbox"} | {"dagster"}


@pytest.mark.parametrize("room", ["model", "portfolio", "execution", "universe", "fundamentals", "a_room_to_come"])
def test_no_rule_reads_the_machines_clock(room: str) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ruff"),
            *("check", "--select", "TID251", "--output-format", "concise", "--no-cache"),
            *("--stdin-filename", f"{PACKAGE}/{room}/somewhere.py", "-"),
        ],
        cwd=REPOSITORY,
        input=MACHINE_CLOCKS,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"TID251 `(.+?)` is banned", done.stdout)
    assert found == ["time", "time", "datetime.datetime.now", "datetime.date.today", "pandas.Timestamp.now"]


def test_no_frame_carries_what_its_type_does_not_tell() -> None:
    """pandas copies the attrs of a frame deeply in each step, and neither polars nor DuckDB has any: see Details."""
    modules = {path: ast.parse(path.read_text()) for path in (REPOSITORY / PACKAGE).rglob("*.py")}
    assert len(modules) > 100
    told = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for path, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "attrs"
    ]
    assert told == []
