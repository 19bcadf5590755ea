"""`trades`, `plan --dry` and `next` on a platform after one week: what they tell, and that they only look."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.automation.schedules import PURGE
from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.operations import dry_plan as dry
from tokenomics_dagster.operations import trades as traded
from tokenomics_dagster.operations import upcoming as coming
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import WEEK, ledger


@pytest.fixture
def told(at_week: Platform, command: Command, tmp_path: Path) -> Iterator[Any]:
    """Runs a command at the week; its text and what it writes for machines."""
    variables = {name: os.environ[name] for name in _variables(at_week)}

    def run(*arguments: str) -> tuple[str, Any]:
        file = tmp_path / "out.json"
        done = command(*arguments, "--json", str(file), **variables)
        assert done.code == 0, done
        return done.out, json.loads(file.read_text())

    yield run


def _variables(platform: Platform) -> list[str]:
    from tokenomics_dagster.interfaces.demo import environment

    return list(environment(platform.folder, platform.sandbox.environment(), platform.settings_file))


def test_show(at_week):
    from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
    from tokenomics_dagster.interfaces.cli.terminal import out
    out.width = 180
    for one in tables.trades(traded.trades_of_week()):
        out.print(one)
    for one in tables.dry_plan(dry.dry_plan()):
        out.print(one)
    for one in tables.upcoming(coming.upcoming()):
        out.print(one)
    at_week.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T12:05:00Z"})
    for one in tables.dry_plan(dry.dry_plan()):
        out.print(one)
