from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster_tests.providers.stub import Call, Reply, Stub, running

FINNHUB_KEY = "finnhub-key-d41d8cd98f00b204"
ALPACA_KEY = "PKd8e8fca2dc0f896f"
ALPACA_SECRET = "alpaca-secret-7cb4e48d1f2c"
KEYS = (FINNHUB_KEY, ALPACA_KEY, ALPACA_SECRET)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINNHUB_API_KEY", FINNHUB_KEY)
    monkeypatch.setenv("ALPACA_API_KEY", ALPACA_KEY)
    monkeypatch.setenv("ALPACA_SECRET_KEY", ALPACA_SECRET)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack) -> Callable[[Callable[[Call], Reply]], Stub]:
    return lambda answer: stack.enter_context(running(answer))


@pytest.fixture
def finnhub_at(stack: ExitStack) -> Callable[..., FinnhubResource]:
    """A resource on an address, fast and with two attempts unless the test says otherwise."""

    def make(url: str, **fields: Any) -> FinnhubResource:
        values = {"calls_per_minute": 60_000, "max_calls_per_second": 1000, "timeout_s": 2, "max_attempts": 2}
        return stack.enter_context(FinnhubResource(base_url=f"{url}/api/v1", **{**values, **fields}))

    return make


@pytest.fixture
def alpaca_at(stack: ExitStack) -> Callable[..., AlpacaResource]:
    def make(url: str, **fields: Any) -> AlpacaResource:
        values = {"paper": True, "calls_per_minute": 60_000, "timeout_s": 2, "max_attempts": 2}
        return stack.enter_context(AlpacaResource(trading_url=url, data_url=url, **{**values, **fields}))

    return make
