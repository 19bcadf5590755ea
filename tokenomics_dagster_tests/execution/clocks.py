"""Clocks for rules: one that does something else while it waits, and one that only waiting moves on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tokenomics_dagster.providers.alpaca.clock import AlpacaClock


class Waiting(AlpacaClock):
    """The real one, but for what it waits with. `broker` may be a stand-in for a connection."""

    def __init__(self, broker: Any, sleep: Callable[[float], None]) -> None:
        super().__init__(broker)
        self._sleep = sleep

    def wait(self, seconds: float) -> None:
        self._sleep(seconds)


class Replayed:
    """Stands at `start` until somebody waits: nothing of the machine is in it."""

    def __init__(self, start: datetime) -> None:
        self._start = start.astimezone(UTC)
        self.waited_s = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.waited_s)

    def monotonic(self) -> float:
        return self.waited_s

    def wait(self, seconds: float) -> None:
        self.waited_s += seconds
