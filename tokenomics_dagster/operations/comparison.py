"""What the benchmark and the equal-weighted universe did between the values of an account, by the broker's bars."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import counted
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.trading import Bar
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.reports.performance import Compared, Value, compare, equal_weighted
from tokenomics_dagster.reports.recorded import universes
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

_OLDEST = timedelta(days=10)
"""A thin name has no bar of a day on which nothing was traded; one that has none for longer has no price any more."""


def compared(
    store: "Warehouse", alpaca: AlpacaResource, values: Sequence[Value], now: datetime, settings: Settings
) -> Iterator[Compared]:
    """The benchmark of the settings, then equal amounts of all names that the universe had, bought anew at the last
    value of each week. With dividends and splits, without costs. Raises ProviderError."""
    ends = [number for number, (one, after) in enumerate(pairwise(values)) if _week(one) != _week(after)]
    chosen = universes(store, values, sorted({0, *ends}))
    benchmark = settings.reports.benchmark
    wanted = frozenset[str]().union(*chosen.values())
    symbols = sorted({benchmark, *wanted})
    prices = _prices(alpaca, symbols, values, now)
    told = "with dividends, without costs"
    levels = prices.get(benchmark)
    if levels is None:
        yield Compared(benchmark, None, {}, f"the broker has no bars of {benchmark}: see reports.benchmark")
    else:
        yield compare(benchmark, values, levels, note=told)
    name = "equal-weighted universe"
    if 0 not in chosen:
        yield Compared(name, None, {}, "there was no universe at the first value")
        return
    known = {symbol: row for symbol, row in prices.items() if symbol in wanted}
    weighted, lacking = equal_weighted(known, chosen)
    note = f"bought anew at the end of each week, {told}"
    absent = sorted(lacking | (wanted - known.keys()))
    if absent:
        note += f"; {counted(len(absent), 'name')} had no price for a time: {', '.join(absent[:5])}"
    if not weighted:
        yield Compared(name, None, {}, "the broker has no bars of any of its names")
        return
    yield compare(name, values, weighted, note=note)


def _week(value: Value) -> date:
    return calendar.week_of(value.at)


def _prices(
    alpaca: AlpacaResource, symbols: Sequence[str], values: Sequence[Value], now: datetime
) -> dict[str, list[float | None]]:
    """By symbol its price at each value: at closes that of the close, within a session that of its open, and of now the
    last trade. Symbols without any bar are left out."""
    bars = alpaca.daily_bars(symbols, values[0].day - _OLDEST, values[-1].day, adjustment="all")
    running = calendar.session_at(now)
    newest = {}
    if running is not None and values[-1].at >= running.open:
        newest = {symbol: one.price for symbol, one in alpaca.snapshots(symbols).items() if one.price is not None}
    found: dict[str, list[float | None]] = {}
    for symbol, of_symbol in bars.items():
        by_day = {bar.session: bar for bar in of_symbol}
        days = sorted(by_day)
        row = [_price(by_day, days, value) for value in values]
        if symbol in newest:
            row[-1] = float(newest[symbol])
        found[symbol] = row
    return found


def _price(by_day: Mapping[date, Bar], days: Sequence[date], value: Value) -> float | None:
    session = calendar.session_on(value.day)
    inside = session is not None and session.open <= value.at < session.close
    if inside and value.day in by_day:
        return float(by_day[value.day].open)
    # Before the open, and within a session in which the name has not been traded, by an earlier close.
    closed = session is not None and value.at >= session.close
    until = value.day if closed else value.day - timedelta(days=1)
    place = bisect_right(days, until)
    if not place or value.at.astimezone(NEW_YORK).date() - days[place - 1] > _OLDEST:
        return None
    return float(by_day[days[place - 1]].close)
