"""A sweep of financials: whom it asks, by which symbol, and what it takes for an answer. Asking is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster.fundamentals.doubts import believed_since
from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.providers.errors import PermanentError, ProviderError
from tokenomics_dagster.universe.checks import too_many_failed

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.fundamentals.checks import Sweep
    from tokenomics_dagster.providers.finnhub.parsing import Metrics
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.settings.guards import GuardSettings

Answered = Generator["tuple[str, Metrics | ProviderError]", None, None]
Ask = Callable[[Sequence[str]], Answered]
"""Closing what it returns ends the calls."""


class CannotAsk(UserError):
    """Whom a run is to ask cannot be told from what it was started with; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Whose figures a run is for and whom it asks; what is known since `fresh_since` need not be asked for.

    `by_name`: it was started for them by name. `sweeping`: it is for the whole universe. `fresh`: who is known well
    enough.
    """

    requested: Sequence[str]
    fresh_since: datetime
    by_name: bool
    sweeping: bool
    fresh: frozenset[str]

    @property
    def todo(self) -> list[str]:
        return [symbol for symbol in self.requested if symbol not in self.fresh]


def named(
    symbols: Sequence[str],
    partitions: Sequence[str] | None,
    followed: Collection[str],
    still_failed: Callable[[], Sequence[str]] | None,
    *,
    again: bool,
) -> list[str] | None:
    """The symbols that a run is for by name: those of its config, else of its partitions; None for a sweep.

    `still_failed` asks for those of the last sweep, where the run is for them. Raises CannotAsk where it is for
    nobody, for somebody who is not followed, or for more than one of these.
    """
    if bool(symbols) + (still_failed is not None) + again + (partitions is not None) > 1:
        raise CannotAsk("symbols, failed, again and partitions name what to ask for each by itself: give one of them")
    if still_failed is not None:
        found = list(still_failed())
        if not found:
            raise CannotAsk("no symbol of the last sweep is failed: there is nothing to repair")
        return found
    if symbols:
        if unknown := sorted(set(symbols) - set(followed)):
            raise CannotAsk(
                f"symbols that are not followed: {', '.join(unknown[:20])}; the partitions of financials list those "
                "that are"
            )
        return list(dict.fromkeys(symbols))
    if partitions is None:
        return None
    if not partitions:
        # Dynamic partitions keep the order in which they were added: a range that ends before it starts has no keys,
        # and would succeed without doing anything.
        raise CannotAsk("the range of partitions holds no symbol: choose single symbols")
    return list(partitions)


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
    return Asking(followed if named is None else named, since, named is not None, sweeping, fresh)


def answers(ask: Ask, todo: Sequence[str], known: pd.DataFrame, now: datetime, settings: Settings) -> Answered:
    """Each symbol of `todo` with its figures or why there are none; `known` are the last figures, by symbol.

    Where every figure is gone that was there not long ago the question is asked once more, and the answer is then a
    failure: it says nothing of the company, and the last figures stand in for it.
    """
    since = believed_since(now, settings.guards)
    had = set(known.index[(known["known_at"] >= since) & known[list(FIGURES)].notna().any(axis=1)])
    emptied = []
    # Closed with this, at once: whoever stops reading ends the calls.
    with closing(ask(todo)) as first:
        for symbol, answer in first:
            if symbol in had and _is_empty(answer):
                emptied.append(symbol)
            else:
                yield symbol, answer
    with closing(ask(emptied)) as second:
        for symbol, answer in second:
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
