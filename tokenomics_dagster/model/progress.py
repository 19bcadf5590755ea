"""How far a long piece of work is, as a line for a person, and how much longer it takes once that can be known. Pure.

Where lines go and how one replaces another is the interface's.
"""

from collections import deque
from collections.abc import Callable

_KNOWN_AFTER_S = 10.0
_KNOWN_AFTER = 10  # pieces: what fewer took says little of the rest
_WINDOW_S = 60.0  # the rate is that of the last minute: a warm cache at the start promised 3 min, and it took 20


class Interim(str):
    """A line that the next one takes the place of, where there is a place: a terminal."""

    __slots__ = ()


class Count(Interim):
    """How far work is that knows no clock: `done` of `total`. Whoever has one adds the time left (`timed`)."""

    __slots__ = ("done", "total", "what")
    what: str
    done: int
    total: int

    @classmethod
    def of(cls, what: str, done: int, total: int) -> "Count":
        made = cls(f"{what}: {done:,} of {total:,}")
        made.what, made.done, made.total = what, done, total
        return made


class Pace:
    """The rate of work on `total` pieces that began at `now`, seconds of any clock that only goes forward."""

    def __init__(self, what: str, total: int, now: float) -> None:
        self._what, self._total = what, total
        self._seen = deque([(now, 0)])

    def seconds_left(self) -> float | None:
        """By the rate of the last minute; None until 10 pieces were seen over 10 seconds."""
        (since, before), (at, done) = self._seen[0], self._seen[-1]
        if at - since < _KNOWN_AFTER_S or done - before < _KNOWN_AFTER:
            return None
        return (self._total - done) * (at - since) / (done - before)

    def line(self, done: int, now: float) -> Interim:
        """That `done` pieces are done `now`: "profiles: 412 of 4,500, about 3 min left"."""
        self._seen.append((now, done))
        while self._seen[1][0] <= now - _WINDOW_S:
            self._seen.popleft()
        left = self.seconds_left()
        told = "" if left is None or done >= self._total else f", about {_rounded(left)} left"
        return Interim(f"{self._what}: {done:,} of {self._total:,}{told}")


def timed(say: Callable[[str], None], clock: Callable[[], float]) -> Callable[[str], None]:
    """Says what it is told, with the time left where that is a count; `clock` gives seconds."""
    paces: dict[tuple[str, int], Pace] = {}
    said = clock()  # what is counted began when the last line was said

    def saying(line: str) -> None:
        nonlocal said
        before, said = said, clock()
        if isinstance(line, Count):
            pace = paces.setdefault((line.what, line.total), Pace(line.what, line.total, before))
            line = pace.line(line.done, said)
        say(line)

    return saying


def _rounded(seconds: float) -> str:
    """As exact as an estimate can be."""
    if seconds < 55:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
