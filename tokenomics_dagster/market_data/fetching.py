"""Whose daily bars are asked for, since when, and which of those that come are believed. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.trading import Bar
from tokenomics_dagster.storage.lake import Known

# Sessions that are asked for again: bars are corrected in the days after their session, and cost no further call.
LOOK_BACK = 5
# A name that has left the universe still trades: a history that ended with it would look like that of a delisting.
GONE_AFTER = timedelta(days=30)
# Plans without a subscription may not ask sip for what is younger than 15 minutes.
SETTLES = timedelta(minutes=20)
# Bars asked for at once: two pages of Alpaca's, 20 MB while they are read.
BARS_AT_ONCE = 20_000
SAVED_AT_ONCE = 200_000  # 140 names of five years: some twenty calls of 190 a minute, and 60 MB
_FEW_MONTHS = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """Symbols that are asked for together, from one session on."""

    symbols: tuple[str, ...]
    first: date


def last_settled(now: datetime) -> date:
    """The last session whose bar will grow no more."""
    day = now.astimezone(calendar.NEW_YORK).date()
    sessions = (calendar.session_on(day - timedelta(days=back)) for back in range(15))
    return next(one.day for one in sessions if one is not None and one.close + SETTLES <= now)


def followed(universe: Iterable[str], held: Iterable[str], known: Mapping[str, Known], last: date) -> list[str]:
    """What is in the universe, what is held, and what the lake has followed until lately; in their order."""
    lately = (symbol for symbol, there in known.items() if last - there.last <= GONE_AFTER)
    return sorted({*universe, *held, *lately})


def batches(
    symbols: Collection[str],
    known: Mapping[str, Known],
    sessions: Sequence[date],
    *,
    since: date | None = None,
    at_once: int,
) -> list[Batch]:
    """Who is asked for from which of the sessions, which are in order; whoever needs least comes first.

    From LOOK_BACK sessions before the last that is known, else from the first; with `since` all from there on.
    """
    positions = {day: position for position, day in enumerate(sessions)}
    by_first: dict[date, list[str]] = {}
    for symbol in symbols:
        first = sessions[0]
        if since is not None:
            first = max(since, first)
        elif symbol in known:
            # A bar may be of a day that is no session by the calendar of today: then all is asked for again.
            first = sessions[max(0, positions.get(known[symbol].last, 0) - LOOK_BACK + 1)]
        by_first.setdefault(first, []).append(symbol)
    found = []
    for first in sorted(by_first, reverse=True):
        count = sum(day >= first for day in sessions)
        size = max(1, min(at_once, BARS_AT_ONCE // max(count, 1)))
        names = by_first[first]
        found += [Batch(tuple(names[start : start + size]), first) for start in range(0, len(names), size)]
    return found


def worth_saving(bars: int, first: date, last: date) -> bool:
    """Whether so many bars of these months are written now: a file for each month is written anew.

    Those of a day are one or two files: each batch is saved. Five years are 68 of them, and 150 batches would write
    10,000 files, which takes longer than to ask for all again.
    """
    months = 12 * (last.year - first.year) + last.month - first.month + 1
    return months <= _FEW_MONTHS or bars >= SAVED_AT_ONCE


def judged(bars: Mapping[str, Sequence[Bar]], sessions: Collection[date]) -> Iterator[tuple[str, Bar, str | None]]:
    """Each bar with the reason why it is not believed, if there is one."""
    for symbol, told in bars.items():
        seen: dict[date, Bar] = {}
        for bar in told:
            twice = bar.session in seen and seen[bar.session] != bar
            seen.setdefault(bar.session, bar)
            yield symbol, bar, "a second, different bar of its session" if twice else _against(bar, sessions)


def _against(bar: Bar, sessions: Collection[date]) -> str | None:
    if bar.session not in sessions:
        return "of no session that was asked for"
    prices = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
    for name, price in prices.items():
        if price <= 0:
            return f"{name} of {price} USD"
        if not bar.low <= price <= bar.high:
            return f"{name} of {price} USD is not between low {bar.low} and high {bar.high}"
    return f"volume of {bar.volume} shares" if bar.volume < 0 else None
