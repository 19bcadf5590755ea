"""What the tests of checks share: the recorded market, and what a sound cycle makes of it."""

import pytest

from tokenomics_dagster.sandbox.replay import replay
from tokenomics_dagster_tests import reading
from tokenomics_dagster_tests.checks.market import Inputs, Stored, inputs, run, settings


@pytest.fixture(scope="session")
def recorded() -> Inputs:
    if not reading.MARKET.is_dir():
        pytest.skip(reading.WHY_SKIPPED)
    return inputs(replay(reading.MARKET), settings())


@pytest.fixture(scope="session")
def sound(recorded: Inputs) -> Stored:
    return run(recorded)
