"""A sweep of financials: whom it asks, by which symbol, and what it takes for an answer. Asking is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster.fundamentals.doubts import believed_since
from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.providers.errors import PermanentError, ProviderError
from tokenomics_dagster.universe.checks import too_many_failed

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.fundamentals.checks import Sweep
    from tokenomics_dagster.providers.finnhub.parsing import Metrics
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.settings.guards import GuardSettings

Ask = Callable[[Sequence[str]], "Iterator[tuple[str, Metrics | ProviderError]]"]


@dataclass(frozen=True, slots=True)
class Asking:
    """Whose figures a run is for and whom it asks; what is known since `fresh_since` need not be asked for.

    `sweeping`: it is for the whole universe. `fresh`: who is known well enough.
    """

    requested: Sequence[str]
    fresh_since: datetime
    sweeping: bool
    fresh: frozenset[str]

    @property
    def todo(self) -> list[str]:
        return [symbol for symbol in self.requested if symbol not in self.fresh]


def whom(
    named: Sequence[str] | None,
    followed: Sequence[str],
    known_at: pd.Series,
    last: Sweep | None,
    now: datetime,
    *,
    refresh_days: float,
    again: bool,
) -> Asking:
    """Those that the run was started for by name, else the universe but for what is young enough.

    Never before the instant from which the last sweep counts; with `again` nothing counts that was stored before.
    `known_at`: when the last figures came, by symbol.
    """
    sweeping = named is None or set(named) >= set(followed)
    since = now - timedelta(days=refresh_days)
    since = now if again else since if last is None else max(since, min(last.fresh_since, now))
    fresh = frozenset(known_at.index[known_at >= since]) if sweeping else frozenset[str]()
    return Asking(followed if named is None else named, since, sweeping, fresh)


def answers(
    ask: Ask, todo: Sequence[str], known: pd.DataFrame, now: datetime, settings: Settings
) -> Iterator[tuple[str, Metrics | ProviderError]]:
    """Each symbol of `todo` with its figures or why there are none; `known` are the last figures, by symbol.

    Where every figure is gone that was there not long ago the question is asked once more, and the answer is then a
    failure: it says nothing of the company, and the last figures stand in for it.
    """
    since = believed_since(now, settings.guards)
    had = set(known.index[(known["known_at"] >= since) & known[list(FIGURES)].notna().any(axis=1)])
    emptied = []
    for symbol, answer in ask(todo):
        if symbol in had and _is_empty(answer):
            emptied.append(symbol)
        else:
            yield symbol, answer
    for symbol, answer in ask(emptied):
        if not _is_empty(answer):
            yield symbol, answer
            continue
        days = (now - since) / timedelta(days=1)
        message = f"no figure at all, twice, where there were some on {known['known_at'][symbol].date()}: they are "
        message += f"believed to be gone once those are older than {days:g} days, twice guards.max_score_age_days"
        yield symbol, PermanentError("Finnhub", "GET /stock/metric", 200, message)


def _is_empty(answer: Metrics | ProviderError) -> bool:
    return not isinstance(answer, ProviderError) and all(getattr(answer, figure) is None for figure in FIGURES)


def failed(failures: Mapping[str, str], asking: Asking, guards: GuardSettings) -> str:
    """What is said of a run in which symbols failed."""
    requested, limit = len(asking.requested), f"guards.max_failed_pct is {guards.max_failed_pct:g}"
    if not asking.sweeping:
        means = "the others are stored"
    elif too_many_failed(len(failures), requested, guards):
        means = f"the others are stored, but {limit}: no scores before they are repaired"
    else:
        means = f"the others are stored, the sweep counts ({limit}) and scores may be made"
    return (
        f"{len(failures)} of {requested} symbols could not be fetched: {', '.join(sorted(failures)[:20])}; {means}"
        ". Ask again with the run config ops.financials.config.failed: true, or by .symbols"
    )
