"""What the sandbox's tests share: a running server, the official descriptions, and the recorded market's folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


@pytest.fixture(scope="module")
def _server() -> Iterator[SandboxHandle]:
    with running_sandbox(listings=400, seed=7) as handle:
        yield handle
        assert handle.log() == "", "the server has written to its error log"


@pytest.fixture
def sandbox(_server: SandboxHandle) -> Iterator[SandboxHandle]:
    """A running sandbox of 400 listings, one for the module; faults and counts are taken back after each test."""
    yield _server
    _server.admin("DELETE", "/sandbox/faults")
    _server.admin("DELETE", "/sandbox/calls")


@pytest.fixture(scope="session")
def finnhub_spec() -> dict[str, Any]:
    path = SHARED / "specs" / "finnhub-swagger.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: a clone without the shared folder has no official descriptions")
    spec: dict[str, Any] = json.loads(path.read_text())
    return spec


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of the recorded market."""
    path = SHARED / "data" / "market-2026-08-21"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: a clone without the shared folder has no recorded market")
    return path
