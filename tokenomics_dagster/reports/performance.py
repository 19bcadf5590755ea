"""What an account earned: returns under deposits and withdrawals, drawdown, months, and against others. Pure.

Values and flows in, figures out. Where values and flows come from stays out (operations/), as does how sure a return is
(the research room). Amounts are Decimal, USD; returns are fractions as floats, 0.05 being five percent; instants are
aware. What cannot be known is None, with the reason beside it.

A time-weighted return says what a USD did that lay in the account all the time, whoever paid in or out: it is what a
strategy is judged by. A money-weighted one says what the owner's USD did, at the times when they were there.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK

YEAR = 252
"""Sessions. Under so many nothing is told as a rate of a year (GIPS 2020, 5.A.4)."""
_DAYS_OF_A_YEAR = 365.25
_HIGHEST = 1e6  # a money-weighted growth above it is looked for no further
_GRID = 400  # places between losing all and `_HIGHEST` where a money-weighted growth is looked for


@dataclass(frozen=True, slots=True)
class Value:
    """What the account was worth at an instant, USD."""

    at: datetime
    usd: Decimal

    @property
    def day(self) -> date:
        """In New York."""
        return self.at.astimezone(NEW_YORK).date()


@dataclass(frozen=True, slots=True)
class Flow:
    """What the owner paid in, USD; below 0 what was paid out. `by_day`: only its day in New York is known, `at` being
    the beginning of that."""

    at: datetime
    usd: Decimal
    what: str = ""
    by_day: bool = False

    @property
    def day(self) -> date:
        """In New York."""
        return self.at.astimezone(NEW_YORK).date()


@dataclass(frozen=True, slots=True)
class Step:
    """From one value to the next. `paid_in`: USD net of what was paid out meanwhile.

    `growth`: end over begin without the flows, 1.01 for one percent, above 0; None where nothing was there to grow, and
    where nothing would be left: that is what a wrong answer looks like, and one 0 would make the whole product 0.
    `unit`: what one USD of the first value has become by its end, as if nothing had been paid in or out.
    """

    start: Value
    end: Value
    paid_in: Decimal
    growth: float | None
    unit: float

    @property
    def profit(self) -> Decimal:
        """USD, exact: what the value changed by and nobody paid."""
        return self.end.usd - self.start.usd - self.paid_in


@dataclass(frozen=True, slots=True)
class Month:
    """`month`: its first day. `since` and `until` are the values that it was measured between, `growth` as of a Step
    (time-weighted), `profit` and `paid_in` in USD. A step counts for the month that it ends in."""

    month: date
    since: datetime
    until: datetime
    growth: float | None
    profit: Decimal
    paid_in: Decimal


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The largest fall of the unit value from an earlier height: `depth` is the part that was lost, 0 to 1.

    `peak`: the last day in New York at that height; `recovered`: the first one at it again, None where there is none.
    """

    depth: float
    peak: date
    trough: date
    recovered: date | None


@dataclass(frozen=True, slots=True)
class Compared:
    """What something else did between the same values. `total`: fraction, None where the reason `why` is given.
    `months`: fraction by the first day of each month, None where a price is lacking. `note`: what to know of it."""

    name: str
    total: float | None
    months: Mapping[date, float | None] = field(default_factory=dict)
    why: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Performance:
    """Of an account from its first value to its last. USD exact: `end` = `start` + `paid_in` - `paid_out` + `profit`.

    `sessions`: trading days after that of the first value. `time_weighted`, `money_weighted` over the whole
    time, the `_annual` ones a year; `undefined` says of each that is None why.
    """

    since: datetime
    until: datetime
    sessions: int
    start: Decimal
    end: Decimal
    paid_in: Decimal
    paid_out: Decimal
    profit: Decimal
    time_weighted: float | None
    money_weighted: float | None
    time_weighted_annual: float | None
    money_weighted_annual: float | None
    drawdown: Drawdown | None
    months: tuple[Month, ...]
    steps: tuple[Step, ...]
    undefined: Mapping[str, str]
    gaps: tuple[str, ...]
    """What the record lacks, in sentences."""
    unsure: tuple[str, ...] = ()
    """Why no return is told at all, in sentences: what the steps make of the values is then no fact."""
    beside: tuple[str, ...] = ()
    """What the returns must not be read without, in sentences."""


class TooShort(ValueError):
    """There are no two values to measure between; the text says what there is."""


def measure(values: Sequence[Value], flows: Sequence[Flow]) -> Performance:
    """All figures of a record of values, oldest first, and of the flows meanwhile; those outside of it count nothing.

    Raises TooShort under two values, ValueError where they are not in order.
    """
    if len(values) < 2:
        known = f"only that of {values[0].at:%Y-%m-%d %H:%M} UTC" if values else "none"
        raise TooShort(f"a return needs two values of the account, and there is {known}")
    if any(after.at <= before.at for before, after in pairwise(values)):
        raise ValueError("the values of an account must be in the order of time")
    done = steps(values, flows)
    first, last = values[0], values[-1]
    inside = [one for one in flows if first.at < one.at <= last.at]
    grown = [one.growth for one in done if one.growth is not None]
    undefined: dict[str, str] = {}
    time_weighted = math.prod(grown) - 1 if grown else None
    # Cents of interest in an empty account are no loss of all.
    tiny = max(abs(one.usd) for one in values) / 1000
    lost = [one for one in done if one.growth is None and abs(one.profit) > tiny]
    if lost:
        time_weighted = None
        undefined["time_weighted"] = undefined["drawdown"] = _no_return(lost[0])
    elif time_weighted is None:
        undefined["time_weighted"] = "nothing was in the account"
    money_weighted, why = money_weighted_return(first, last, inside)
    if money_weighted is None:
        undefined["money_weighted"] = why
    count = max(len(_sessions(first.day, last.day)) - 1, 0)
    years = (last.at - first.at).total_seconds() / 86_400 / _DAYS_OF_A_YEAR
    annual = {}
    for name, total in (("time_weighted", time_weighted), ("money_weighted", money_weighted)):
        annual[name] = (1 + total) ** (1 / years) - 1 if total is not None and count >= YEAR else None
        if annual[name] is None:
            undefined[f"{name}_annual"] = undefined.get(
                name, f"{count} sessions are less than a year of {YEAR}: a part of a year is told as it is"
            )
    return Performance(
        since=first.at,
        until=last.at,
        sessions=count,
        start=first.usd,
        end=last.usd,
        paid_in=sum((one.usd for one in inside if one.usd > 0), Decimal(0)),
        paid_out=-sum((one.usd for one in inside if one.usd < 0), Decimal(0)),
        profit=sum((one.profit for one in done), Decimal(0)),
        time_weighted=time_weighted,
        money_weighted=money_weighted,
        time_weighted_annual=annual["time_weighted"],
        money_weighted_annual=annual["money_weighted"],
        drawdown=None if lost else drawdown(done),
        months=months(done),
        steps=done,
        undefined=undefined,
        gaps=(*gaps(values), *_unclear(first, flows), *_empty(done)),
    )


def joined(first: Value, closes: Mapping[date, Decimal], others: Iterable[Value], last: Value) -> list[Value]:
    """The values of a record in their order: those at the closes of sessions, and, of days without one, the others.

    `closes`: USD by day in New York; what lies outside of the first and the last value is left out.
    """
    at_close = {
        day: Value(session.close, usd)
        for day, usd in closes.items()
        if (session := calendar.session_on(day)) is not None and first.at < session.close < last.at
    }
    days = {first.day, last.day, *at_close}
    rest = {one.day: one for one in others if first.at < one.at < last.at and one.day not in days}
    return [first, *sorted([*at_close.values(), *rest.values()], key=lambda one: one.at), last]


def steps(values: Sequence[Value], flows: Sequence[Flow]) -> tuple[Step, ...]:
    """From value to value: growth = 1 + (end - begin - flows) / (begin + weighted flows), the modified Dietz return
    (Dietz 1966), which chained over days is the time-weighted return that GIPS 2020 asks for.

    A flow weighs with the part of the step's trading hours that was left when it came: before the open with all of it,
    as what lies in the account at the open takes part in the day; after the last close with nothing. One of which only
    the day is known comes before it, and goes after it.
    """
    done: list[Step] = []
    unit = 1.0
    for start, end in pairwise(values):
        some = [one for one in flows if start.at < one.at <= end.at]
        paid_in = sum((one.usd for one in some), Decimal(0))
        base = float(start.usd) + sum(float(one.usd) * _weight(one, start, end) for one in some)
        growth = None
        if base > 0:
            grown = 1 + float(end.usd - start.usd - paid_in) / base
            growth = grown if grown > 0 else None
            unit *= growth or 1.0
        done.append(Step(start, end, paid_in, growth, unit))
    return tuple(done)


def money_weighted_return(first: Value, last: Value, flows: Sequence[Flow]) -> tuple[float | None, str]:
    """The internal rate of return over the whole time, not a year, or None and why.

    The growth g for which last = first x g + the sum of each flow x g ** (part of the time that was left). It is looked
    for between losing all and growing a million times; where more than one growth does it, none is told.
    """
    whole = (last.at - first.at).total_seconds()
    paid = [(1.0, float(first.usd))]
    paid += [((last.at - one.at).total_seconds() / whole, float(one.usd)) for one in flows]
    if not any(usd for _, usd in paid):
        return None, "nothing was in the account"

    def missing(growth: float) -> float:
        return sum(usd * growth**left for left, usd in paid) - float(last.usd)

    lowest = 1e-9
    ratio = (_HIGHEST / lowest) ** (1 / _GRID)
    grid = [lowest * ratio**place for place in range(_GRID + 1)]
    signs = [missing(growth) for growth in grid]
    found = [
        (low, high)
        for (low, below), (high, above) in pairwise(zip(grid, signs, strict=True))
        if (below < 0) != (above < 0)
    ]
    if len(found) != 1:
        many = "more than one rate fits" if found else "no rate fits"
        return None, f"{many} what was paid in and out"
    low, high = found[0]
    rising = missing(low) < missing(high)
    for _ in range(200):
        middle = (low + high) / 2
        if (missing(middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2 - 1, ""


def months(done: Sequence[Step]) -> tuple[Month, ...]:
    """The steps by the month in New York that they end in."""
    by_month: dict[date, list[Step]] = {}
    for step in done:
        by_month.setdefault(step.end.day.replace(day=1), []).append(step)
    return tuple(
        Month(
            month=month,
            since=some[0].start.at,
            until=some[-1].end.at,
            growth=math.prod(grown) if (grown := [one.growth for one in some if one.growth is not None]) else None,
            profit=sum((one.profit for one in some), Decimal(0)),
            paid_in=sum((one.paid_in for one in some), Decimal(0)),
        )
        for month, some in by_month.items()
    )


def drawdown(done: Sequence[Step]) -> Drawdown | None:
    """The deepest fall of the unit value, measured at the values; None where it never was under an earlier one."""
    path = [(done[0].start.day, 1.0), *((one.end.day, one.unit) for one in done)]
    height, peak = 1.0, path[0][0]
    deepest: tuple[float, float, date, date] | None = None
    for day, unit in path:
        if unit >= height:
            height, peak = unit, day
        elif deepest is None or 1 - unit / height > deepest[0]:
            deepest = 1 - unit / height, height, peak, day
    if deepest is None:
        return None
    depth, height, peak, trough = deepest
    recovered = next((day for day, unit in path if day > trough and unit >= height), None)
    return Drawdown(depth, peak, trough, recovered)


def gaps(values: Sequence[Value]) -> tuple[str, ...]:
    """The sessions between two values of which neither tells, in a sentence for each stretch."""
    told = []
    days = _sessions(values[0].day, values[-1].day)
    for before, after in pairwise(values):
        between = days[bisect_right(days, before.day) : bisect_left(days, after.day)]
        if between:
            span = f"{between[0]}" if len(between) == 1 else f"{between[0]} to {between[-1]}"
            told.append(
                f"no value of the account is known of {len(between)} session{'s' * (len(between) > 1)} ({span}): what "
                "it fell by in between is in no drawdown"
            )
    return tuple(told)


def compare(
    name: str, values: Sequence[Value], levels: Sequence[float | None], *, why: str = "", note: str = ""
) -> Compared:
    """What something did whose `levels` (one for each of the `values`, above 0, None: not known) are these.

    A month, and the whole, is told where the levels at both of its ends are known; `why`: what is said where not.
    """
    if len(levels) != len(values):
        raise ValueError(f"{len(levels)} levels of {name} for {len(values)} values of the account")
    ends: dict[date, tuple[float | None, float | None]] = {}
    for (_, before), (value, after) in pairwise(zip(values, levels, strict=True)):
        month = value.day.replace(day=1)
        ends[month] = (ends[month][0] if month in ends else before, after)
    total = _return(levels[0], levels[-1])
    lacking = why or "its price is not known at the beginning or at the end"
    return Compared(
        name, total, {month: _return(*both) for month, both in ends.items()}, "" if total is not None else lacking, note
    )


def equal_weighted(
    prices: Mapping[str, Sequence[float | None]], chosen: Mapping[int, Sequence[str]]
) -> tuple[list[float | None], set[str]]:
    """The level of equal amounts in each of some names, 1 at the beginning, and the names that lacked a price.

    `prices`: by symbol one for each value (None: not known), `chosen`: by the number of the value at which they are
    bought anew, which names; the first must be 0. A name that lacks a price when it is to be bought is not bought; one
    that lacks it later counts with its last one. No costs.
    """
    count = len(next(iter(prices.values()))) if prices else 0
    lacking: set[str] = set()
    levels: list[float | None] = []
    level, bought, last = 1.0, dict[str, float](), dict[str, float]()
    for number in range(count):
        now = {symbol: price for symbol, row in prices.items() if (price := row[number])}
        lacking |= bought.keys() - now.keys()
        last |= now
        if bought:
            level = math.fsum(units * last[symbol] for symbol, units in bought.items())
        if number in chosen:
            lacking |= set(chosen[number]) - now.keys()
            names = [symbol for symbol in chosen[number] if symbol in now]
            bought = {symbol: level / len(names) / now[symbol] for symbol in names}
        levels.append(level if bought else None)
    return levels, lacking


def turnover(traded_usd: Decimal, values: Sequence[Value]) -> float | None:
    """USD bought and USD sold, both, over the mean value of the account; over the whole time, not a year."""
    mean = sum((one.usd for one in values), Decimal(0)) / len(values) if values else Decimal(0)
    return float(traded_usd / mean) if mean > 0 else None


def _return(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end / start - 1


def _weight(flow: Flow, start: Value, end: Value) -> float:
    """0 to 1, the part of the step that the flow took part in."""
    if flow.by_day:
        return 1.0 if flow.usd > 0 else 0.0
    days = (start.day + timedelta(days=after) for after in range((end.day - start.day).days + 1))
    hours = [
        (max(session.open, start.at), min(session.close, end.at))
        for day in days
        if (session := calendar.session_on(day)) is not None and session.close > start.at and session.open < end.at
    ]
    whole = sum((closed - opened).total_seconds() for opened, closed in hours)
    left = sum(max((closed - max(opened, flow.at)).total_seconds(), 0.0) for opened, closed in hours)
    return left / whole if whole else 0.0


def _sessions(first: date, last: date) -> tuple[date, ...]:
    """The days with a session, both ends included."""
    whole = calendar.session_days(first.replace(month=1, day=1), last.replace(month=12, day=31))  # kept, by the year
    return whole[bisect_left(whole, first) : bisect_right(whole, last)]


def _unclear(first: Value, flows: Sequence[Flow]) -> list[str]:
    """Flows of which nobody knows whether the first value has them."""
    unclear = [one for one in flows if before_first(one, first)]
    return [
        f"{one.what or 'a flow'} of {one.usd:+,.2f} USD is told of {first.day} without its hour: it is taken to lie "
        "before the first value, and the return is wrong by it if it does not"
        for one in unclear
    ]


def before_first(flow: Flow, first: Value) -> bool:
    """Whether a flow of which only the day is known is taken to lie before the first value, which is of that day."""
    return flow.by_day and flow.at <= first.at and flow.day == first.day


def _empty(done: Sequence[Step]) -> list[str]:
    return [_no_return(one) for one in done if one.growth is None]


def _no_return(step: Step) -> str:
    if not step.profit:
        return f"nothing was in the account from {step.start.day} to {step.end.day}: that time has no return"
    return (
        f"the account was worth {step.start.usd:,.2f} USD on {step.start.day} and {step.end.usd:,.2f} USD on "
        f"{step.end.day}, with {step.paid_in:+,.2f} USD paid in: no growth makes the one of the other"
    )
