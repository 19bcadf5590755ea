"""The sandbox's own time, so that demo and tests work at any hour of any day. Trading hours stay out (sessions.py)."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...


class SandboxClock:
    """Ticks on with real time from the instant that was set, or stands there; `None` starts at the real present.

    Thread-safe.

    Real time is taken from the monotonic clock: a correction of the machine's wall clock must not move the market.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self.set(datetime.now(UTC) if now is None else now)

    def now(self) -> datetime:
        """The present instant, UTC."""
        with self._lock:
            return self._instant + timedelta(seconds=self._elapsed())

    def set(self, instant: datetime, *, stands: bool = False) -> None:
        """Move to `instant`, back or forth; ValueError if it is naive: a guessed time zone is a wrong session."""
        if instant.tzinfo is None:
            raise ValueError(f"clock: {instant.isoformat()} has no time zone; give one, e.g. 2026-08-24T14:05:00Z")
        with self._lock:
            self._instant, self._set_at, self._stands = instant.astimezone(UTC), time.monotonic(), stands

    def advance(self, seconds: float) -> None:
        """Move by seconds of elapsed time (negative: back), so a change of DST neither adds nor takes an hour."""
        with self._lock:
            self._instant += timedelta(seconds=self._elapsed() + seconds)
            self._set_at = time.monotonic()

    def _elapsed(self) -> float:
        return 0.0 if self._stands else time.monotonic() - self._set_at
