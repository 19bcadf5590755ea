"""What an account earned, from what its reports keep: its values, and what was paid in and out. Pure.

How returns are computed is performance.py's. A report keeps the flows since the one before it, so that a return can be
told of any time that reports tell of, whatever the broker still remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from tokenomics_dagster.reports.judged import SMALL, judged
from tokenomics_dagster.reports.performance import Flow, Performance, TooShort, Value, turnover

if TYPE_CHECKING:
    from tokenomics_dagster.execution.schema import PortfolioReportDetails
    from tokenomics_dagster.reports.trades import Totals

_NEXT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A report of the account: of which week, and when it was made."""

    week: date
    at: datetime
    details: PortfolioReportDetails


@dataclass(frozen=True, slots=True)
class Standing:
    """The account when a week was reported, USD; `growth` since the week reported before (1.01 for one percent), None
    where it is not known; `paid_in` since then, None likewise."""

    week: date
    at: datetime
    equity: Decimal
    cash: Decimal
    growth: float | None
    paid_in: Decimal | None


@dataclass(frozen=True, slots=True)
class Spent:
    """In the time of the performance. USD: `spread`, what the trades were worse than the middle of the quotes that they
    were decided on, `spread_bps` of what was traded of which that is known (`unknown`: trades of which it is not).
    `turnover`: bought and sold, both, over the mean value, in the whole time."""

    spread: Decimal
    spread_bps: Decimal | None
    unknown: int
    turnover: float | None


@dataclass(frozen=True, slots=True)
class Earned:
    """`performance` is None where `why` says so, and `spent` with it; `flows` oldest first; `doubts` are sentences."""

    performance: Performance | None
    why: str
    flows: Sequence[Flow]
    standings: Sequence[Standing]
    doubts: Sequence[str] = ()
    spent: Spent | None = None


def earned(reports: Sequence[Told], marks: Sequence[tuple[datetime, Decimal]], traded: Mapping[date, Totals]) -> Earned:
    """`reports` of one account, oldest first, at least one; `marks`: when which equity was marked, oldest first;
    `traded`: by week."""
    told = _unbroken(reports)
    if not told:
        return Earned(None, _UNTOLD, (), _standings(reports, None))
    since = told[0].details.flows_since
    assert since is not None
    flows, doubts = _flows(told)
    last = told[-1].at
    known = {at: usd for at, usd in marks if since <= at <= last}
    known |= {one.at: one.details.equity for one in reports if since <= one.at <= last}
    try:
        values = [Value(at, known[at]) for at in sorted(known)]
        found = judged(values, flows, beside=[*doubts, *_cash(told, flows, traded)])
    except TooShort as error:
        return Earned(None, str(error), flows, _standings(reports, None), doubts)
    early = [] if told[0] is reports[0] else [f"it begins with {since:%Y-%m-%d}: {_UNTOLD}"]
    spent = _spent([traded[week] for week in sorted({one.week for one in told}) if week in traded], values)
    return Earned(found, "", flows, _standings(reports, found), [*early, *found.gaps], spent)


_INCOME = Decimal("0.10")
"""Of the equity, a year: what dividends, interest and fees together stay under. No report keeps them."""


def _cash(reports: Sequence[Told], flows: Sequence[Flow], traded: Mapping[date, Totals]) -> list[str]:
    """From week to week: whether the cash is what flows and trades make of it. The broker's list may explain it."""
    newest = list({one.week: one for one in reports}.values())
    told = []
    for before, after in pairwise(newest):
        paid_in = sum((one.usd for one in flows if before.at < one.at <= after.at), Decimal(0))
        week = traded.get(after.week)
        sold = Decimal(0) if week is None else week.sold - week.bought
        off = after.details.cash - before.details.cash - paid_in - sold
        days = Decimal((after.at - before.at).days)
        if abs(off) > (SMALL + _INCOME * days / 365) * abs(after.details.equity):
            told.append(
                f"from {before.at:%Y-%m-%d} to {after.at:%Y-%m-%d} the cash changed by {off:+,.2f} USD that no flow "
                "and no trade of the reports explains: ask `tokenomics performance`, which asks the broker"
            )
    return told


def _spent(weeks: Sequence[Totals], values: Sequence[Value]) -> Spent:
    spread = sum((one.cost for one in weeks), Decimal(0))
    measured = sum((one.measured for one in weeks), Decimal(0))
    usd = sum((one.bought + one.sold for one in weeks), Decimal(0))
    bps = spread / measured * 10_000 if measured else None
    return Spent(spread, bps, sum(one.unknown for one in weeks), turnover(usd, values))


_UNTOLD = "the reports of before do not tell what was paid in and out"


def _unbroken(reports: Sequence[Told]) -> list[Told]:
    """The last of them that follow each other, each telling the flows since the one before."""
    found: list[Told] = []
    for one in reversed(reports):
        since = one.details.flows_since
        if since is None or (found and found[0].details.flows_since != one.at):
            break
        found.insert(0, one)
    return found


def _flows(reports: Sequence[Told]) -> tuple[list[Flow], list[str]]:
    """Each once. One that is told by its day alone, and of which the report of that day did not know, came after it."""
    seen: set[str] = set()
    flows, doubts = [], []
    for order, report in enumerate(reports):
        since = report.details.flows_since
        assert since is not None
        for one in report.details.flows:
            if one.id in seen:
                continue
            seen.add(one.id)
            if one.shares:
                doubts.append(f"{one.what} moved shares, of which the broker tells no value: the return takes it as 0")
            late = order > 0 and one.at <= since
            flows.append(Flow(since + _NEXT if late else one.at, one.usd, one.what, one.by_day and not late))
    return sorted(flows, key=lambda one: one.at), doubts


def _standings(reports: Sequence[Told], found: Performance | None) -> list[Standing]:
    """The newest report of each week; between two of them what the steps of the account make."""
    newest = {one.week: one for one in reports}
    ordered = [newest[week] for week in sorted(newest)]
    made = []
    for before, one in pairwise([None, *ordered]):
        assert one is not None
        growth, paid_in = None, None
        if found is not None and before is not None and before.at >= found.since:
            steps = [step for step in found.steps if before.at < step.end.at <= one.at]
            grown = [step.growth for step in steps if step.growth is not None]
            growth = prod(grown) if grown and not found.unsure else None
            paid_in = sum((step.paid_in for step in steps), Decimal(0))
        made.append(Standing(one.week, one.at, one.details.equity, one.details.cash, growth, paid_in))
    return made
