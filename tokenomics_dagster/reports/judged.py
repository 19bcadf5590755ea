"""Which values of a record may be believed, and when its returns are no facts. Pure.

Formulas are performance.py's. What asks the broker or the warehouse for more (cash, shares) stays out: it is handed in
as sentences. What cannot be told right from wrong is not known, and no figure is made of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tokenomics_dagster.model import calendar
from tokenomics_dagster.reports.performance import (
    Flow,
    Performance,
    Value,
    before_first,
    measure,
    steps,
)

SMALL = Decimal("0.001")
"""Of the equity. What is off by less is told, and the returns stand; above it they are off by a tenth of a percent."""
_JUMP = 0.20
"""In a session the S&P 500 has moved by so much once since 1950 (1987-10-19: -20.5 %)."""
_SOON, _SPIKE, _LATE_SPIKE = timedelta(days=5), 0.12, 0.25
"""A move and its undoing within some sessions, and over more. Since 1950 the S&P 500 has undone none of 10 % or more on
the next day (2020-03-12 and 13: -9.5 %, +9.3 %), nor two thirds of 12 % within days (1987-10-19 to 21: 61 % of it)."""
_FAR = 5  # values after which what has not been undone is no spike
_LEFT = 1 / 3  # of a move that was undone


def judged(
    values: Sequence[Value], flows: Sequence[Flow], *, unsure: Sequence[str] = (), beside: Sequence[str] = ()
) -> Performance:
    """The figures of `measure` of the values that may be believed. `unsure`, `beside`: what is known of elsewhere, to
    which that of the values and flows is added. Raises as `measure` does."""
    real, no_values = _without_nothing(values, flows)
    kept, spikes = _without_spikes(real, flows)
    found = measure(kept, flows)
    unsure = list(unsure)
    if "time_weighted" in found.undefined and "drawdown" in found.undefined:
        unsure.append(found.undefined["time_weighted"])  # a value at an end that cannot be: no figure goes without it
    if spikes and _apart(found.time_weighted, measure(real, flows).time_weighted):
        unsure += spikes  # with flows in that time it makes a difference which of the values is right
    elif spikes:
        found = replace(found, drawdown=None, undefined={**found.undefined, "drawdown": spikes[0]})
    beside = [*beside, *_jumps(found), *_other_hours(found, kept, flows)]
    found = replace(found, gaps=(*no_values, *spikes, *found.gaps), unsure=tuple(unsure), beside=tuple(beside))
    return _withheld(found, unsure[0]) if unsure else found


def _withheld(found: Performance, why: str) -> Performance:
    names = ("time_weighted", "money_weighted", "time_weighted_annual", "money_weighted_annual", "drawdown")
    return replace(
        found,
        time_weighted=None,
        money_weighted=None,
        time_weighted_annual=None,
        money_weighted_annual=None,
        drawdown=None,
        months=tuple(replace(month, growth=None) for month in found.months),
        undefined=dict.fromkeys(names, why),
    )


def _without_nothing(values: Sequence[Value], flows: Sequence[Flow]) -> tuple[list[Value], list[str]]:
    """Without those between the ends that tell of nothing, or less, in an account that nobody emptied."""
    kept, told = [*values[:1]], []
    for one in values[1:-1]:
        if one.usd <= 0 and not _emptied(kept[-1], one, flows):
            before = kept[-1]
            told.append(
                f"an equity of {one.usd:,.2f} USD is told of {one.day}, after {before.usd:,.2f} USD of {before.day} "
                "that nobody paid out: it is taken as not known"
            )
        else:
            kept.append(one)
    return [*kept, *values[1:][-1:]], told


def _emptied(start: Value, end: Value, flows: Sequence[Flow]) -> bool:
    paid_in = sum((one.usd for one in flows if start.at < one.at <= end.at), Decimal(0))
    return start.usd + paid_in <= start.usd * Decimal(str(_JUMP))


def _without_spikes(values: Sequence[Value], flows: Sequence[Flow]) -> tuple[list[Value], list[str]]:
    """Without what is far from the values before and after, which are near each other; and a sentence for each."""
    kept, told, number = [*values[:1]], [], 1
    while number < len(values):
        back = _undone_at(kept[-1], values, number, flows)
        if back is None:
            kept.append(values[number])
            number += 1
            continue
        told += [
            f"{one.usd:,.2f} USD is told of {one.day}, between {kept[-1].usd:,.2f} USD of {kept[-1].day} and "
            f"{values[back].usd:,.2f} USD of {values[back].day}: many stocks together do not move so far and back, and "
            "nobody tells which of the values is right"
            for one in values[number:back]
        ]
        number = back
    return kept, told


def _undone_at(before: Value, values: Sequence[Value], number: int, flows: Sequence[Flow]) -> int | None:
    """The place of the value that is near `before` again, where that at `number` is far from it."""
    moved = _moved(before, values[number], flows)
    if moved is None:
        return None
    for back in range(number + 1, min(number + 1 + _FAR, len(values))):
        bound = _SPIKE if values[back].at - before.at <= _SOON else _LATE_SPIKE
        left = _moved(before, values[back], flows)
        if left is not None and abs(moved) > math.log1p(bound) and abs(left) < _LEFT * abs(moved):
            return back
    return None


def _moved(start: Value, end: Value, flows: Sequence[Flow]) -> float | None:
    """The logarithm of the growth without flows."""
    growth = steps([start, end], flows)[0].growth
    return None if growth is None else math.log(growth)


def _jumps(found: Performance) -> list[str]:
    """What nothing has undone may be true; it is told beside the figures, for they stand on it."""
    return [
        f"the account moved by {one.growth - 1:+.1%} without what was paid, from {one.start.usd:,.2f} USD of "
        f"{one.start.day} to {one.end.usd:,.2f} USD of {one.end.day}: if that is not what the market did, the "
        "returns are wrong by it"
        for one in found.steps
        if one.growth is not None and abs(one.growth - 1) > _JUMP and one.end.at - one.start.at <= _SOON
    ]


def _other_hours(found: Performance, values: Sequence[Value], flows: Sequence[Flow]) -> list[str]:
    """Flows that are told by their days alone, where the return depends on their hours."""
    by_day = [one for one in flows if one.by_day and values[0].day <= one.day <= values[-1].day]
    other = measure(values, [_at_another_hour(one, values) for one in flows]).time_weighted if by_day else None
    if not by_day or not _apart(found.time_weighted, other):
        return []
    named = " and ".join(f"{one.usd:+,.2f} USD of {one.day}" for one in by_day[:3])
    more = f" and {len(by_day) - 3} more" if len(by_day) > 3 else ""
    would = "is not known" if other is None else f"is {other:+.2%}"
    told = f"the broker tells no hour of {named}{more}: if it came or went at the other end of the day, the"
    return [f"{told} time-weighted return {would}"]


def _at_another_hour(flow: Flow, values: Sequence[Value]) -> Flow:
    """Within its day, and for the step that it was counted in, as far as can be from where it is taken to lie."""
    if not flow.by_day:
        return flow
    if before_first(flow, values[0]):
        return replace(flow, at=min(values[0].at + timedelta(microseconds=1), values[-1].at), by_day=False)
    session = calendar.session_on(flow.day)
    if session is None:
        return flow
    end = next((one.at for one in values if one.at >= flow.at), session.close)
    late = min(session.close, end)
    return replace(flow, at=late if flow.usd > 0 else max(flow.at, values[0].at), by_day=False)


def _apart(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > float(SMALL)
